from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.ops.ranking import highest
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class FastV(Method):
    """Keep the tokens that the last prompt token attends to most (FastV, arXiv 2403.06764).

    The ablation's row (a) in AdaptPrune's Table 4.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
    """

    name: ClassVar[str] = "fastv"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: float | int | Budget
    layer: int | float = 2

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(features.attention(), counts, features.valid)
