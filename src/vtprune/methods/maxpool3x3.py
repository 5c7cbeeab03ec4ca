"""The most attended token of each 3x3 square of the grid."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.grid_cells import top_of_squares


@register
@dataclass(frozen=True)
class MaxPool3x3(SingleStageMethod):
    """The most attended token of each 3x3 square, then the top of those (AdaptPrune's Table 5, row e).

    The supplement says: "Selecting the highest scoring token from each 3x3 grid, and then choosing the top
    10 % tokens" (section C); the scores are FastV's. The squares tile the token grid of the model (64 squares
    on a 24x24 grid). A budget larger than the number of squares also takes the second highest token of each
    square, and so on (see `vtprune.ops.grid_cells.top_of_squares`).
    """

    name: ClassVar[str] = "maxpool3x3"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        scores = features.attention()
        return top_of_squares(
            scores,
            scores,
            counts,
            valid=features.valid,
            positions=features.positions,
            grids=features.grids,
            images=features.image,
        )
