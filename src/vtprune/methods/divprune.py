"""DivPrune: tokens that are as different from one another as possible."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, FeatureWidths
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.choosing import choose_greedily
from vtprune.ops.cosine import cosines


@register
@dataclass(frozen=True)
class DivPrune(BeforeDecoder):
    """Choose tokens one by one, each the farthest from those chosen before (DivPrune, arXiv 2503.02175).

    The distance of two tokens is 1 minus the cosine of their embeddings, as they enter the language model. The
    paper solves the max-min diversity problem greedily. The first token is the one whose nearest other token is
    farthest. Then that token follows, again and again, whose nearest chosen token is farthest. Neither the attention
    nor the question counts, and no class token is needed.

    The differences from the authors' code, as it is known from descriptions (this file is written from the formula):

    - No token is chosen twice. There, once every distance is 0 (in a flat image, or after rounding to float16), token 0
      is chosen again and again. Here the tokens that are left follow in their order.
    - Kept tokens keep their positions. The published numbers were made with consecutive positions.
    - A fraction is rounded down, as for every method here. The authors round to the nearest number: 0.098 of 576
      tokens is 56 in both.
    - Distances are computed in float32 or better, for every row of a batch.

    All images of a prompt, and the parts of an image, are one set of tokens. LLaVA-NeXT's newline tokens are equal to
    one another, so one of them is chosen early and the others last.

    Attributes:
        keep: see `BeforeDecoder`. The paper's 0.098 keeps 56 of 576 tokens.
    """

    name: ClassVar[str] = "divprune"

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        valid = features.valid
        distances = 1 - cosines(self._embeddings(features))
        itself = torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
        isolation = distances.masked_fill(itself | ~valid[:, None], float("inf")).amin(dim=2)
        nearest = torch.full_like(isolation, float("inf"))

        def distance_to_chosen(last: torch.Tensor) -> torch.Tensor:
            row = distances.gather(1, last[..., None].expand(-1, -1, distances.shape[2]))[:, 0]
            return torch.minimum(nearest, row, out=nearest)

        return choose_greedily(isolation, counts, valid, distance_to_chosen)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all pairs."""
        return 2 * tokens * tokens * widths.hidden
