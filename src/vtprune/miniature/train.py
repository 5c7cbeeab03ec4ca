"""Trains ``miniature-llava``: the vision tower on dense labels, then the language model on questions.

``python -m vtprune.miniature.train --out data/checkpoints/miniature-llava`` reads its settings from
``params.yaml``; stopped at any point, the same command goes on where it was.
"""

import argparse
import json
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from .language import PackedQuestions, answer_loss, collate
from .loop import fit
from .model import WIDTH, llava_config
from .tokenizer import build_processor, vocabulary
from .tower import VISUAL_WORDS, DenseHead, LabelledPictures


class Tower(nn.Module):
    """The vision tower and projector of a LLaVA, with the dense head that trains them."""

    def __init__(self, model: LlavaForConditionalGeneration):
        super().__init__()
        self.vision_tower, self.projector = model.model.vision_tower, model.model.multi_modal_projector
        self.head = DenseHead(WIDTH)

    def features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`[batch, 3, 96, 96]` -> `[batch, 144, WIDTH]`."""
        return self.projector(self.vision_tower(pixel_values=pixel_values).last_hidden_state[:, 1:])


def train_tower(model, settings: dict, workdir: Path, device: torch.device, log) -> Tower:
    tower = Tower(model).to(device)

    def batches(step: int):
        size = settings["batch"]
        return DataLoader(LabelledPictures(settings["seed"], step * size), batch_size=size, num_workers=1, prefetch_factor=8)

    def loss_of(batch):
        images, labels = (t.to(device) for t in batch)
        with torch.autocast(device.type, torch.bfloat16):
            features = tower.features(images)
        return tower.head(features, labels)

    options = dict(steps=settings["steps"], peak=settings["learning_rate"], warmup=100, workdir=workdir)
    for step, figures in fit("tower", tower, batches, loss_of, **options):
        log("tower", step, figures)
    return tower


def train_language(model, processor: LlavaProcessor, tower: Tower, settings: dict, workdir: Path, device: torch.device, log) -> None:
    """The decoder starts from the dense head's word embeddings and meets a frozen tower."""
    decoder = model.model.language_model
    ids = processor.tokenizer.convert_tokens_to_ids(list(VISUAL_WORDS))
    with torch.no_grad():
        decoder.embed_tokens.weight.normal_(std=WIDTH**-0.5)
        decoder.embed_tokens.weight[ids] = tower.head.embedding
    tower.requires_grad_(False).eval()
    decoder.to(device).train()
    if settings["compile"]:  # in place, twice as fast on two cores; needs a C compiler
        decoder.compile(dynamic=False)

    def batches(step: int):
        size = settings["batch"]
        starts = [n * size for n in (step, settings["lookups_from"], settings["scenes_from"])]
        stream = PackedQuestions(processor.tokenizer, settings["seed"], *starts)
        return DataLoader(stream, batch_size=size, num_workers=1, prefetch_factor=8, collate_fn=collate)

    def loss_of(batch):
        batch = {key: value.to(device) for key, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():
                features = tower.features(batch["pixels"])
            return answer_loss(model, features, batch)

    options = dict(steps=settings["steps"], peak=settings["learning_rate"], warmup=200, workdir=workdir)
    for step, figures in fit("language", decoder, batches, loss_of, **options):
        log("language", step, figures)


def train(out: Path, settings: dict, workdir: Path, device: torch.device) -> None:
    """Trains both stages and writes the checkpoint (bfloat16 safetensors and processor) to `out`."""
    torch.manual_seed(settings["seed"])
    words = vocabulary()
    processor = build_processor(words)
    model = LlavaForConditionalGeneration(llava_config(words))
    history = workdir / "history.jsonl"
    workdir.mkdir(parents=True, exist_ok=True)

    def log(stage: str, step: int, figures: dict[str, float]) -> None:
        with history.open("a") as file:
            file.write(json.dumps({"stage": stage, "step": step} | {k: round(v, 5) for k, v in figures.items()}) + "\n")

    tower = train_tower(model, settings | settings["tower"], workdir, device, log)
    train_language(model, processor, tower, settings | settings["language"], workdir, device, log)
    model.to("cpu", torch.bfloat16).save_pretrained(out)
    processor.save_pretrained(out)
    lines = {}  # a resumed run repeats a few steps: the last word counts
    for line in history.read_text().splitlines():
        entry = json.loads(line)
        lines[entry["stage"], entry["step"]] = line
    (out / "history.jsonl").write_text("\n".join(lines.values()) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--work", type=Path, default=Path("data/training"), help="folder of the states that a stopped run goes on from")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    train(args.out, yaml.safe_load(args.params.read_text())["training"], args.work, torch.device(args.device))


if __name__ == "__main__":
    main()
