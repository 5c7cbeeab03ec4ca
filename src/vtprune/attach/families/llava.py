"""LLaVA-1.5: one grid an image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vtprune.attach.families.family import Family
from vtprune.attach.layout import Layout, Part, assemble_layout, has_class_token, image_token_places, square_grid
from vtprune.errors import UserError

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
        places = image_token_places(config, input_ids, attended)
        rows = []
        for row, place in enumerate(places):
            count, rest = divmod(len(place), image.tokens)
            if rest:
                raise UserError(
                    f"prompt {row} of the batch has {len(place)} image tokens, which is not a multiple of the "
                    f"{image.tokens} image tokens that an image of this model has"
                )
            rows.append([replace(image, image=number) for number in range(count)])
        return assemble_layout(places, rows, input_ids.device)
