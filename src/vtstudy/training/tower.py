"""Training examples and loss of the vision tower: each grid cell is labelled with the words that describe it.

In each group of labels (`vtstudy.world.scene.dense_labels`) the projected feature of a cell is trained to be closest
to the embedding of its word. The language model later starts from the same word embeddings.
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
# The relative frequency of each kind of picture, in both stages of training.
MIX = {"scene": 8, "sign": 5, "chart": 3, "page": 4, "snapshot": 2, "poster": 1.5} | {
    kind: 1.0 for kind in KINDS if kind not in ("scene", "sign", "chart", "page", "snapshot", "poster")
}


def draw_kind(rng: Random) -> str:
    """A random kind of picture, by `MIX`."""
    return rng.choices(list(MIX), list(MIX.values()))[0]


def pixels(image: np.ndarray) -> Tensor:
    """Pixels as the checkpoint's processor gives them: `[96, 96, 3]` uint8 to `[3, 96, 96]` in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1


def labelled(rng: Random) -> tuple[Tensor, Tensor]:
    """The pixels of a training picture, and its labels `[groups, 144]`, -100 for a cell without a word in a group."""
    picture = sample(rng, draw_kind(rng), held_out=False)
    dense = dense_labels(picture)
    labels = [[_INDEX[group].get(word, -100) for word in dense[group].reshape(-1)] for group in GROUPS]
    return pixels(render(picture)), torch.tensor(labels)


class DenseHead(nn.Module):
    """Embeddings of the visual words, `[words, width]`, and the loss that draws the cells' features to them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(len(VISUAL_WORDS), width) / width**0.5)
        index = {word: i for i, word in enumerate(VISUAL_WORDS)}
        self.rows = {group: torch.tensor([index[word] for word in WORDS[group]]) for group in GROUPS}

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss and the accuracy of each group.

        Args:
            features: of the cells, `[b, 144, width]`.
            labels: `[b, groups, 144]`.
        """
        targets = dict(zip(GROUPS, labels.unbind(1), strict=True))
        logits = {group: features.float() @ self.embedding[self.rows[group].to(features.device)].T for group in GROUPS}
        # Most cells show empty background, so the names of things count thrice: once in `name`, twice in `thing`.
        targets["thing"] = torch.where(targets["part"] >= 0, targets["name"], -100)
        logits["thing"] = logits["name"]
        losses, accuracy = [], {}
        for group, target in targets.items():
            labelled_cells = target >= 0
            if labelled_cells.any():
                loss = F.cross_entropy(logits[group].transpose(1, 2), target, ignore_index=-100)
                losses.append(2 * loss if group == "thing" else loss)
                accuracy[group] = (logits[group].argmax(-1) == target)[labelled_cells].float().mean().item()
        return torch.stack(losses).sum(), accuracy
