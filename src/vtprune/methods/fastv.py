"""FastV: the tokens with the highest attention."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.ranking import highest


@register
@dataclass(frozen=True)
class FastV(SingleStageMethod):
    """Keep the tokens to which the last prompt token attends most (FastV, arXiv 2403.06764).

    It is row (a), without any of the three cues, in AdaptPrune's ablation (Table 4).
    """

    name: ClassVar[str] = "fastv"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(features.attention(), counts, features.valid)
