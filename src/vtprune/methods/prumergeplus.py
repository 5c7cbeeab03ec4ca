"""PruMerge+: attended and evenly spaced tokens, into which the others are merged."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.choosing import filled_up
from vtprune.ops.cosine import cosines
from vtprune.ops.indexing import mask_from_indices
from vtprune.ops.ranking import highest, ranks
from vtprune.validation import convert, finite, integer


@register
@dataclass(frozen=True)
class PruMergePlus(BeforeDecoder):
    """Keep attended and evenly spaced tokens, and merge the others into them (LLaVA-PruMerge+, arXiv 2403.15388).

    A share of the budget goes to the tokens with the highest attention from the vision tower's class token (in a tower
    without a class token: the attention that a patch receives from all patches). The rest goes to evenly spaced ones
    among the others, in reading order. Then each dropped token joins the kept token with the most similar key
    (cosine), if it is among the 32 tokens whose keys are most similar to that one's; otherwise it is discarded.
    A kept token becomes the mean of itself and of the tokens that joined it.

    The paper has no fixed budget: it keeps the outliers of the attention (above the third quartile by 1.5 times the
    distance of the quartiles) and samples about three times as many tokens by a fixed step. The papers that compare
    with it fix the budget in ways of their own. Here the budget is met exactly, and a quarter of it is attended tokens.

    Other differences from the authors' code:

    - There, a kept token gets the sum of its 32 nearest tokens added, each times the attention to it. The neighbours
      of two kept tokens overlap, and a kept token can be among them. One more token is the weighted sum of all dropped
      ones. Here a token joins at most one mean, all tokens of a mean count alike, and there is no further token.
    - Embeddings are merged as they enter the language model, not the tower's outputs before the projector.
    - The attention and keys are those of the layer whose output the projector gets, by head, and the keys are averaged
      over heads. The authors take the tower's last layer, with all heads as one.
    - Kept tokens keep their order and positions. There, the order is that of attention, with consecutive positions.
    - All images of a prompt, and the parts of an image, share one budget and are merged together. LLaVA-NeXT's newline
      tokens come from no patch. They join nothing, and are the last to be kept.

    Attributes:
        keep: see `BeforeDecoder`.
        attended: share of the budget, in [0, 1], for the tokens with the highest attention, rounded down, but at least
            one token unless it is 0. (Our assumption: 0.25, because the authors sample three tokens for an outlier.)
        neighbours: how many of the tokens most similar to a kept token can join it; 32 in the authors' code. 0 merges
            nothing.
    """

    name: ClassVar[str] = "prumergeplus"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    attended: float = 0.25
    neighbours: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "attended", finite)
        convert(self, "neighbours", integer)
        if not 0 <= self.attended <= 1:
            raise UserError(f"attended must be a share of the budget in [0, 1], not {self.attended}")
        if self.neighbours < 0:
            raise UserError(f"neighbours must not be negative, not {self.neighbours}")

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        patches = self._patches(features)
        wanted = torch.minimum(counts, patches.present.sum(dim=1))
        first = wanted.new_tensor([self._attended_count(count) for count in wanted.tolist()])
        place = ranks(patches.attention, patches.present)
        attended = patches.present & (place < first[:, None])
        rest = patches.present & ~attended
        spaced = _evenly_spaced(rest, wanted - first)
        chosen = highest(torch.where(attended, 0, -1) * place.shape[1] - place, wanted, attended | spaced)
        return filled_up(chosen, counts, features.valid)

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        if self.neighbours == 0:
            return None
        patches = self._patches(features)
        present, tokens = patches.present, kept.shape[1]
        similarity = cosines(patches.keys)
        target = present & kept
        nearest = similarity.masked_fill(~target[:, None], float("-inf")).argmax(dim=2)
        # Row j: the similarities of the kept token that is nearest to token j, and j's place in their order.
        rows = similarity.gather(1, nearest[..., None].expand(-1, -1, tokens)).masked_fill(~present[:, None], -2.0)
        index = torch.arange(tokens, device=kept.device)
        rows = rows.masked_fill(nearest[..., None] == index, -2.0)  # no token is a neighbour of itself
        own = rows.diagonal(dim1=1, dim2=2)[..., None]
        place = ((rows > own) | ((rows == own) & (index < index[:, None]))).sum(dim=2)
        joins = present & ~kept & target.any(dim=1, keepdim=True) & (place < self.neighbours)
        into = nearest.masked_fill(~joins, -1)
        return torch.where(mask_from_indices(into, tokens), index, into)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all pairs of keys, and the means of embeddings."""
        return 2 * tokens * tokens * widths.tower_key + 2 * kept * tokens * widths.hidden

    def _attended_count(self, count: int) -> int:
        """How many of `count` tokens are those with the highest attention."""
        return min(count, max(int(count * self.attended), int(self.attended > 0)))


def _evenly_spaced(among: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mark tokens number `i * size // count`, for i from 0, of the `size` marked tokens of each row: `[b, n]` bool."""
    size, counts = among.sum(dim=1, keepdim=True).clamp(min=1), counts[:, None]
    number = among.cumsum(dim=1) - 1
    # Number k is taken if an i lies in [k count / size, (k + 1) count / size).
    before, after = ((number + step) * counts + size - 1 for step in (0, 1))
    return among & (after // size > before // size)
