"""Methods that choose tokens one by one as plain loops over one image: slow, and easy to compare with the papers."""

from collections.abc import Callable

import torch

from vtprune.features import Features
from vtprune.methods import CDPruner
from vtprune.ops import adaptive_nms_reference, centre_prior, paper_positions
from vtprune.ops.cosine import cosines


def adaptprune(given: Features, count: int) -> list[int]:
    """Algorithm 1 of AdaptPrune."""
    scores = given.attention() * centre_prior(given.positions, given.grids)
    positions = paper_positions(given.positions, given.grids)
    options = {"sigma_d": 1.5, "sigma_s": 0.05, "radius": 5.0}
    with torch.inference_mode():
        return adaptive_nms_reference(scores[0], given.keys(False)[0], positions[0], count, **options).tolist()


def divprune(given: Features, count: int) -> list[int]:
    """The token that is farthest from those chosen."""
    distance = 1 - cosines(given.embeddings())[0]
    tokens = range(len(distance))
    chosen: list[int] = []
    while len(chosen) < count:
        nearest = {
            token: distance[token, chosen or [other for other in tokens if other != token]].min().item()
            for token in tokens
            if token not in chosen
        }
        chosen.append(max(nearest, key=lambda token: (nearest[token], -token)))
    return chosen


def scope(given: Features, count: int) -> list[int]:
    """The token that covers most of what is not covered, times its attention."""
    similarity, attention = cosines(given.embeddings())[0].double(), given.tower().attention[0].double()
    cover, chosen = torch.zeros_like(attention), []
    while len(chosen) < count:
        covered = [(row - cover).clamp(min=0).sum().item() for row in similarity]
        gains = [gain * weight for gain, weight in zip(covered, attention.tolist(), strict=True)]
        chosen.append(max((j for j in range(len(gains)) if j not in chosen), key=lambda j: (gains[j], -j)))
        cover = torch.maximum(cover, similarity[chosen[-1]])
    return chosen


def cdpruner(given: Features, count: int) -> list[int]:
    """The token with which the determinant of the kernel is largest, each from the equations of those chosen."""
    similarity, chosen = cosines(given.embeddings())[0].double(), []
    quality = CDPruner(count).scaled_relevance(given)[0].double().square()
    while len(chosen) < count:
        left = similarity.diagonal().clone()
        if chosen:
            rows = similarity[chosen]
            left = left - (rows * torch.linalg.solve(rows[:, chosen], rows)).sum(dim=0)
        left = (left * 2**20).round() / 2**20
        scores = (left * quality).tolist()
        chosen.append(max((j for j in range(len(scores)) if j not in chosen), key=lambda j: (scores[j], -j)))
    return chosen


LOOPS: dict[str, Callable[[Features, int], list[int]]] = {
    "adaptprune": adaptprune,
    "cdpruner": cdpruner,
    "divprune": divprune,
    "scope": scope,
}
