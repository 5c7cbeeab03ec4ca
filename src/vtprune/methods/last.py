from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features
from vtprune.methods.base import Method, register
from vtprune.ops.ranking import highest
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class LastTokens(Method):
    """Keep the last tokens of the image sequence (AdaptPrune's Table 5, row g).

    "Selecting the last 10 % of the image token sequence" (supplement C). Several images in a prompt
    are one sequence: the last tokens are the last image's.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped.
    """

    name: ClassVar[str] = "last"

    keep: float | int | Budget
    layer: int | float = 2

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        place = torch.arange(features.valid.shape[1], device=features.valid.device)
        return highest(place.expand_as(features.valid), counts, features.valid)
