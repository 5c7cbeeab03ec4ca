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
        gains = _Gains(similarity, cover)

        def cover_more(last: torch.Tensor) -> torch.Tensor:
            row = similarity.gather(1, last[..., None].expand(-1, -1, similarity.shape[2]))[:, 0]
            return gains.covered(torch.maximum(gains.cover, row)) * weight

        counts_of_patches = torch.minimum(counts, present.sum(dim=1))
        chosen = choose_greedily(gains.sums * weight, counts_of_patches, present, cover_more)
        return filled_up(chosen, counts, features.valid)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all pairs."""
        return 2 * tokens * tokens * widths.hidden


class _Gains:
    """What choosing each token adds to the coverage of all tokens.

    On a CPU, sums are changed by what the tokens that are covered better lose, which are few after the first steps.
    That is exact, because cosines are multiples of 2^-20 and sums are in float64. Elsewhere all sums are made anew,
    without a host synchronisation.

    Args:
        similarity: `[b, n, n]` of token j (first) and the covered token i.
        cover: `[b, n]` how well each token is covered at the beginning.

    Attributes:
        cover: `[b, n]` by now.
        sums: `[b, n]` the sum over i of max(0, similarity(j, i) - cover(i)).
    """

    def __init__(self, similarity: torch.Tensor, cover: torch.Tensor) -> None:
        self.similarity, self.cover = similarity, cover
        self._scratch = torch.empty_like(similarity)
        self.sums = self._all()

    def covered(self, cover: torch.Tensor) -> torch.Tensor:
        """Cover tokens better; returns the new sums."""
        before, self.cover = self.cover, cover
        if precise_type(cover.device) != torch.float64:
            self.sums = self._all()
            return self.sums
        for row in range(len(cover)):
            better = (cover[row] > before[row]).nonzero().flatten()
            similarity = self.similarity[row].index_select(1, better)
            lost = (
                (similarity - before[row, better]).clamp_(min=0).sub_((similarity - cover[row, better]).clamp_(min=0))
            )
            self.sums[row] -= lost.sum(dim=1, dtype=torch.float64)
        return self.sums

    def _all(self) -> torch.Tensor:
        torch.sub(self.similarity, self.cover[:, None], out=self._scratch).clamp_(min=0)
        return self._scratch.sum(dim=2, dtype=precise_type(self.cover.device))
