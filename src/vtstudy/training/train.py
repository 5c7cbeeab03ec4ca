"""Trains ``miniature-llava``: the vision tower on dense labels, then the language model on questions.

``python -m vtstudy.training.train --out data/checkpoints/miniature-llava`` reads its settings from
``params.yaml``; stopped at any point, the same command goes on where it was.
"""

import argparse
import hashlib
import json
from functools import partial
from pathlib import Path
from random import Random

import torch
import yaml
from torch import nn
from torch.utils.data import default_collate
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from vtstudy.training import language, tokenizer
from vtstudy.training import miniature as model_module
from vtstudy.training import tower as tower_module
from vtstudy.training.language import answer_loss, collate, packed_questions
from vtstudy.training.miniature import WIDTH, llava_config
from vtstudy.training.tokenizer import build_processor, vocabulary
from vtstudy.training.tower import VISUAL_WORDS, DenseHead, labelled
from vtstudy.training.training_loop import batches, fit
from vtstudy.world import pictures, prompts, questions, sprites
from vtstudy.world import scene as world


class Tower(nn.Module):
    """The vision tower and projector of a LLaVA, with the dense head that trains them."""

    def __init__(self, model: LlavaForConditionalGeneration):
        super().__init__()
        self.vision_tower, self.projector = model.model.vision_tower, model.model.multi_modal_projector
        self.head = DenseHead(WIDTH)

    def features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`[batch, 3, 96, 96]` -> `[batch, 144, WIDTH]`."""
        return self.projector(self.vision_tower(pixel_values=pixel_values).last_hidden_state[:, 1:])


def digest(settings: dict, *parts: str) -> str:
    """Names a stage's state by all that it comes from: its settings, and this repository's code and earlier stages."""
    return hashlib.sha256(json.dumps([settings, *parts], sort_keys=True).encode()).hexdigest()[:12]


def _source(*modules) -> str:
    return "".join(Path(module.__file__).read_text() for module in modules)


def _labelled(rng: Random, step: int):
    return labelled(rng)  # the same throughout


def train_tower(tower: Tower, settings: dict, state_file: Path, device: torch.device) -> list[dict]:
    def loss_of(batch):
        images, labels = (t.to(device) for t in batch)
        with torch.autocast(device.type, torch.bfloat16):
            features = tower.features(images)
        return tower.head(features, labels)

    stream = partial(
        batches, f"tower-{settings['seed']}", size=settings["batch"], example=_labelled, collate=default_collate
    )
    return fit(
        tower.to(device),
        stream,
        loss_of,
        steps=settings["steps"],
        peak=settings["learning_rate"],
        warmup=100,
        state_file=state_file,
    )


def train_language(
    model, processor: LlavaProcessor, tower: Tower, settings: dict, state_file: Path, device: torch.device
) -> list[dict]:
    """The decoder starts from the dense head's word embeddings and meets a frozen tower."""
    decoder = model.model.language_model
    ids = processor.tokenizer.convert_tokens_to_ids(list(VISUAL_WORDS))
    with torch.no_grad():
        decoder.embed_tokens.weight.normal_(std=WIDTH**-0.5)
        decoder.embed_tokens.weight[ids] = tower.head.embedding.to("cpu")
    tower.requires_grad_(False).eval()
    decoder.to(device).train()
    if settings["compile"]:  # in place, twice as fast on two cores; needs a C compiler
        decoder.compile(dynamic=False)

    def loss_of(batch):
        batch = {key: value.to(device) for key, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():
                features = tower.features(batch["pixels"])
            return answer_loss(model, features, batch)

    example = partial(packed_questions, tokenizer=processor.tokenizer, tables_from=settings["tables_from"])
    stream = partial(batches, f"language-{settings['seed']}", size=settings["batch"], example=example, collate=collate)
    return fit(
        decoder,
        stream,
        loss_of,
        steps=settings["steps"],
        peak=settings["learning_rate"],
        warmup=200,
        state_file=state_file,
    )


def train(out: Path, settings: dict, workdir: Path, device: torch.device) -> None:
    """Trains both stages and writes the checkpoint (bfloat16 safetensors and processor) to `out`.

    Stopped at any point, the same call goes on from the states under `workdir`. Those are named
    by a digest of the settings and of the source files that made them, so that none is taken up
    by a run that would have made another.
    """
    torch.manual_seed(settings["seed"])
    words = vocabulary()
    processor = build_processor(words)
    model = LlavaForConditionalGeneration(llava_config(words))
    stages = {name: {"seed": settings["seed"]} | settings[name] for name in ("tower", "language")}
    made_by = digest(stages["tower"], *words, _source(sprites, world, pictures, tower_module, model_module))
    tower, history = Tower(model), {}
    history["tower"] = train_tower(tower, stages["tower"], workdir / f"tower-{made_by}.pt", device)
    made_by = digest(stages["language"], made_by, _source(questions, prompts, tokenizer, language))
    history["language"] = train_language(
        model, processor, tower, stages["language"], workdir / f"language-{made_by}.pt", device
    )
    model.to("cpu", torch.bfloat16).save_pretrained(out)
    processor.save_pretrained(out)
    lines = [json.dumps({"stage": stage} | entry) for stage, entries in history.items() for entry in entries]
    (out / "history.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument(
        "--work", type=Path, default=Path("data/training"), help="folder of the states that a stopped run goes on from"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    train(args.out, yaml.safe_load(args.params.read_text())["training"], args.work, torch.device(args.device))


if __name__ == "__main__":
    main()
