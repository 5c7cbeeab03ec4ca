"""A coarser grid with a given number of cells, over each image's grid of tokens."""

import torch


def coarse_cells(
    positions: torch.Tensor, grids: torch.Tensor, cells: torch.Tensor, newline: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the grid of each token into as many cells as its image's `cells` says.

    The grid is cut into bands of rows, and each band into cells from left to right. With k cells on an h x w grid,
    there are about sqrt(k h / w) bands, so that cells are about square. The k cells are spread over the bands as
    evenly as possible: if k = r c for r bands, they are an r x c grid, as average pooling makes it. A band boundary,
    or a cell's, lies before the row or column that the fraction rounds up to, so that no token is in two cells.

    Args:
        positions: `[..., 2]` (row, column) of each token on its grid.
        grids: `[..., 2]` (height, width) of that grid.
        cells: `[...]` number of cells of that grid, at most height times width.
        newline: `[...]` bool, whether the last column of that grid is newline tokens. A band's newline tokens are its
            last cell; if the band has one cell only, they are in none.

    Returns:
        `[..., 2]` (band, cell in the band) of each token, -1 where it is in no cell, and `[...]` the squared distance
        of the token from the middle of its cell, in quarters of a squared grid cell.
    """
    (row, column), (height, width) = positions.unbind(dim=-1), grids.unbind(dim=-1)
    some = cells.clamp(min=1)
    least = -(-some // width)
    bands = (some * height / width).sqrt().round().long().maximum(least).minimum(some.minimum(height))
    band = row * bands // height
    in_band = (band + 1) * some // bands - band * some // bands
    patch_width = width - newline.long()
    patch_cells = (in_band - newline.long()).clamp(min=1)
    is_newline = newline & (column == width - 1)
    cell = torch.where(is_newline, in_band - 1, column * patch_cells // patch_width)
    across = torch.where(is_newline, 0, _off_middle(column, cell, patch_width, patch_cells))
    outside = (cells < 1) | (is_newline & (in_band == 1))
    place = torch.stack((band, cell), dim=-1).masked_fill(outside[..., None], -1)
    return place, _off_middle(row, band, height, bands) ** 2 + across**2


def _off_middle(index: torch.Tensor, part: torch.Tensor, size: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Twice the distance of an index from the middle of its part, where `size` indices are cut into parts."""
    start, end = -(-part * size // parts), -(-(part + 1) * size // parts)
    return 2 * index - (start + end - 1)
