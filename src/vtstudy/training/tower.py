"""Stage one of training: the vision tower and the projector learn what each patch shows.

Every patch is told its words (`world.dense_labels`): a patch's projected feature must be
closest to the embeddings of those words, group by group. The language model starts from the
same embeddings, so that it meets image tokens which already speak its vocabulary.
"""

from random import Random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtstudy.world.pictures import KINDS, NAMES, sample
from vtstudy.world.scene import BACKGROUNDS, CHARTS, GRID, GROUPS, QUALITIES, dense_labels, render
from vtstudy.world.sprites import ARROWS, CHARACTERS, COLORS, LANDMARKS, MOODS, PEOPLE, POSES, STYLES, TEXTURES

WORDS: dict[str, tuple[str, ...]] = {
    "name": (*NAMES, *POSES, *PEOPLE, *ARROWS, *LANDMARKS, *STYLES, *BACKGROUNDS, *CHARTS, *CHARACTERS),
    "color": tuple(COLORS),
    "size": ("small", "large"),
    "texture": TEXTURES,
    "mood": MOODS,
    "part": ("head", "rest"),
    "quality": QUALITIES,
    "row": tuple(f"row{i}" for i in range(GRID)),
    "column": tuple(f"column{i}" for i in range(GRID)),
}
VISUAL_WORDS = tuple(dict.fromkeys(w for group in GROUPS for w in WORDS[group]))
_INDEX = {group: {w: i for i, w in enumerate(words)} for group, words in WORDS.items()}
# How often each kind of picture is drawn, in both stages of training.
MIX = {"scene": 8, "sign": 5, "chart": 3, "page": 4, "snapshot": 2, "poster": 1.5} | {
    kind: 1.0 for kind in KINDS if kind not in ("scene", "sign", "chart", "page", "snapshot", "poster")
}


def draw_kind(rng: Random) -> str:
    return rng.choices(list(MIX), list(MIX.values()))[0]


def pixels(image: np.ndarray) -> Tensor:
    """`[96, 96, 3]` uint8 -> `[3, 96, 96]` in [-1, 1], as the checkpoint's image processor gives."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1


def labelled(rng: Random) -> tuple[Tensor, Tensor]:
    """A picture of the training's side and its labels, `[groups, 144]`; -100 where a group says nothing."""
    picture = sample(rng, draw_kind(rng), held_out=False)
    dense = dense_labels(picture)
    labels = [[_INDEX[group].get(word, -100) for word in dense[group].reshape(-1)] for group in GROUPS]
    return pixels(render(picture)), torch.tensor(labels)


class DenseHead(nn.Module):
    """Embeddings of the visual words, `[words, width]`, and the loss that pulls patches to them."""

    def __init__(self, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(len(VISUAL_WORDS), width) / width**0.5)
        place = {w: i for i, w in enumerate(VISUAL_WORDS)}
        self.rows = {g: torch.tensor([place[w] for w in WORDS[g]]) for g in GROUPS}

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """`features` `[batch, 144, width]`, `labels` `[batch, groups, 144]` -> loss, accuracy by group."""
        targets = dict(zip(GROUPS, labels.unbind(1), strict=True))
        logits = {group: features.float() @ self.embedding[self.rows[group].to(features.device)].T for group in GROUPS}
        # Empty background is most of every picture: the names of the things on it count thrice.
        targets["thing"] = torch.where(targets["part"] >= 0, targets["name"], -100)
        logits["thing"] = logits["name"]
        losses, accuracy = [], {}
        for group, target in targets.items():
            said = target >= 0
            if said.any():
                loss = F.cross_entropy(logits[group].transpose(1, 2), target, ignore_index=-100)
                losses.append(2 * loss if group == "thing" else loss)
                accuracy[group] = (logits[group].argmax(-1) == target)[said].float().mean().item()
        return torch.stack(losses).sum(), accuracy
