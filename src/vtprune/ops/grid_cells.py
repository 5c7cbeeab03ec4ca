"""One token of each 3x3 cell of the image grid: what rows (d) and (e) of AdaptPrune's Table 5 share."""

import torch

from vtprune.features import Features
from vtprune.ops.ranking import highest, ranks


def top_of_cells(
    scores: torch.Tensor, within: torch.Tensor, features: Features, counts: torch.Tensor, side: int = 3
) -> torch.Tensor:
    """Choose the highest ``scores`` among the tokens that are the first ones of their cells.

    Every image's grid is cut from its top left corner into cells of ``side x side`` tokens, smaller
    ones at the right and bottom edge where the grid is no multiple of that. No cell spans two
    images. Where a budget is larger than the number of cells (which the paper leaves open), the second
    tokens of all cells follow, again by ``scores``, then the third ones, so that every budget is
    filled and the kept tokens stay spread out.

    Args:
        scores: ``[b, n]``.
        within: ``[b, n]``, the order within a cell: its highest comes first.
        features, counts: as of :meth:`Ranking.select`.

    Returns:
        ``[b, m]`` indices, best first, filled up with -1.
    """
    valid, tokens = features.valid, features.valid.shape[1]
    position, size = features.positions // side, features.grids // side + 1
    down, across = size.amax(dim=(0, 1))  # of the largest grid, so that no two cells get the same number
    cell = (features.image * down + position[..., 0]) * across + position[..., 1]
    cell = cell.masked_fill(~valid, -1)
    # Cell by cell, in each the tokens in their order; a token's turn counts from its cell's start.
    order = (cell * tokens + ranks(within, valid)).argsort(dim=1)
    sorted_cell = cell.gather(1, order)
    place = torch.arange(tokens, device=order.device).expand_as(order)
    start = place.masked_fill(sorted_cell == sorted_cell.roll(1, dims=1), 0).cummax(dim=1).values
    turn = torch.empty_like(order).scatter_(1, order, place - start)
    return highest(-(turn * tokens + ranks(scores, valid)), counts, valid)
