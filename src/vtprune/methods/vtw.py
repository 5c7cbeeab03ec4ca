from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features
from vtprune.methods.base import Method, register
from vtprune.stages import Stage


@register
@dataclass(frozen=True)
class VTW(Method):
    """Drop all image tokens at one layer: visual token withdrawal (VTW, arXiv 2405.05803).

    Up to ``layer`` text has read the image; from there on it does without. Positions stay those of
    the whole prompt, which is what the authors' code does unless told otherwise. Their search for
    the layer (by the divergence of the answers) is not part of this: AdaptPrune's Table 1 fixes it
    at K=5, counted from 0 as in that code.

    Attributes:
        layer: 0-based decoder layer before which all image tokens are dropped, or a fraction of the
            decoder's depth (:func:`vtprune.methods.layer_at`). 5 / 32 is the paper's K=5 for the
            32 layers of LLaVA-1.5-7B; Table 1 prints K=5 for the 40 layers of 13B as well, which
            is ``layer=5``.
    """

    name: ClassVar[str] = "vtw"

    layer: int | float = 5 / 32

    def stages(self) -> list[Stage]:
        return [Stage(self.layer, self, _Nothing())]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return counts.new_empty(len(counts), 0)


class _Nothing:
    """The budget of a stage that keeps no image token."""

    def count(self, features: Features) -> torch.Tensor:
        return features.valid.new_zeros(len(features.valid), dtype=torch.long)

    def signature(self) -> int:
        return 0
