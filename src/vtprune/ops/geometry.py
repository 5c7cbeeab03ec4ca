"""Positions of tokens, in the units of AdaptPrune's 24x24 grid.

One rule applies the paper's hyper-parameters to any grid: positions are rescaled, the parameters
never are. A cell of an `h x w` grid counts as `24 / sqrt(h * w)` cells of the paper's grid.
"""

import torch

PAPER_GRID = 24  # LLaVA-1.5: 336-pixel images in 14-pixel patches
PAPER_HALF_SIDE = 12.0  # the centre prior's coordinates run over linspace(-12, 12, 24)


def grid_positions(height: int, width: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Return `[height * width, 2]`: (row, column) of the cells of a grid, row by row."""
    cell = torch.arange(height * width, device=device)
    return torch.stack((cell // width, cell % width), dim=-1)


def paper_positions(positions: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """Rescale positions to cells of the paper's grid.

    Args:
        positions: `[..., 2]` (row, column) in cells of the token's grid.
        grids: `[..., 2]` (height, width) of that grid in cells, broadcastable to `positions`.

    Returns:
        `[..., 2]` float32.
    """
    area = grids.to(torch.float32).prod(dim=-1, keepdim=True)
    return positions.to(torch.float32) * (PAPER_GRID / area.sqrt())


def centre_prior(positions: torch.Tensor, grids: torch.Tensor, sigma: float = 12.0) -> torch.Tensor:
    """Compute AdaptPrune's distribution correction (section 4.1): a Gaussian about the image's midpoint.

    Each axis runs from -12 at the centre of the first cell to 12 at the centre of the last one, whatever the
    grid (0 where it has one cell only). So with `sigma=12` the edge is one standard deviation away on every grid.
    The Gaussian is not normalised: it is 1 at the midpoint.

    Args:
        positions: `[..., 2]` (row, column) in cells of the token's grid.
        grids: `[..., 2]` (height, width) of that grid in cells, broadcastable to `positions`.
        sigma: standard deviation, in twelfths of half the grid's side.

    Returns:
        `[...]` float32 factors in (0, 1].
    """
    last = (grids - 1).to(torch.float32)
    centred = positions.to(torch.float32) * (2 * PAPER_HALF_SIDE) / last.clamp(min=1) - PAPER_HALF_SIDE
    centred = torch.where(last > 0, centred, torch.zeros_like(centred))
    return torch.exp(-(centred**2).sum(dim=-1) / (2 * sigma**2))
