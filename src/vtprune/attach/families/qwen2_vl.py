"""Qwen2-VL and Qwen2.5-VL: one grid an image, of the image's own size."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from vtprune.attach.families.family import Family
from vtprune.attach.layout import Layout, Part, assemble_layout, image_token_places, parts_by_prompt
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel


class Qwen2VL(Family):
    """Qwen2-VL: every image is one grid, as large as the image; a token is 2 x 2 patches.

    Positions have three axes (M-RoPE): time, row and column. Kept tokens keep all three, and decoding goes on after
    the largest position of the whole prompt, as without pruning.

    The vision tower has no class token, so methods that ask for its attention get what a patch receives from all
    patches of its image, in the tower's last layer. The keys there are rotated.

    The tokens of videos have an id of their own and are refused.
    """

    model_class = "Qwen2VLForConditionalGeneration"
    needs_sizes = True
    sizes_argument = "image_grid_thw"

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`. The sizes are `[images, 3]` (time, height, width) in patches.

        Raises:
            UserError: also if the sizes are missing.
        """
        places = image_token_places(config, input_ids, attended)
        if image_sizes is None:
            raise UserError(f"pruning {self.model_class} needs the {self.sizes_argument} that its processor returns")
        images = [self._parts(config, *size) for size in torch.as_tensor(image_sizes).tolist()]
        return assemble_layout(places, parts_by_prompt(places, images, self.sizes_argument), input_ids.device)

    def vision_tower(self, model: PreTrainedModel) -> nn.Module:
        """See `Family.vision_tower`."""
        return cast(nn.Module, self.core(model).visual)

    def projector(self, model: PreTrainedModel) -> nn.Module:
        """See `Family.projector`."""
        return cast(nn.Module, self.vision_tower(model).merger)

    def picture_side(self, config: PreTrainedConfig) -> tuple[int, int] | None:
        """See `Family.picture_side`: every image has its own size."""
        return None

    def _parts(self, config: PreTrainedConfig, time: int, height: int, width: int) -> list[Part]:
        """The grid of an image of that size in patches; several, should it have several frames."""
        merged = cast(int, config.vision_config.spatial_merge_size)
        part = Part(
            0,
            "image",
            (height // merged, width // merged),
            merged=merged,
            own_size=True,
            order=self._order(config, height, width),
        )
        return [part] * time

    def _order(self, config: PreTrainedConfig, height: int, width: int) -> tuple[int, ...] | None:
        """For each token of an image of that size in patches, its place in the tower's order."""
        return None


class Qwen25VL(Qwen2VL):
    """Qwen2.5-VL: as Qwen2-VL, but the vision tower sorts the tokens by windows of attention."""

    model_class = "Qwen2_5_VLForConditionalGeneration"

    def _order(self, config: PreTrainedConfig, height: int, width: int) -> tuple[int, ...] | None:
        from transformers.vision_utils import get_vision_window_index  # last checked with transformers 5.23

        vision = config.vision_config
        sorted_tokens, _ = get_vision_window_index(
            torch.tensor([[1, height, width]]),
            spatial_merge_size=vision.spatial_merge_size,
            window_size=vision.window_size,
            patch_size=vision.patch_size,
        )
        return tuple(sorted_tokens.argsort().tolist())
