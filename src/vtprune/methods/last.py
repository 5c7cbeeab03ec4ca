"""The last tokens of the image sequence, a baseline."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.ranking import highest


@register
@dataclass(frozen=True)
class LastTokens(SingleStageMethod):
    """Keep the last tokens of the image sequence (AdaptPrune's Table 5, row g).

    The supplement says: "Selecting the last 10 % of the image token sequence" (section C). Several images in
    a prompt are one sequence, so the last tokens are those of the last image.
    """

    name: ClassVar[str] = "last"

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        place = torch.arange(features.valid.shape[1], device=features.valid.device)
        return highest(place.expand_as(features.valid), counts, features.valid)
