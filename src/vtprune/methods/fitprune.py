from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.ops.ranking import highest
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class FitPrune(Method):
    """Attention from text times attention from image tokens, at one layer (FitPrune, arXiv 2409.10197).

    Row (a) of AdaptPrune's Table 5: "a single-layer implementation of FitPrune, which uses the
    cross attention between image and text multiplied by the self attention among image tokens"
    (supplement C). What that leaves open is read as in FitPrune's own code: of each weight the
    largest over heads; the cross attention summed over all text tokens, the self attention over all
    image tokens. Text before an image cannot see it and adds nothing; nor do image tokens add to
    later ones, so the first tokens of an image receive from more than the last. FitPrune's recipe
    (how many tokens go at which layer) is what "single-layer" leaves out.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
    """

    name: ClassVar[str] = "fitprune"
    needs: ClassVar[frozenset[Need]] = frozenset({"received"})

    keep: float | int | Budget
    layer: int | float = 2

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        from_text, from_image = features.received()
        return highest(from_text * from_image, counts, features.valid)
