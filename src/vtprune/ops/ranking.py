"""Orders of tokens by their scores."""

import torch


def ranks(scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The place of each token in its row from the highest score (0) on, ties to the lowest index.

    ``[b, n]`` like ``scores``; tokens that are not valid come after all others.
    """
    order = scores.float().masked_fill(~valid, float("-inf")).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def highest(scores: torch.Tensor, counts: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The ``counts`` highest scores of each row, ties to the lowest index: ``[b, m]``, filled with -1."""
    width = int(counts.max()) if len(counts) else 0
    order = scores.float().masked_fill(~valid, float("-inf")).argsort(dim=1, descending=True, stable=True)
    slots = torch.arange(width, device=scores.device)
    return order[:, :width].masked_fill(slots >= counts[:, None], -1)
