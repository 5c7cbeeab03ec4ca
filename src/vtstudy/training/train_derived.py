"""The training of a miniature that is derived from one that is trained already.

A vision tower of another architecture is distilled from LLaVA's, cell by cell. The language model is then
fine-tuned from the weights of the miniature that it starts from.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import AutoModelForImageTextToText, AutoProcessor, ProcessorMixin

from vtprune.errors import UserError
from vtstudy.training.derived import CONFIGS, derive, image_features, teacher_targets, view_features
from vtstudy.training.language import KINDS, answer_loss, block_mask, collate, packed_questions
from vtstudy.training.recipe import Recipe, Stage, StageSettings
from vtstudy.training.tower import labelled
from vtstudy.training.training_loop import Loss, Stream
from vtstudy.world.scene import GRID, GROUPS, SIDE


class ProcessorInputs:
    """Inputs of a model as its processor makes them: pixels of a picture, and the image tokens of a prompt.

    Attributes:
        image_tokens: the ids that the processor writes for one picture, with the tokens around them.
    """

    def __init__(self, processor: Any) -> None:
        self._image_processor = processor.image_processor
        grey = np.zeros((SIDE, SIDE, 3), np.uint8)
        ids = processor(images=[grey], text=[processor.image_token], return_tensors="pt").input_ids[0].tolist()
        self.image_tokens = [token for token in ids if token != processor.tokenizer.bos_token_id]

    def pixels(self, llava_pixels: Tensor) -> Tensor:
        """LLaVA's pixels of a picture, `[3, 96, 96]` in [-1, 1], as the processor gives them: `[views, 3, h, w]`.

        The first dimension is missing if there is one view.
        """
        image = ((llava_pixels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        views = torch.from_numpy(np.stack(self._image_processor(image, return_tensors="np")["pixel_values"]))
        return views[0] if len(views) == 1 else views

    def replace_image_tokens(self, batch: dict[str, Tensor], image_token: int) -> dict[str, Tensor]:
        """Packed sequences with this processor's image tokens in place of LLaVA's 144.

        Args:
            image_token: the id of LLaVA's image token.
        """
        start = int((batch["ids"][0] == image_token).nonzero()[0])
        number, added = len(self.image_tokens), len(self.image_tokens) - GRID**2
        replaced = {"ids": torch.tensor(self.image_tokens), "position": torch.arange(start, start + number)}
        for key in ("ids", "block", "position", "target", "kind"):
            before, image, after = batch[key].tensor_split((start, start + GRID**2), dim=1)
            if key in replaced:
                middle = replaced[key].expand(len(image), -1)
            else:
                middle = image[:, :1].expand(-1, number)
            if key == "position":
                after = after + added
            batch[key] = torch.cat((before, middle, after), dim=1)
        return batch


def derived_recipe(name: str, settings: Mapping[str, Any], checkpoints: Path) -> Recipe:
    """The training of a derived miniature.

    Args:
        settings: `kind`, `start`, `layers` and `seed`, and the settings of the stages: `language`, and `tower` if
            it is trained.
        checkpoints: the folder of all checkpoints.

    Raises:
        UserError: if the miniature that it starts from is not there, or `kind` or `layers` are wrong.
    """
    seed, kind, start = settings["seed"], settings["kind"], checkpoints / settings["start"]
    weights = start / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{name} starts from {start}, which has no weights: train {settings['start']} first.")
    torch.manual_seed(seed)
    source = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32).eval()
    model, processor = derive(kind, source, AutoProcessor.from_pretrained(start), settings["layers"])
    inputs = ProcessorInputs(processor)
    stages = []
    if settings.get("tower") is not None:
        tower_settings = StageSettings(**settings["tower"])
        stages.append(_tower_stage(model, source, kind, inputs, tower_settings, f"{name}-tower-{seed}"))
    language_settings = StageSettings(**settings["language"])
    stages.append(_language_stage(model, processor, inputs, language_settings, f"{name}-language-{seed}"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    return Recipe(model, processor, stages, start=digest)


def _tower_stage(
    model: Any, teacher: Any, kind: str, inputs: ProcessorInputs, settings: StageSettings, stream: str
) -> Stage:
    return Stage(
        "tower",
        settings,
        module=nn.ModuleList([model.model.vision_tower, model.model.multi_modal_projector]),
        stream=Stream(stream, settings.batch, partial(tower_example, inputs=inputs), default_collate),
        loss=partial(distillation_loss, model, teacher, kind),
        warmup=100,
        prepare=partial(prepare_tower, model, teacher),
        code=(*CONFIGS, prepare_tower, distillation_loss, teacher_targets, view_features, image_features),
    )


def _language_stage(
    model: Any, processor: ProcessorMixin, inputs: ProcessorInputs, settings: StageSettings, stream: str
) -> Stage:
    example = partial(language_example, tokenizer=processor.tokenizer, inputs=inputs)
    collate_all = partial(collate_for, inputs=inputs, image_token=model.config.image_token_id)
    return Stage(
        "language",
        settings,
        module=model.model.language_model,
        stream=Stream(stream, settings.batch, example, collate_all),
        loss=partial(language_loss, model),
        warmup=100,
        prepare=partial(prepare_language, model, compile_decoder=settings.compile),
        code=(*CONFIGS, prepare_language, language_loss, image_features, answer_loss, block_mask, KINDS),
    )


def tower_example(rng: Random, step: int, inputs: ProcessorInputs) -> tuple[Tensor, Tensor, Tensor]:
    """A picture's pixels for LLaVA, its pixels for the new model, and the weight of each cell, `[144, 1]`."""
    pixels, labels = labelled(rng)
    shows_thing = labels[GROUPS.index("part")] >= 0
    return pixels, inputs.pixels(pixels), 1.0 + 2.0 * shows_thing[:, None]


def language_example(
    rng: Random, step: int, tokenizer: Any, inputs: ProcessorInputs
) -> tuple[Tensor, dict[str, list[int]]]:
    """A picture's pixels for the new model and its packed questions, still with LLaVA's image tokens."""
    pixels, columns = packed_questions(rng, step, tokenizer, tables_from=0)
    return inputs.pixels(pixels), columns


def collate_for(
    examples: list[tuple[Tensor, dict[str, list[int]]]], inputs: ProcessorInputs, image_token: int
) -> dict[str, Tensor]:
    """A batch of packed questions with the new model's image tokens."""
    return inputs.replace_image_tokens(collate(examples), image_token)


def prepare_tower(model: nn.Module, teacher: nn.Module, device: torch.device) -> None:
    model.to(device)
    teacher.to(device).requires_grad_(False)


def distillation_loss(model: nn.Module, teacher: nn.Module, kind: str, batch: Any, device: torch.device) -> Loss:
    """Mean squared difference from LLaVA's features over their variance; cells that show a thing count thrice."""
    llava_pixels, pixels, weights = (tensor.to(device) for tensor in batch)
    with torch.autocast(device.type, torch.bfloat16):
        wanted = image_features(teacher, llava_pixels)
        actual = view_features(model, pixels)
    wanted, weights = teacher_targets(wanted.float(), kind), teacher_targets(weights, kind)
    error = (actual.float() - wanted).square().mean(dim=-1, keepdim=True) / wanted.var()
    return (error * weights).sum() / weights.sum(), {"unexplained": error.mean().item()}


def prepare_language(model: Any, device: torch.device, *, compile_decoder: bool) -> None:
    """Freeze all but the decoder, which keeps the weights that it starts from."""
    model.to(device).requires_grad_(False).eval()
    decoder = model.model.language_model.requires_grad_(True).train()
    if compile_decoder:
        decoder.compile(dynamic=False)


def language_loss(model: nn.Module, batch: Any, device: torch.device) -> Loss:
    batch = {key: value.to(device) for key, value in batch.items()}
    with torch.autocast(device.type, torch.bfloat16):
        with torch.no_grad():
            features = image_features(model, batch["pixels"])
        return answer_loss(model, features, batch)
