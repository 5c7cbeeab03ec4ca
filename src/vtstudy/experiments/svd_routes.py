"""The ways ("routes") to a spectral budget, ready to be timed: matrices of real shapes, calls, and complexities."""

from collections.abc import Callable
from functools import partial

import torch

from vtprune.ops import energy_rank, spectrum

# What an image's features are in the papers' models, as tokens x width: LLaVA-1.5's tower and language model,
# LLaVA-NeXT's five tiles of each, InternVL2-2B's tiles (one; twelve and a thumbnail).
SHAPES = ("576x1024", "576x4096", "2880x1024", "2880x4096", "256x2048", "3328x2048")


def matrix(tokens: int, width: int, device: torch.device) -> torch.Tensor:
    """`[1, tokens, width]` with a spectrum like that of real features.

    The first energy holds about two thirds. The others fall as 1 / i^1.2.
    """
    generator = torch.Generator().manual_seed(tokens + width)
    least = min(tokens, width)
    scales = torch.arange(1, least + 1).pow(-0.6)
    scales[0] = (2 * scales[1:].square().sum()).sqrt()
    # Gaussian factors are near enough to orthogonal, and cost less than exact ones.
    left = torch.randn(tokens, least, generator=generator) / tokens**0.5
    right = torch.randn(least, width, generator=generator) / width**0.5
    return ((left * scales) @ right)[None].to(device)


def budget_calls(
    x: torch.Tensor, energy: float, rank: int, oversampling: int, iterations: int
) -> dict[str, Callable[[], tuple[torch.Tensor, torch.Tensor]]]:
    """By route, a call that returns an exact budget and the target rank that settled it."""
    return {
        "svd": partial(energy_rank, x, energy, route="svd"),
        "gram": partial(energy_rank, x, energy, route="gram"),
        "randomised": partial(energy_rank, x, energy, rank=rank, oversampling=oversampling, iterations=iterations),
    }


def leading_call(x: torch.Tensor, rank: int, oversampling: int, iterations: int) -> Callable[[], torch.Tensor]:
    """A call that returns the randomised route's first `rank` shares. They alone make no budget certain."""

    def leading_shares() -> torch.Tensor:
        randomised = spectrum(x, route="randomised", rank=rank, oversampling=oversampling, iterations=iterations)
        return randomised.shares[0]

    return leading_shares


def cost(tokens: int, width: int, rank: int | None) -> float:
    """The paper's complexity as a number of multiplications.

    It is `n d min(n, d)` for a full decomposition (`rank` None), and `n d t + t^2 d` for a randomised one.
    """
    if rank is None or rank >= min(tokens, width):
        return float(tokens * width * min(tokens, width))
    return float(tokens * width * rank + rank**2 * width)
