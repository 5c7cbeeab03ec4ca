"""Orders of tokens by their scores."""

import torch


def ranks(scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return each token's place in its row, counted from 0 for the highest score.

    Ties go to the lowest index. Tokens that are not valid come after all others.

    Args:
        scores: `[b, n]`.
        valid: `[b, n]` bool.

    Returns:
        `[b, n]` integers.
    """
    order = _descending(scores, valid)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def highest(scores: torch.Tensor, counts: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return the indices of the highest scores of each row. Ties go to the lowest index.

    Args:
        scores: `[b, n]`.
        counts: `[b]` how many to return of each row, at most as many as are valid.
        valid: `[b, n]` bool.

    Returns:
        `[b, m]` indices, best first, where m is the largest count; shorter rows are filled up with -1.
    """
    width = int(counts.max()) if len(counts) else 0
    slots = torch.arange(width, device=scores.device)
    return _descending(scores, valid)[:, :width].masked_fill(slots >= counts[:, None], -1)


def _descending(scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    return scores.float().masked_fill(~valid, float("-inf")).argsort(dim=1, descending=True, stable=True)
