"""Thinning of a list of tokens by dropping those that resemble others."""

from collections.abc import Sequence

import torch

from vtprune.ops.indexing import pack_left


def thinned(
    similarity: torch.Tensor, order: torch.Tensor, heads: Sequence[int], tails: Sequence[int], at_once: int = 8
) -> torch.Tensor:
    """Thin the tail of each row's list of tokens, in rounds (VisPruner's removal of duplicates, arXiv 2412.01818).

    In each round, the tokens at even places of the tail are compared with those at odd places. The `at_once` of them
    (fewer in the last round) whose highest similarity is highest are dropped. The others, the most similar first,
    and then the tokens at odd places are the tail of the next round. Ties go by the list's order. There is no host
    synchronisation for each round.

    Args:
        similarity: `[b, n, n]`.
        order: `[b, m]` token indices, each at most once.
        heads: for each row, how many tokens at the front of the list stay as they are.
        tails: for each row, how many of the other tokens to leave; the tail is at least as long, or 0 is wanted.

    Returns:
        `[b, l]` the shortened lists, filled up with -1.
    """
    lengths = [int(length) for length in (order >= 0).sum(dim=1)]
    places = torch.arange(order.shape[1], device=order.device)
    first = torch.tensor(heads, device=order.device)[:, None]
    schedule = torch.tensor(_schedule([n - h for n, h in zip(lengths, heads, strict=True)], tails, at_once))
    no_tail = torch.tensor([goal == 0 for goal in tails], device=order.device)[:, None]
    head = order.masked_fill(places >= first, -1)
    tail = pack_left(order.masked_fill((places < first) | no_tail, -1))
    rows = torch.arange(len(order), device=order.device)[:, None, None]
    for dropped in schedule.to(order.device):
        even, odd = tail[:, ::2], tail[:, 1::2]
        nearest = similarity[rows, even[..., None], odd[:, None]].masked_fill(odd[:, None] < 0, float("-inf"))
        score = nearest.amax(dim=2).masked_fill(even < 0, float("-inf"))
        even = even.gather(1, score.argsort(dim=1, descending=True, stable=True))
        even = even.masked_fill(places[: even.shape[1]] < dropped[:, None], -1)
        tail = torch.where(dropped[:, None] > 0, pack_left(torch.cat((even, odd), dim=1)), tail)
    return pack_left(torch.cat((head, tail), dim=1))


def _schedule(lengths: list[int], goals: Sequence[int], at_once: int) -> list[list[int]]:
    """How many tokens each row drops in each round, until every tail has its length."""
    rounds: list[list[int]] = []
    while True:
        pairs = zip(lengths, goals, strict=True)
        dropped = [min(at_once, n - goal, (n + 1) // 2) if goal else 0 for n, goal in pairs]
        if not any(dropped):
            return rounds
        rounds.append(dropped)
        lengths = [n - few for n, few in zip(lengths, dropped, strict=True)]
