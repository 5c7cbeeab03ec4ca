"""Choosing tokens one by one, by groups, and in place of those that a method cannot choose."""

from collections.abc import Callable

import torch

from vtprune.ops.indexing import mask_from_indices
from vtprune.ops.precision import precise_type
from vtprune.ops.ranking import highest, ranks


def choose_greedily(
    scores: torch.Tensor,
    counts: torch.Tensor,
    valid: torch.Tensor,
    rescore: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Choose tokens one by one: the highest score among those not yet chosen, then all scores anew.

    Ties go to the lowest index. There is no host synchronisation for each chosen token.

    Args:
        scores: `[b, n]`, by which the first token of each row is chosen; no NaN.
        counts: `[b]` how many to choose of each row, at most as many as are valid.
        valid: `[b, n]` bool; other tokens are never chosen.
        rescore: gets the token `[b, 1]` that was chosen last in each row, and returns the next scores `[b, n]`. In a
            row that is complete, what it gets and returns has no meaning.

    Returns:
        `[b, m]` indices in the order chosen, where m is the largest count; shorter rows are filled up with -1.
    """
    steps = int(counts.max()) if len(counts) else 0
    chosen = torch.full((len(counts), steps), -1, dtype=torch.long, device=scores.device)
    taken = ~valid
    for step in range(steps):
        best = scores.masked_fill(taken, float("-inf")).argmax(dim=1, keepdim=True)
        chosen[:, step] = torch.where(counts > step, best[:, 0], -1)
        taken = taken.scatter(1, best, True)
        if step + 1 < steps:
            scores = rescore(best)
    return chosen


def filled_up(chosen: torch.Tensor, counts: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Fill up a choice that is short of its count with the other valid tokens, the lowest index first.

    Args:
        chosen: `[b, m]` indices, best first, filled up with -1.
        counts: `[b]` how many tokens each row must have, at least as many as `chosen` has and at most all valid ones.
        valid: `[b, n]` bool.

    Returns:
        `[b, largest count]` indices, those of `chosen` first and in their order, filled up with -1.
    """
    tokens = valid.shape[1]
    places = torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)
    # One more column takes the writes of -1, so that nothing has to be filtered out.
    order = torch.full((len(chosen), tokens + 1), tokens, device=chosen.device)
    order = order.scatter(1, chosen % (tokens + 1), places)[:, :tokens]
    return highest(-order, counts, valid | mask_from_indices(chosen, tokens))


def members(groups: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mark the valid tokens of each group: `[b, g, n]` bool, where g is the largest number of a group plus 1.

    Args:
        groups: `[b, n]` the number of each token's group, at least 0.
        valid: `[b, n]` bool. The groups of other tokens have no meaning.
    """
    groups = groups.masked_fill(~valid, 0)
    number = torch.arange(int(groups.max()) + 1, device=groups.device)
    return (groups[:, None] == number[:, None]) & valid[:, None]


def ranks_within(groups: torch.Tensor, scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return each token's place among the valid tokens of its group, counted from 0 for the highest score.

    Ties go to the lowest index.

    Args:
        groups: `[b, n]` the number of each token's group, at least 0.
        scores: `[b, n]`.
        valid: `[b, n]` bool. The places of other tokens have no meaning.
    """
    tokens = valid.shape[1]
    groups = groups.masked_fill(~valid, -1)
    # Group by group, in each the tokens in their order; a token's place counts from the start of its group.
    order = (groups * tokens + ranks(scores, valid)).argsort(dim=1)
    sorted_groups = groups.gather(1, order)
    index = torch.arange(tokens, device=order.device).expand_as(order)
    repeated = torch.zeros_like(valid)
    repeated[:, 1:] = sorted_groups[:, 1:] == sorted_groups[:, :-1]
    start = index.masked_fill(repeated, 0).cummax(dim=1).values
    return torch.empty_like(order).scatter_(1, order, index - start)


def apportioned(weights: torch.Tensor, sizes: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Distribute a count over groups in proportion to their weights, none above its size.

    A group whose share reaches its size is full; the others share what is left in proportion to their weights, until
    none is above its size. Shares are rounded down, and the rest goes, one each, to the groups of the largest weights.
    If the groups that are not full have no weight, they count by their sizes.

    Args:
        weights: `[b, g]`, not negative.
        sizes: `[b, g]` integers.
        counts: `[b]`, at most the sum of the sizes.

    Returns:
        `[b, g]` integers, whose sums are the counts.
    """
    weights = weights.to(precise_type(weights.device))
    # A share that is a whole number must not be rounded to the number below. This is far less than 1 over the number of
    # groups, so that the shares never add up to too many.
    rounding = 1e-9 if weights.dtype == torch.float64 else 1e-4
    unfilled = sizes > 0
    while True:  # each round fills a group, or is the last
        left = counts - sizes.masked_fill(unfilled, 0).sum(dim=1)
        shared = weights.masked_fill(~unfilled, 0.0)
        by_size = sizes.to(weights).masked_fill(~unfilled, 0.0)
        shared = torch.where(shared.sum(dim=1, keepdim=True) > 0, shared, by_size)
        total = shared.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        shares = (shared / total * left[:, None] + rounding).floor().to(sizes)
        still_unfilled = unfilled & (shares < sizes)
        if torch.equal(still_unfilled, unfilled):
            break
        unfilled = still_unfilled
    quotas = torch.where(unfilled, shares, sizes)
    rest = counts - quotas.sum(dim=1)
    first = ranks(shared, unfilled)
    return quotas + (first < rest[:, None]).to(quotas)
