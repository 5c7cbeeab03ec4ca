"""LLaVA-OneVision: as LLaVA-NeXT, but large images are shrunk, and several images have one tile each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from vtprune.attach.families.family import Family
from vtprune.attach.families.llava_next import anyres_parts
from vtprune.attach.layout import Layout, Part, assemble_layout, image_token_places, parts_by_prompt, square_grid
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


class LlavaOnevision(Family):
    """LLaVA-OneVision: the two sequences of LLaVA-NeXT for an image alone, one tile for each of several.

    The any-resolution sequence of a large image is shrunk by bilinear interpolation. In the vision tower, a token of it
    counts as made of the four patches between which it lies. Newline tokens are image tokens like the others; the one
    that follows an image of one tile is a part of its own.

    The tower (SigLIP) has no class token, so methods that ask for its attention get what a patch receives from all
    patches of its tile.

    The tokens of videos have an id of their own and are refused.
    """

    model_class = "LlavaOnevisionForConditionalGeneration"
    needs_sizes = True
    nested_images = True

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`. Every image is laid out as an image alone."""
        return self.layout_of_call(config, input_ids, attended, {"image_sizes": image_sizes})

    def layout_of_call(
        self, config: PreTrainedConfig, input_ids: torch.Tensor, attended: torch.Tensor, arguments: Mapping[str, Any]
    ) -> Layout:
        """See `Family.layout_of_call`. `batch_num_images` says how many images each prompt has.

        Raises:
            UserError: also if the image sizes are missing.
        """
        places = image_token_places(config, input_ids, attended)
        sizes, counts = arguments.get("image_sizes"), arguments.get("batch_num_images")
        if sizes is None:
            raise UserError("pruning LLaVA-OneVision needs the image_sizes that its processor returns")
        sizes = torch.as_tensor(sizes).tolist()
        numbers = [1] * len(sizes) if counts is None else torch.as_tensor(counts).tolist()
        alone = [number == 1 for number in numbers for _ in range(number)]
        images = [
            _shrunk(config, anyres_parts(config, size)) if is_alone else _one_tile(config)
            for size, is_alone in zip(sizes, alone, strict=False)
        ]
        return assemble_layout(places, parts_by_prompt(places, images, self.sizes_argument), input_ids.device)


def _one_tile(config: PreTrainedConfig) -> list[Part]:
    """The parts of one of several images."""
    return [Part(0, "image", square_grid(config)), Part(0, "newline", (1, 1), tiles=(0, 0), newline=True)]


def _shrunk(config: PreTrainedConfig, parts: list[Part]) -> list[Part]:
    """The parts of an image alone, with the any-resolution one shrunk as the model does it."""
    base, large = parts
    rows, columns = large.grid[0], large.grid[1] - 1
    most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
    ratio = math.sqrt(rows * columns / (most * base.grid[0] ** 2))
    if ratio <= 1.1:
        return parts
    grid = (int(rows // ratio), int(columns // ratio) + 1)
    return [base, replace(large, grid=grid, shrunk_from=(rows, columns))]
