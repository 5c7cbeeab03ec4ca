"""InternVL: one grid a tile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vtprune.attach.families.family import Family
from vtprune.attach.layout import Layout, Part, assemble_layout, image_token_places, square_grid
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


class InternVL(Family):
    """InternVL: every tile of an image is a grid of its own, and the thumbnail comes last.

    The tokens of an image are consecutive, between the tokens `<img>` and `</img>`. An image of one tile has no
    thumbnail. The frames of a video are images of one tile.
    """

    model_class = "InternVLForConditionalGeneration"

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`."""
        height, width = (int(side * config.downsample_ratio) for side in square_grid(config))  # pixel shuffle
        tile = Part(0, "tile", (height, width), merged=round(1 / config.downsample_ratio))
        places = image_token_places(config, input_ids, attended)
        rows = []
        for row, place in enumerate(places):
            parts: list[Part] = []
            run = torch.nn.functional.pad(place.diff() != 1, (1, 0)).cumsum(dim=0)
            for number, length in enumerate(run.bincount().tolist()):
                count, rest = divmod(length, tile.tokens)
                if rest:
                    raise UserError(
                        f"image {number} of prompt {row} of the batch has {length} image tokens, which is not a "
                        f"multiple of the {tile.tokens} image tokens that a tile of this model has"
                    )
                parts += [replace(tile, image=number)] * count
                if count > 1:
                    parts[-1] = replace(tile, image=number, name="thumbnail")
            rows.append(parts)
        return assemble_layout(places, rows, input_ids.device)
