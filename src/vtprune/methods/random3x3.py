from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.methods.random import draw
from vtprune.ops.grid_cells import top_of_cells
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class Random3x3(Method):
    """One random token of each 3x3 cell, then the most attended of those (AdaptPrune's Table 5, row d).

    "Randomly selecting one token from each 3x3 grid and then choosing the top 10 % tokens"
    (supplement C): the top by FastV's scores, of the whole image tokens' number. The cells tile the
    token grid of the model at hand (64 of them on 24x24). A budget larger than the number of cells
    takes a second token of each cell, and so on (:func:`vtprune.ops.grid_cells.top_of_cells`). The
    draw is :class:`RandomPruning`'s: by the prompt, the image and ``seed``.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
        seed: another seed, another selection.
    """

    name: ClassVar[str] = "random3x3"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: float | int | Budget
    layer: int | float = 2
    seed: int = 0

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return top_of_cells(features.attention(), draw(features, self.seed), features, counts)
