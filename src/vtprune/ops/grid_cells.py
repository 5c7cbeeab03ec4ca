"""Selections and averages over squares of neighbouring grid cells."""

import torch

from vtprune.ops.ranking import highest, ranks


def top_of_squares(
    scores: torch.Tensor,
    scores_within: torch.Tensor,
    counts: torch.Tensor,
    *,
    valid: torch.Tensor,
    positions: torch.Tensor,
    grids: torch.Tensor,
    images: torch.Tensor,
    side: int = 3,
) -> torch.Tensor:
    """Choose one token of each square of the grid, then the highest `scores` among those.

    Every image's grid is cut into squares of `side x side` cells, from its top left corner. At the right
    and bottom edge they are smaller where the grid is no multiple of `side`. No square spans two images.
    Where a row's count is larger than its number of squares (the paper does not say what happens then), the
    second tokens of all squares follow, again by `scores`, then the third ones. So every count is
    filled and the chosen tokens stay spread out.

    Args:
        scores: `[b, n]`.
        scores_within: `[b, n]`, the order within a square: its highest token comes first.
        counts: `[b]` how many tokens to choose of each row, at most as many as are valid.
        valid: `[b, n]` bool; other tokens are never chosen.
        positions: `[b, n, 2]` (row, column) of each token on its image's grid, in cells.
        grids: `[b, n, 2]` (height, width) of that grid, in cells.
        images: `[b, n]` the number of each token's image.

    Returns:
        `[b, m]` indices, best first, filled up with -1.
    """
    tokens = valid.shape[1]
    square_position, squares = positions // side, grids // side + 1
    down, across = squares.amax(dim=(0, 1))  # of the largest grid, so that no two squares get the same number
    square = (images * down + square_position[..., 0]) * across + square_position[..., 1]
    square = square.masked_fill(~valid, -1)
    # Square by square, in each the tokens in their order; a token's turn counts from the start of its square.
    order = (square * tokens + ranks(scores_within, valid)).argsort(dim=1)
    sorted_square = square.gather(1, order)
    place = torch.arange(tokens, device=order.device).expand_as(order)
    start = place.masked_fill(sorted_square == sorted_square.roll(1, dims=1), 0).cummax(dim=1).values
    turn = torch.empty_like(order).scatter_(1, order, place - start)
    return highest(-(turn * tokens + ranks(scores, valid)), counts, valid)


def average_neighbours(
    scores: torch.Tensor,
    *,
    valid: torch.Tensor,
    positions: torch.Tensor,
    grids: torch.Tensor,
    images: torch.Tensor,
) -> torch.Tensor:
    """Average each token's score over its 3x3 neighbourhood on its image's grid.

    Cells outside the grid and tokens that are not valid count as zeros.

    Args:
        scores: `[b, n]`.
        valid, positions, grids, images: see `top_of_squares`.

    Returns:
        `[b, n]`.
    """
    rows, image_count = len(scores), images.max() + 1
    image_count, height, width = torch.stack((image_count, *grids.amax(dim=(0, 1)))).tolist()
    down, across = positions.unbind(dim=-1)
    place = (images * height + down) * width + across
    # Added, not written: tokens that are not valid may lie on a valid one's place, and add nothing.
    maps = scores.new_zeros(rows, image_count * height * width)
    maps.scatter_add_(1, place, scores.masked_fill(~valid, 0.0))
    means = torch.nn.functional.avg_pool2d(maps.view(rows, image_count, height, width), 3, stride=1, padding=1)
    return means.flatten(1).gather(1, place)
