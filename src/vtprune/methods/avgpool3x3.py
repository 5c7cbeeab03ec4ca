from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.ops.ranking import highest
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class AvgPool3x3(Method):
    """The highest attention after averaging it over 3x3 neighbours (AdaptPrune's Table 5, row f).

    "Applying average pooling with a stride of 1 and a kernel size of 3 over the two-dimensional
    image" (supplement C), that is over the map of FastV's scores; then the top. So that every token
    gets a score, the map is padded by one cell of zeros, which count: the default of torch's
    ``avg_pool2d``. Tokens at an edge therefore score lower. Each image is a map of its own, and
    tokens that an earlier stage dropped count as zeros too.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
    """

    name: ClassVar[str] = "avgpool3x3"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: float | int | Budget
    layer: int | float = 2

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(averaged(features.attention(), features), counts, features.valid)


def averaged(scores: torch.Tensor, features: Features) -> torch.Tensor:
    """``[b, n]`` scores, each the mean over its 3x3 neighbourhood on its image's grid."""
    rows, images = len(scores), features.image.max() + 1
    images, height, width = torch.stack((images, *features.grids.amax(dim=(0, 1)))).tolist()
    down, across = features.positions.unbind(dim=-1)
    place = (features.image * height + down) * width + across
    # Added, not written: tokens that are not valid may lie on a valid one's place, and add nothing.
    maps = scores.new_zeros(rows, images * height * width)
    maps.scatter_add_(1, place, scores.masked_fill(~features.valid, 0.0))
    means = torch.nn.functional.avg_pool2d(maps.view(rows, images, height, width), 3, stride=1, padding=1)
    return means.flatten(1).gather(1, place)
