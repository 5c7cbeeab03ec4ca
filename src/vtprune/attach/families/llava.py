"""LLaVA-1.5: one grid an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vtprune.attach.families.family import Family
from vtprune.attach.layout import Layout, Part, equal_images, has_class_token, square_grid

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


class Llava(Family):
    """LLaVA-1.5: every image is one grid, its tokens in reading order."""

    model_class = "LlavaForConditionalGeneration"

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`.

        With the strategy "full", CLIP's class token comes before the patches. It has no place on the grid, so it
        is never dropped.
        """
        image = Part(0, "image", square_grid(config), lead=int(has_class_token(config)))
        return equal_images(config, input_ids, attended, image)
