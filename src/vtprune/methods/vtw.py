"""VTW: drop all image tokens at one layer."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features
from vtprune.methods.base import Method, register
from vtprune.stages import Stage, as_layer


@register
@dataclass(frozen=True)
class VTW(Method):
    """Drop all image tokens at one layer: visual token withdrawal (VTW, arXiv 2405.05803).

    Before `layer`, text tokens attend to the image; from `layer` on no image token is left. Position ids
    stay those of the complete prompt, which is the default of the authors' code. Their search for the layer
    (by the divergence of the answers) is not part of this method: AdaptPrune's Table 1 fixes it at K=5,
    counted from 0 as in that code.

    Attributes:
        layer: the 0-based decoder layer before which all image tokens are dropped, or a fraction of the
            decoder's depth (see `vtprune.stages.layer_at`). 5 / 32 is the paper's K=5 for the 32 layers of
            LLaVA-1.5-7B. Table 1 prints K=5 for the 40 layers of 13B as well, which is `layer=5`.
    """

    name: ClassVar[str] = "vtw"

    layer: int | float = 5 / 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", as_layer(self.layer))

    def stages(self) -> list[Stage]:
        return [Stage(self.layer, self, _NoTokens())]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return counts.new_empty(len(counts), 0)


class _NoTokens:
    """The budget of a stage that keeps no image token."""

    def count(self, features: Features) -> torch.Tensor:
        return features.valid.new_zeros(len(features.valid), dtype=torch.long)

    def signature(self) -> int:
        return 0
