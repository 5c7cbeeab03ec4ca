"""VisPruner: tokens that the vision tower attends to, and tokens that differ from one another."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.choosing import filled_up
from vtprune.ops.cosine import cosines
from vtprune.ops.ranking import highest
from vtprune.ops.thinning import thinned
from vtprune.validation import convert, finite


@register
@dataclass(frozen=True)
class VisPruner(BeforeDecoder):
    """Keep the tokens the vision tower attends to, and of the others different ones (VisPruner, arXiv 2412.01818).

    A share of the budget goes to the tokens with the highest attention from the tower's class token, mean over heads
    (in a tower without a class token: the attention that a patch receives from all patches). The other tokens are
    thinned in rounds until the rest of the budget is left. In a round, the tokens at even places look for their most
    similar token at odd places, and the 8 tokens with the highest similarity are dropped. The tokens left at
    even places, the most similar first, and then those at odd places are the list of the next round. The first list
    is in the order of attention. The question does not count.

    The differences from the authors' code:

    - Similarity is the cosine of embeddings as they enter the language model, not of the tower's outputs before the
      projector. So the method is the same for families that put several patches into a token.
    - Ties are broken by the list's order. The authors' sort leaves them open.
    - All tokens of a prompt have one list and one budget. There, each tile of LLaVA-NeXT has its own, and the newline
      tokens are kept beside the budget. Here newline tokens, which come from no patch, are the last to be kept.
    - Kept tokens keep their positions; the published numbers were made with consecutive ones.
    - `important=1` keeps no different tokens at all, which is FasterVLM. There, the loop ends in an error.

    Attributes:
        keep: see `BeforeDecoder`.
        important: share of the budget, in [0, 1], for the tokens with the highest attention, rounded down. The
            paper's default is 0.5; 0.75 gives the 48 + 16 of 64 in the authors' instructions.
    """

    name: ClassVar[str] = "vispruner"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    important: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "important", finite)
        if not 0 <= self.important <= 1:
            raise UserError(f"important must be a share of the budget in [0, 1], not {self.important}")

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        patches = self._patches(features)
        sizes = patches.present.sum(dim=1)
        wanted = torch.minimum(counts, sizes).tolist()
        important = [int(count * self.important) for count in wanted]
        diverse = [count - first for count, first in zip(wanted, important, strict=True)]
        order = highest(patches.attention, sizes, patches.present)
        if any(diverse):
            order = thinned(cosines(self._embeddings(features)), order, important, diverse)
        places = torch.arange(order.shape[1], device=order.device)
        chosen = order.masked_fill(places >= torch.minimum(counts, sizes)[:, None], -1)
        return filled_up(chosen, counts, features.valid)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all pairs."""
        return 2 * tokens * tokens * widths.hidden if int(kept * self.important) < kept else 0
