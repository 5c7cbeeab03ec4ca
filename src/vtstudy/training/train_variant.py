"""Trains the further miniatures, each from one that is trained already: first its eyes, then its words.

``python -m vtstudy.training.train_variant --name miniature-next`` reads its settings from ``params.yaml``
(``derived``) and writes ``data/checkpoints/miniature-next``; stopped at any point, the same command goes on
where it was. The tower of another architecture learns to tell each token what LLaVA's tower tells of the
same cells; the language model, which knows that language already, then goes on learning to answer.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import AutoModelForImageTextToText, AutoProcessor

from vtstudy.training import language, tokenizer, tower, train, variants
from vtstudy.training import miniature as model
from vtstudy.training.language import answer_loss, collate, packed_questions
from vtstudy.training.tower import labelled
from vtstudy.training.train import digest
from vtstudy.training.training_loop import batches, fit
from vtstudy.training.variants import features, teacher_of, variant, views
from vtstudy.world import pictures, prompts, questions, sprites
from vtstudy.world import scene as world
from vtstudy.world.scene import GRID, GROUPS, SIDE

_SOURCES = (language, model, pictures, prompts, questions, sprites, tokenizer, tower, train, variants, world)


class Reader:
    """What a processor makes of one picture: its pixels, and the prompt's image tokens.

    Attributes:
        tokens: the ids that stand in the prompt for a picture, with those that set it off.
    """

    def __init__(self, processor: Any) -> None:
        self._images = processor.image_processor
        grey = np.zeros((SIDE, SIDE, 3), np.uint8)
        ids = processor(images=[grey], text=[processor.image_token], return_tensors="pt").input_ids[0].tolist()
        self.tokens = [token for token in ids if token != processor.tokenizer.bos_token_id]

    def pixels(self, seen: Tensor) -> Tensor:
        """`[3, 96, 96]` in [-1, 1], as LLaVA sees it -> as the processor gives it, with a row for each view where there are several."""
        image = ((seen + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        found = torch.from_numpy(np.stack(self._images(image, return_tensors="np")["pixel_values"]))
        return found[0] if len(found) == 1 else found

    def widen(self, batch: dict[str, Tensor], image: int) -> dict[str, Tensor]:
        """Packed sequences with this processor's tokens in place of LLaVA's 144 `image` tokens."""
        start, more = int((batch["ids"][0] == image).nonzero()[0]), len(self.tokens) - GRID**2
        new = {"ids": torch.tensor(self.tokens), "position": torch.arange(start, start + len(self.tokens))}
        for key in ("ids", "block", "position", "target", "kind"):
            before, first, after = batch[key].tensor_split((start, start + GRID**2), dim=1)
            put = new[key].expand(len(first), -1) if key in new else first[:, :1].expand(-1, len(self.tokens))
            batch[key] = torch.cat((before, put, after + more if key == "position" else after), dim=1)
        return batch


def _seen(rng: Random, step: int, reader: Reader) -> tuple[Tensor, Tensor, Tensor]:
    """A picture as LLaVA sees it, as the new model does, and how much each cell counts, `[144, 1]`."""
    whole, labels = labelled(rng)
    things = labels[GROUPS.index("part")] >= 0
    return whole, reader.pixels(whole), 1.0 + 2.0 * things[:, None]


def _asked(rng: Random, step: int, words: Any, reader: Reader) -> tuple[Tensor, dict[str, list[int]]]:
    whole, columns = packed_questions(rng, step, words, tables_from=0)
    return reader.pixels(whole), columns


def _widened(examples: list, reader: Reader, image: int) -> dict[str, Tensor]:
    return reader.widen(collate(examples), image)


def train_tower(
    new: nn.Module,
    teacher: nn.Module,
    kind: str,
    reader: Reader,
    settings: dict,
    state_file: Path,
    device: torch.device,
) -> list[dict]:
    """Distils LLaVA's features, cell by cell; cells that show a thing count thrice."""
    eyes = nn.ModuleList([new.model.vision_tower, new.model.multi_modal_projector])
    new.to(device)
    teacher.to(device).requires_grad_(False)

    def loss_of(batch):
        whole, seen, counts = (t.to(device) for t in batch)
        with torch.autocast(device.type, torch.bfloat16):
            told = features(teacher, whole)
            found = views(new, seen)
        told, counts = teacher_of(told.float(), kind), teacher_of(counts, kind)
        off = (found.float() - told).square().mean(dim=-1, keepdim=True) / told.var()
        return (off * counts).sum() / counts.sum(), {"unexplained": off.mean().item()}

    stream = partial(
        batches, state_file.stem, size=settings["batch"], example=partial(_seen, reader=reader), collate=default_collate
    )
    return fit(
        eyes,
        stream,
        loss_of,
        steps=settings["steps"],
        peak=settings["learning_rate"],
        warmup=100,
        state_file=state_file,
    )


def train_language(
    new: nn.Module, words: Any, reader: Reader, settings: dict, state_file: Path, device: torch.device
) -> list[dict]:
    """The decoder goes on from where its source was, and meets a frozen tower."""
    new.to(device).requires_grad_(False).eval()
    decoder = new.model.language_model.requires_grad_(True).train()
    if settings["compile"]:
        decoder.compile(dynamic=False)

    def loss_of(batch):
        batch = {key: value.to(device) for key, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():
                seen = features(new, batch["pixels"])
            return answer_loss(new, seen, batch)

    widened = partial(_widened, reader=reader, image=new.config.image_token_id)
    example = partial(_asked, words=words, reader=reader)
    stream = partial(batches, state_file.stem, size=settings["batch"], example=example, collate=widened)
    return fit(
        decoder,
        stream,
        loss_of,
        steps=settings["steps"],
        peak=settings["learning_rate"],
        warmup=100,
        state_file=state_file,
    )


def grow(name: str, settings: dict, checkpoints: Path, workdir: Path, device: torch.device) -> None:
    """Trains one miniature from another and writes its checkpoint (bfloat16 safetensors and processor).

    Args:
        settings: its entry under ``derived`` in params.yaml.
        checkpoints: the folder of all; the source must be there already.
        workdir: where a stopped run's states are, each named by all that it comes from.
    """
    torch.manual_seed(settings["seed"])
    start = checkpoints / settings["start"]
    source = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(start)
    new, processor = variant(settings["kind"], source, processor, settings["layers"])
    reader, history = Reader(processor), {}
    weights = (start / "model.safetensors").read_bytes().hex()
    made_by = digest(settings, weights, *(Path(module.__file__).read_text() for module in _SOURCES))
    if "tower" in settings:
        state = workdir / f"{name}-tower-{made_by}.pt"
        history["tower"] = train_tower(new, source, settings["kind"], reader, settings["tower"], state, device)
    state = workdir / f"{name}-language-{made_by}.pt"
    history["language"] = train_language(new, processor.tokenizer, reader, settings["language"], state, device)
    out = checkpoints / name
    new.to("cpu", torch.bfloat16).save_pretrained(out)
    processor.save_pretrained(out)
    lines = [json.dumps({"stage": stage} | entry) for stage, entries in history.items() for entry in entries]
    (out / "history.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="one of `derived` in the parameters")
    parser.add_argument("--checkpoints", type=Path, default=Path("data/checkpoints"), help="folder of all checkpoints")
    parser.add_argument(
        "--work", type=Path, default=Path("data/training"), help="folder of the states that a stopped run goes on from"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    known = yaml.safe_load(args.params.read_text())["derived"]
    if args.name not in known:
        parser.error(f"--name must be one of {', '.join(known)}, not {args.name}")
    grow(args.name, known[args.name], args.checkpoints, args.work, torch.device(args.device))


if __name__ == "__main__":
    main()
