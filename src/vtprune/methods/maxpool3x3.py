from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.ops.grid_cells import top_of_cells
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class MaxPool3x3(Method):
    """The most attended token of each 3x3 cell, then the top of those (AdaptPrune's Table 5, row e).

    "Selecting the highest scoring token from each 3x3 grid, and then choosing the top 10 % tokens"
    (supplement C), by FastV's scores. The cells tile the token grid of the model at hand (64 of
    them on 24x24). A budget larger than the number of cells takes the second highest of each cell,
    and so on (:func:`vtprune.ops.grid_cells.top_of_cells`).

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
    """

    name: ClassVar[str] = "maxpool3x3"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: float | int | Budget
    layer: int | float = 2

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        scores = features.attention()
        return top_of_cells(scores, scores, features, counts)
