"""FitPrune, reduced to a single layer: attention from text times attention from image tokens."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.ranking import highest


@register
@dataclass(frozen=True)
class FitPrune(SingleStageMethod):
    """Attention from text times attention from image tokens, at one layer (FitPrune, arXiv 2409.10197).

    It is row (a) of AdaptPrune's Table 5: "a single-layer implementation of FitPrune, which uses the
    cross attention between image and text multiplied by the self attention among image tokens"
    (supplement C). The quotation leaves details open. They follow FitPrune's own code:

    - Each weight is the largest over heads.
    - Cross attention is summed over all text tokens, self attention over all image tokens.
    - Attention is causal: text before an image pays it none, and the first tokens of an image receive attention from
      more tokens than the last ones.

    FitPrune's recipe (how many tokens are dropped at which layer) is not part of this method.
    """

    name: ClassVar[str] = "fitprune"
    needs: ClassVar[frozenset[Need]] = frozenset({"received"})

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        from_text, from_image = features.received()
        return highest(from_text * from_image, counts, features.valid)
