"""A smaller picture: the grid of image tokens, average-pooled to the budget."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from vtprune.features import Features, FeatureWidths
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.choosing import members, ranks_within
from vtprune.ops.coarse_grid import coarse_cells
from vtprune.ops.indexing import mask_from_indices, take
from vtprune.ops.ranking import highest


@register
@dataclass(frozen=True)
class Pooled(BeforeDecoder):
    """Average the image tokens over the cells of a coarser grid: a smaller picture (VTC-Bench, arXiv 2510.07143).

    VTC-Bench asks whether a method beats the same picture at a smaller size, and finds that many do not. There, the
    picture is made smaller before the vision tower. Here its tokens are pooled after the projector, so the tower sees
    the whole picture, and any budget is possible. Nothing is ranked: neither attention nor the question counts.

    A budget of k tokens cuts an image's grid into k cells of about equal size (see `vtprune.ops.coarse_grid`). Where k
    is a number r c of rows and columns that fit the grid's shape, they are a grid: 144 of 576 tokens are the means of
    2 x 2 tokens each. Otherwise some bands have one cell more than others. A kept token is the mean of its cell and
    has the position of the token nearest the cell's middle (of several, the first).

    Several images, and the parts of an image (LLaVA-NeXT's two sequences, InternVL's tiles), share the budget in
    proportion to their tokens, and no cell spans two of them. LLaVA-NeXT's newline tokens are not mixed with others:
    those of a band of rows become one newline token, or are dropped where the band has one cell only. They are
    recognised as a last column of equal tokens, so in a grid of one row the newline token counts as a patch.
    If an earlier stage dropped all tokens of a cell, other cells keep further tokens, unchanged, to fill the budget.

    Attributes:
        keep: see `BeforeDecoder`.
    """

    name: ClassVar[str] = "pooled"

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        cells = self._cells(features, counts)
        return highest(-cells.turn, counts, features.valid)

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        cells = self._cells(features, kept.sum(dim=1))
        tokens = kept.shape[1]
        index = torch.arange(tokens, device=kept.device).expand_as(kept)
        # A cell's target is its token of turn 0; one more column takes the tokens without a cell.
        target = torch.full((len(kept), cells.beyond + 1), -1, device=kept.device)
        first = torch.where(cells.turn == 0, cells.number, cells.beyond)
        into = target.scatter(1, first, index).gather(1, cells.number)
        into = into.masked_fill((kept & (cells.turn > 0)) | (cells.number == cells.beyond) | ~features.valid, -1)
        others = into.masked_fill(into == index, -1)
        return torch.where(mask_from_indices(others, tokens), index, others)  # a cell of one token needs no mean

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the means of embeddings."""
        return 2 * kept * tokens * widths.hidden

    def _cells(self, features: Features, counts: torch.Tensor) -> "_Cells":
        valid = features.valid
        image = features.image.masked_fill(~valid, 0)
        of_image = members(image, valid)
        # Shares of the budget by the number of tokens, whose sums are rounded down.
        before = torch.nn.functional.pad(of_image.sum(dim=2).cumsum(dim=1), (1, 0))
        shares = (before * counts[:, None] // before[:, -1:].clamp(min=1)).diff(dim=1)
        newline = _has_newlines(self._embeddings(features), features, of_image).gather(1, image) & valid
        place, distance = coarse_cells(features.positions, features.grids, shares.gather(1, image), newline)
        height, width = features.grids.amax(dim=(0, 1)).tolist()
        count = of_image.shape[1] * height * width
        number = (image * height + place[..., 0]) * width + place[..., 1]
        number = number.masked_fill((place[..., 0] < 0) | ~valid, count)
        turn = ranks_within(number, -distance, valid)
        # Tokens without a cell fill the budget last.
        turn = torch.where(number == count, turn + valid.shape[1], turn)
        return _Cells(number, turn, count)


def _has_newlines(embeddings: torch.Tensor, features: Features, of_image: torch.Tensor) -> torch.Tensor:
    """`[b, images]` bool, whether the last column of an image's grid is several equal tokens.

    Args:
        of_image: `[b, images, n]` bool, the valid tokens of each image.
    """
    width = features.grids[..., 1]
    column = of_image & ((features.positions[..., 1] == width - 1) & (width > 1))[:, None]
    first = column.to(torch.uint8).argmax(dim=2)
    expected = take(take(embeddings, first), of_image.to(torch.uint8).argmax(dim=1))
    differs = (embeddings != expected).any(dim=2)
    return (column.sum(dim=2) > 1) & ~(column & differs[:, None]).any(dim=2)


class _Cells(NamedTuple):
    """The cells of the coarser grids.

    Attributes:
        number: `[b, n]` the number of each token's cell, `beyond` for tokens in none.
        turn: `[b, n]` the place of each token among those of its cell, 0 for the one nearest the middle.
        beyond: a number above those of all cells.
    """

    number: torch.Tensor
    turn: torch.Tensor
    beyond: int
