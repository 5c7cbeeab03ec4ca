"""The tokens with the highest attention after 3x3 average pooling."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.grid_cells import average_neighbours
from vtprune.ops.ranking import highest


@register
@dataclass(frozen=True)
class AvgPool3x3(SingleStageMethod):
    """The highest attention after averaging it over 3x3 neighbours (AdaptPrune's Table 5, row f).

    The supplement says: "Applying average pooling with a stride of 1 and a kernel size of 3 over the
    two-dimensional image" (section C). The pooled map holds FastV's scores, and the tokens with the highest
    averages stay. The map is padded by one cell of zeros, which count (the default of torch's `avg_pool2d`), so
    that every token gets a score. Tokens at an edge therefore score lower. Each image is a map of its own.
    Tokens that an earlier stage dropped count as zeros too.
    """

    name: ClassVar[str] = "avgpool3x3"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        scores = average_neighbours(
            features.attention(),
            valid=features.valid,
            positions=features.positions,
            grids=features.grids,
            images=features.image,
        )
        return highest(scores, counts, features.valid)
