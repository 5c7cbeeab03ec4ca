"""HoloV: a share of the budget for each chunk of the image, by the attention to it."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, Need
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.choosing import apportioned, filled_up, members, ranks_within
from vtprune.ops.precision import precise_type
from vtprune.ops.ranking import highest
from vtprune.validation import convert, integer


@register
@dataclass(frozen=True)
class HoloV(BeforeDecoder):
    """Give each chunk of the image a share of the budget, by the attention to it (HoloV, arXiv 2510.02912).

    The tokens of an image are cut into 16 chunks of consecutive tokens (36 of LLaVA-1.5's 576: one and a half rows of
    the grid, not a square). A chunk's share of the budget is its share of the attention that the vision tower's class
    token pays (in a tower without a class token: that patches receive from all patches). Shares are rounded down, and
    the rest goes, one each, to the chunks of the largest shares. A chunk keeps its tokens with the highest attention.

    The paper also counts how varied a chunk is. In the authors' code that has no effect, so it is left out here: the
    variance of a token's cosines is added to its attention, but first scaled within the chunk so that its mean is 0.09
    of the chunk's mean attention. Only the mean over the chunk is used after that, and it is 1.09 times the mean
    attention in every chunk.

    The differences from that code:

    - A chunk whose share is above its size is kept whole, and the others get what is over, in proportion to their
      attention. There, zero vectors fill up the budget.
    - A chunk counts by the sum of its attention, not by its mean: the same where chunks are of equal size. (There,
      a chunk of one token counts a thousandth.)
    - The parts of an image (LLaVA-NeXT's two sequences, InternVL's tiles) and the images of a prompt have chunks of
      their own and share one budget. LLaVA-NeXT's newline tokens come from no patch. They are in no chunk, and are the
      last to be kept.
    - Kept tokens keep their order and positions. The published numbers for LLaVA were made with consecutive positions
      and the tokens of a chunk in the order of attention.

    Attributes:
        keep: see `BeforeDecoder`.
        chunks: number of chunks of an image, at least 1; 16 in the authors' code. 1 gives FasterVLM for one image.
    """

    name: ClassVar[str] = "holov"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    chunks: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "chunks", integer)
        if self.chunks < 1:
            raise UserError(f"chunks must be at least 1, not {self.chunks}")

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        patches = self._patches(features)
        present, attention = patches.present, patches.attention
        chunk = self._chunk_of(features.image, present)
        of_chunk = members(chunk, present)
        # A masked sum, because adding by index has no fixed order on GPUs.
        weights = (attention[:, None] * of_chunk).sum(dim=2, dtype=precise_type(attention.device))
        counts_of_patches = torch.minimum(counts, present.sum(dim=1))
        quotas = apportioned(weights, of_chunk.sum(dim=2), counts_of_patches)
        within = ranks_within(chunk, attention, present) < quotas.gather(1, chunk)
        chosen = highest(attention, counts_of_patches, present & within)
        return filled_up(chosen, counts, features.valid)

    def _chunk_of(self, image: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """`[b, n]` the number of each token's chunk among all chunks of its row; 0 where not present."""
        image = image.masked_fill(~present, 0)
        of_image = members(image, present)
        place = of_image.cumsum(dim=2).gather(1, image[:, None])[:, 0] - 1
        size = of_image.sum(dim=2).gather(1, image)
        # The first chunks have one token more where the size is no multiple of their number.
        length, longer = size // self.chunks, size % self.chunks
        in_longer = longer * (length + 1)
        later = longer + (place - in_longer) // length.clamp(min=1)
        chunk = torch.where(place < in_longer, place // (length + 1), later)
        return (image * self.chunks + chunk).masked_fill(~present, 0)
