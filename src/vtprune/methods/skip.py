"""Every other token of those with the highest attention."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.ranking import highest, ranks


@register
@dataclass(frozen=True)
class SkipPruning(SingleStageMethod):
    """Keep every other one of the tokens with the highest attention (AdaptPrune's Table 5, row b).

    The supplement says, for a budget of 10 %: "Selecting every other token from the top 20 % tokens"
    (section C). For a budget of `k`, the `2k` tokens with the highest attention (FastV's scores) are sorted by
    score, and the first, the third, and so on stay. Where `2k` is more than there are tokens, the skipped ones
    follow, highest first, until the budget is filled.
    """

    name: ClassVar[str] = "skip"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        rank = ranks(features.attention(), features.valid)
        skipped = rank % 2
        return highest(-(skipped * rank.shape[1] + rank), counts, features.valid)
