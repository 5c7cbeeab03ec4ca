"""Gemma 3: one grid an image, whose tokens see one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from vtprune.attach.families.family import Family
from vtprune.attach.layout import Layout, Part, equal_images, square_grid
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


class Gemma3(Family):
    """Gemma 3: every image is one grid, its tokens pooled from patches, and the tokens of an image see one another.

    Five of six decoder layers attend within a sliding window. After pruning, the window counts the tokens that are
    left, as the layer's cache does. Scores cannot be made of such a layer: methods that need attention prune before a
    layer that follows one of full attention (6, 12, ... in the released checkpoints).

    The tower (SigLIP) has no class token, so methods that ask for its attention get what a patch receives from all
    patches of its image, in the tower's last layer.
    """

    model_class = "Gemma3ForConditionalGeneration"
    nested_images = True

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`. With pan and scan, every crop is an image of its own."""
        height, width = square_grid(config)
        side = round(config.mm_tokens_per_image**0.5)
        image = Part(0, "image", (side, side), merged=height // side)
        if (height, width) != (side * image.merged, side * image.merged):
            raise UserError(
                f"pruning needs a vision tower whose {height} x {width} patches can be pooled to a square of "
                f"{config.mm_tokens_per_image} image tokens without a rest"
            )
        return equal_images(config, input_ids, attended, image)

    def blocks(
        self, config: PreTrainedConfig, input_ids: torch.Tensor, arguments: Mapping[str, Any]
    ) -> torch.Tensor | None:
        """See `Family.blocks`: the images, where the call says which tokens are theirs."""
        kinds = arguments.get("token_type_ids")
        if kinds is None:
            return None  # without them, the model's tokens see only themselves and earlier ones
        image = kinds == 1
        starts = image & ~torch.nn.functional.pad(image, (1, 0))[:, :-1]
        return torch.where(image, starts.cumsum(dim=1) - 1, -1)
