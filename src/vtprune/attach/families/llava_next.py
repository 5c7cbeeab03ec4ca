"""LLaVA-NeXT: two grids an image, the base and the any-resolution one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vtprune.attach.families.family import Family
from vtprune.attach.layout import (
    Layout,
    Part,
    assemble_layout,
    has_class_token,
    image_token_places,
    parts_by_prompt,
    square_grid,
)
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


class LlavaNext(Family):
    """LLaVA-NeXT: every image is two sequences of tokens.

    The base sequence is the image at the vision tower's own size. The any-resolution sequence is the grid that
    the tiles form together, without the padding on it; each of its rows ends in a newline token.

    Newline tokens are image tokens like the others: budgets count them, and methods rank and drop them. Their
    places are the last column of the grid, so that the sequence is a full `height x (width + 1)` grid
    (AdaptPrune, supplement A: "we restore each image sequence to a two-dimensional arrangement"). If they were
    always kept, a tenth of the tokens would not be a tenth.
    """

    model_class = "LlavaNextForConditionalGeneration"
    needs_sizes = True

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`. Prompts that repeat one another (beam search) may share their image sizes.

        Raises:
            UserError: also if the image sizes are missing, or if the vision tower's class token is among the image
                tokens.
        """
        if has_class_token(config):
            raise UserError("pruning LLaVA-NeXT needs vision_feature_select_strategy 'default', not 'full'")
        places = image_token_places(config, input_ids, attended)
        if image_sizes is None:
            raise UserError("pruning LLaVA-NeXT needs the image_sizes that its processor returns")
        images = [anyres_parts(config, size) for size in torch.as_tensor(image_sizes).tolist()]
        return assemble_layout(places, parts_by_prompt(places, images, self.sizes_argument), input_ids.device)


def anyres_parts(config: PreTrainedConfig, size: list[int]) -> list[Part]:
    """Both sequences of an image of that (height, width) in pixels, by the model's own functions."""
    # Last checked with transformers 5.23. A LLaVA-NeXT model has imported this module already.
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image

    height, width = square_grid(config)
    down, across = get_anyres_image_grid_shape(  # type: ignore[no-untyped-call]
        size, config.image_grid_pinpoints, config.vision_config.image_size
    )
    # The patches are numbered, so that the first one that remains says what was cut off.
    canvas = torch.arange(down * height * across * width).view(1, down * height, across * width)
    remaining = unpad_image(canvas, size)[0]  # type: ignore[no-untyped-call]
    cut = divmod(int(remaining[0, 0]), across * width) if remaining.numel() else (0, 0)
    rows, columns = remaining.shape
    return [
        Part(0, "base", (height, width)),
        Part(0, "any-res", (rows, columns + 1), tiles=(down, across), cut=cut, newline=True),
    ]
