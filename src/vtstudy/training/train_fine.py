"""The training of a miniature with a fine grid, which starts from one with 12 x 12 image tokens.

The first layer of its vision tower learns to give the rest of the tower what it knows: the embedding of the whole
cell, at each of the cell's quarters. The language model then learns the new places in rounds. Places may *move* during
a round: at first the four tokens of a cell have the position of the source's one token, at last their own. In an
early round some of the four tokens of each cell may be shown only: a step costs a third, and nothing of the picture is
missing. The last round shows all tokens at their own places.

An *early* aim may be added: the answers are also read off after the second layer, as in LayerSkip (Elhoushi et al.
2024). Without it nothing asks of the second layer that it looks at what is asked, in a model of six layers; in a model
of 32 it does so anyway, and the published methods rank image tokens by its attention.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate
from transformers import AutoModelForImageTextToText, AutoProcessor

from vtprune.errors import UserError
from vtstudy.training.derived import image_features
from vtstudy.training.fine import (
    FINER,
    QUARTERS,
    coarse_places,
    fine_config,
    fine_llava,
    fine_places,
    start_tower,
)
from vtstudy.training.language import KINDS, answer_loss, block_mask, collate, packed_questions
from vtstudy.training.recipe import Recipe, Stage, StageSettings
from vtstudy.training.train_derived import (
    ProcessorInputs,
    prepare_language,
    prepare_tower,
    tower_example,
)
from vtstudy.training.training_loop import Loss, Stream
from vtstudy.world.scene import GRID

CELLS = 36
"""So many cells of a picture train the first layer at a step: its attention looks at one cell alone."""
EARLY = 2
"""The published methods prune before this layer, by the attention of the layer before it."""
SAVE_EVERY = 25


def fine_recipe(name: str, settings: Mapping[str, Any], checkpoints: Path) -> Recipe:
    """The training of a miniature with a fine grid.

    Args:
        settings: `start`, `layers` and `seed`, the settings of the stage `tower`, and a list of those of the rounds of
            the stage `language`, each with `quarters`. A round that is added to the list goes on from the others.
        checkpoints: the folder of all checkpoints.

    Raises:
        UserError: if the miniature that it starts from is not there, or is no LLaVA with 12 x 12 tokens.
    """
    seed, start = settings["seed"], checkpoints / settings["start"]
    weights = start / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{name} starts from {start}, which has no weights: train {settings['start']} first.")
    torch.manual_seed(seed)
    source = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32).eval()
    model, processor = fine_llava(source, AutoProcessor.from_pretrained(start), settings["layers"])
    inputs = ProcessorInputs(processor)
    tower_settings = StageSettings(**settings["tower"])
    tower = model.model.vision_tower
    stages = [
        Stage(
            "tower",
            tower_settings,
            module=nn.ModuleList([tower.embeddings, tower.pre_layrnorm, tower.encoder.layers[0]]),
            stream=Stream(
                f"{name}-tower-{seed}", tower_settings.batch, partial(cells_example, inputs=inputs), default_collate
            ),
            loss=partial(gathering_loss, model, source),
            warmup=50,
            prepare=partial(prepare_tower, model, source),
            code=(fine_config, start_tower, prepare_tower, gathering_loss, fine_places),
            save_every=SAVE_EVERY,
        )
    ]
    for number, values in enumerate(settings["language"], start=1):
        values = dict(values)
        quarters, moving, early = values.pop("quarters"), values.pop("moving", 0.0), values.pop("early", 0.0)
        round_settings = StageSettings(**values)
        stages.append(
            Stage(
                f"language-{number}",
                round_settings,
                module=model.model.language_model,
                stream=Stream(
                    f"{name}-language-{number}-{seed}",
                    round_settings.batch,
                    partial(
                        shown_example,
                        tokenizer=processor.tokenizer,
                        quarters=quarters,
                        moved=moving * round_settings.steps,
                    ),
                    partial(collate_shown, inputs=inputs, image_token=model.config.image_token_id),
                ),
                loss=partial(shown_loss, model, source, early),
                warmup=50,
                prepare=partial(prepare_rounds, model, source, compile_decoder=round_settings.compile),
                code=(*_LANGUAGE_CODE, moving, early),
                save_every=SAVE_EVERY,
            )
        )
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    return Recipe(model, processor, stages, start=digest)


def cells_example(rng: Random, step: int, inputs: ProcessorInputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A picture's pixels for the source and for the new model, and cells of it, `[CELLS]`, with their weights."""
    pixels, fine_pixels, weights = tower_example(rng, step, inputs)
    cells = torch.tensor(rng.sample(range(GRID**2), CELLS))
    return pixels, fine_pixels, cells, weights[cells]


def gathering_loss(model: Any, source: Any, batch: Any, device: torch.device) -> Loss:
    """Mean squared difference from the source's embeddings over their variance, at all quarters of some cells.

    Cells that show a thing count thrice.
    """
    pixels, fine_pixels, cells, weights = (tensor.to(device) for tensor in batch)
    tower, teacher = model.model.vision_tower, source.model.vision_tower
    with torch.no_grad():
        wanted = teacher.pre_layrnorm(teacher.embeddings(pixels))
    embeddings = tower.embeddings(fine_pixels)
    wanted = torch.cat((wanted[:, :1], _chosen(wanted[:, 1:], cells.repeat_interleave(QUARTERS, dim=1))), dim=1)
    chosen = torch.cat((embeddings[:, :1], _chosen(embeddings[:, 1:], fine_places(cells).flatten(1))), dim=1)
    actual = tower.encoder.layers[0](tower.pre_layrnorm(chosen), attention_mask=None)
    error = (actual - wanted).square().mean(dim=-1, keepdim=True) / wanted.var()
    weights = torch.cat((torch.ones_like(weights[:, :1]), weights.repeat_interleave(QUARTERS, dim=1)), dim=1)
    return (error * weights).sum() / weights.sum(), {"unexplained": error.mean().item()}


def _chosen(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens at some places: `[b, n, d]` and `[b, m]` to `[b, m, d]`."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))


def shown_example(
    rng: Random, step: int, tokenizer: Any, quarters: int, moved: float
) -> tuple[Tensor, dict[str, list[int]], Tensor, float]:
    """A picture's pixels for the source, its packed questions, the image tokens that are shown, and how far they moved.

    Of a cell with less than four tokens shown, the upper or the lower ones come first, as for its neighbours: a line
    is read from the left to the right.

    Args:
        moved: the number of steps over which places move from those of the source to the new ones.
    """
    pixels, columns = packed_questions(rng, step, tokenizer, tables_from=0)
    tokens = fine_places(torch.arange(GRID**2)).tolist()
    shown: list[int] = []
    for row in range(GRID):
        upper = rng.random() < 0.5
        for cell in tokens[row * GRID : (row + 1) * GRID]:
            lines = [rng.sample(cell[i : i + FINER], FINER) for i in range(0, QUARTERS, FINER)]
            shown += (lines[0] + lines[1] if upper else lines[1] + lines[0])[:quarters]
    return pixels, columns, torch.tensor(sorted(shown)), min(1.0, step / moved) if moved else 1.0


def collate_shown(
    examples: list[tuple[Tensor, dict[str, list[int]], Tensor, float]], inputs: ProcessorInputs, image_token: int
) -> dict[str, Tensor]:
    """A batch of packed questions with the new model's image tokens, of which only those that are shown are left.

    Beside the columns of `collate`, in which positions are those of the source, it has `shown`, the numbers of the
    image tokens; `cells`, those of their cells; `way`, how far each position is from its new one; and `moved`,
    `[b, 1]`, which share of the way it has moved.
    """
    batch = collate([(pixels, columns) for pixels, columns, *_ in examples])
    start = int((batch["ids"][0] == image_token).nonzero()[0])
    shown = torch.stack([shown for *_, shown, _ in examples])
    cells = coarse_places(shown)
    batch["way"] = torch.zeros_like(batch["position"])
    replaced = {"position": start + cells, "way": shown - cells}
    for key in ("ids", "block", "position", "way", "target", "kind"):
        before, image, after = batch[key].tensor_split((start, start + GRID**2), dim=1)
        if key == "way":
            after = after + len(inputs.image_tokens) - GRID**2
        image = replaced.get(key, image[:, :1].expand(-1, shown.shape[1]))
        batch[key] = torch.cat((before, image, after), dim=1)
    moved = torch.tensor([moved for *_, moved in examples])[:, None]
    return batch | {"shown": shown, "cells": cells, "moved": moved}


def moved_places(batch: dict[str, Tensor]) -> Tensor:
    """The position of each token of a batch of `collate_shown`, `[b, n]`: fractions of a place on the way."""
    return batch["position"] + batch["moved"] * batch["way"]


def shown_loss(model: Any, source: Any, early: float, batch: Any, device: torch.device) -> Loss:
    """The loss of the answers, and `early` times that of answers that are read off after layer `EARLY` already.

    In a round that shows some tokens only, their features are those of the source, which are cheaper.
    """
    batch = {key: value.to(device) for key, value in batch.items()}
    batch["position"] = moved_places(batch)
    decoder = model.model.language_model
    hidden: list[Tensor] = []
    hook = decoder.layers[EARLY - 1].register_forward_hook(lambda module, inputs, output: hidden.append(output))
    # Not on CPUs: those without instructions for bfloat16 compute it five times as slowly as float32.
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        with torch.no_grad():
            if batch["shown"].shape[1] < QUARTERS * GRID**2:
                features = _chosen(image_features(source, batch["pixels"]), batch["cells"])
            else:
                features = image_features(model, doubled(batch["pixels"]))
        loss, figures = answer_loss(model, features, batch)
        hook.remove()
        if early:
            has_target = batch["target"] != -100
            logits, target = model.lm_head(decoder.norm(hidden[0][has_target])), batch["target"][has_target]
            figures["early"] = (logits.argmax(dim=-1) == target).float().mean().item()
            loss = loss + early * F.cross_entropy(logits.float(), target)
    return loss, figures


def doubled(pixels: Tensor) -> Tensor:
    """Pixels as the new model's processor gives them, from those of the source."""
    return pixels.repeat_interleave(FINER, dim=-1).repeat_interleave(FINER, dim=-2)


def prepare_rounds(model: Any, source: Any, device: torch.device, *, compile_decoder: bool) -> None:
    source.to(device).requires_grad_(False)
    prepare_language(model, device, compile_decoder=compile_decoder)


_LANGUAGE_CODE = (
    fine_config,
    prepare_rounds,
    prepare_language,
    shown_loss,
    moved_places,
    image_features,
    answer_loss,
    block_mask,
    KINDS,
    EARLY,
)
