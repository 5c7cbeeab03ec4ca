"""Picking, marking and packing the tokens of a batch by their indices."""

import torch


def take(tensor: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Pick tokens: `[b, length, d]` at the positions `[b, m]` gives `[b, m, d]`."""
    return tensor.gather(1, index.to(tensor.device)[..., None].expand(-1, -1, tensor.shape[-1]))


def mask_from_indices(indices: torch.Tensor, width: int) -> torch.Tensor:
    """Mark the tokens with the given indices.

    Args:
        indices: `[b, m]`, from -1 to `width - 1`. -1 marks nothing: it fills up rows.
        width: number of tokens of a row.

    Returns:
        `[b, width]` bool.
    """
    # One more column takes the writes of -1, so that nothing has to be filtered out.
    marked = torch.zeros(len(indices), width + 1, dtype=torch.bool, device=indices.device)
    return marked.scatter(1, indices % (width + 1), True)[:, :width]


def indices_from_mask(mask: torch.Tensor) -> torch.Tensor:
    """The indices of the marked tokens of each row, ascending: `[b, m]` for the row with most of them.

    The other rows are filled up with indices of tokens that are not marked.
    """
    most = int(mask.sum(dim=1).max())
    return mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]


def pack_left(lists: torch.Tensor) -> torch.Tensor:
    """Return lists of indices, `[b, m]`, with their -1 at the end."""
    return lists.gather(1, (lists < 0).to(torch.uint8).argsort(dim=1, stable=True))


def pack_right(mask: torch.Tensor) -> torch.Tensor:
    """Pack the marked tokens of each row to the right, in their order.

    Args:
        mask: `[b, length]` bool.

    Returns:
        `[b, m]` for each position after packing, the position before. `m` is the length of the row with most
        marked tokens; the other rows begin with positions of tokens that are not marked (padding).
    """
    longest = int(mask.sum(dim=1).max())
    return mask.to(torch.uint8).argsort(dim=1, stable=True)[:, mask.shape[1] - longest :]


def inverse_of(order: torch.Tensor, length: int) -> torch.Tensor:
    """For each of `length` positions before packing, the position after: `[b, length]`, 0 where the token is gone.

    Args:
        order: `[b, m]` as `pack_right` returns it.
    """
    inverse = torch.zeros(len(order), length, dtype=torch.long, device=order.device)
    return inverse.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand(len(order), -1))
