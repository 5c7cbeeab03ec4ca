"""SCOPE: tokens that attract attention and cover the others."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.choosing import choose_greedily, filled_up
from vtprune.ops.cosine import cosines
from vtprune.ops.precision import precise_type
from vtprune.validation import convert, not_negative


@register
@dataclass(frozen=True)
class Scope(BeforeDecoder):
    """Choose tokens one by one, by the attention to them and how well they cover the others (SCOPE, arXiv 2510.24214).

    A token is covered as well as the most similar chosen token is similar to it (cosine; 0 at the beginning). The
    score of a token j is what choosing it adds to the coverage of all tokens i, times the attention to it:

        sum over i of max(0, cos(i, j) - cover(i)), times attention(j) ** alpha

    The attention is that of the vision tower's class token, in the layer whose output the projector gets (in a tower
    without a class token: the attention that a patch receives from all patches). The question does not count.

    The differences from the authors' code, as it is known from descriptions (this file is written from the formula):

    - Similarity is the cosine of embeddings as they enter the language model, not of the tower's outputs before the
      projector. So the method is the same for families that put several patches into a token.
    - Attention is averaged over heads, not summed, which changes no choice.
    - Once everything is covered, all scores are 0, and the tokens that are left follow in their order.
    - All images of a prompt, and the parts of an image, are one set of tokens. LLaVA-NeXT's newline tokens come from
      no patch. They neither count as covered nor cover, and are the last to be kept.
    - Kept tokens keep their positions; the published numbers were made with consecutive ones.

    Attributes:
        keep: see `BeforeDecoder`.
        alpha: exponent of the attention, at least 0; 1 in the paper. 0 leaves the attention out.
    """

    name: ClassVar[str] = "scope"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "alpha", not_negative)

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        patches = self._patches(features)
        present = patches.present
        similarity = cosines(self._embeddings(features))
        weight = patches.attention**self.alpha
        # A token without a patch is covered from the beginning, so that it adds to no score.
        cover = torch.zeros_like(weight).masked_fill(~present, float("inf"))
        gains = torch.empty_like(similarity)

        def scores() -> torch.Tensor:
            torch.sub(similarity, cover[:, None], out=gains).clamp_(min=0)
            return gains.sum(dim=2, dtype=precise_type(gains.device)) * weight

        def cover_more(last: torch.Tensor) -> torch.Tensor:
            row = similarity.gather(1, last[..., None].expand(-1, -1, similarity.shape[2]))[:, 0]
            torch.maximum(cover, row, out=cover)
            return scores()

        counts_of_patches = torch.minimum(counts, present.sum(dim=1))
        chosen = choose_greedily(scores(), counts_of_patches, present, cover_more)
        return filled_up(chosen, counts, features.valid)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all pairs."""
        return 2 * tokens * tokens * widths.hidden
