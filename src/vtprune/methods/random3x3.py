"""A random token of each 3x3 square of the grid, chosen by attention."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.methods.random import random_scores
from vtprune.ops.grid_cells import top_of_squares
from vtprune.validation import convert, integer


@register
@dataclass(frozen=True)
class Random3x3(SingleStageMethod):
    """One random token of each 3x3 square, then the most attended of those (AdaptPrune's Table 5, row d).

    The supplement says: "Randomly selecting one token from each 3x3 grid and then choosing the top 10 %
    tokens" (section C): the top by FastV's scores, 10 % of all image tokens. The squares tile the token grid
    of the model (64 squares on a 24x24 grid). A budget larger than the number of squares also takes a second
    token of each square, and so on (see `vtprune.ops.grid_cells.top_of_squares`). As in `RandomPruning`, the
    draw depends on the prompt, the image and `seed`.

    Attributes:
        keep, layer: see `SingleStageMethod`.
        seed: another seed gives another selection.
    """

    name: ClassVar[str] = "random3x3"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "seed", integer)

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return top_of_squares(
            features.attention(),
            random_scores(features.fingerprint(), features.valid, self.seed),
            counts,
            valid=features.valid,
            positions=features.positions,
            grids=features.grids,
            images=features.image,
        )
