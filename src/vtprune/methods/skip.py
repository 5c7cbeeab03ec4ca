from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.ops.ranking import highest, ranks
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class SkipPruning(Method):
    """Keep every other one of the tokens with the highest attention (AdaptPrune's Table 5, row b).

    "Selecting every other token from the top 20 % tokens" at a budget of 10 % (supplement C): for a
    budget of ``k``, of the ``2k`` tokens with the highest attention (FastV's scores) the first, the
    third, and so on in the order of their scores. Where ``2k`` is more than there are, the skipped
    ones follow, highest first, until the budget is filled.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
    """

    name: ClassVar[str] = "skip"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: float | int | Budget
    layer: int | float = 2

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        rank = ranks(features.attention(), features.valid)
        return highest(-(rank % 2 * rank.shape[1] + rank), counts, features.valid)
