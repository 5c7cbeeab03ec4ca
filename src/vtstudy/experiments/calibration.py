"""The energy at which spectral budgets keep as many tokens on average as a fixed budget does."""

import torch

from vtprune.ops.spectrum import ranks_at
from vtstudy.evaluation.errors import EvaluationError

DIGITS = 5  # digits of an energy: the precision of float32 spectra


def budgets(shares: torch.Tensor, energy: float, k_min: int = 1, k_max: int | None = None) -> torch.Tensor:
    """`[images]` spectral budgets of images with the shares `[images, t]` of their energies."""
    return ranks_at(shares, energy).clamp(min=k_min, max=k_max)


def calibrate(shares: torch.Tensor, tokens: float, k_min: int = 1, k_max: int | None = None) -> float:
    """The energy, to `DIGITS` digits, whose mean budget is nearest to `tokens`; the lowest of several equal ones.

    The mean is over the images, each counted once, of the tokens that are kept from the pruned layer on.

    Args:
        shares: `[images, t]` the energies of each image over their sum, largest first.
        tokens: the fixed budget to match.

    Raises:
        EvaluationError: if no energy keeps as few or as many tokens on average.
    """

    def mean(step: int) -> float:
        return budgets(shares, step / 10**DIGITS, k_min, k_max).double().mean().item()

    low, high = 1, 10**DIGITS  # the mean budget rises with the energy
    if not mean(low) <= tokens <= mean(high):
        raise EvaluationError(
            f"spectral budgets keep between {mean(low):.4g} and {mean(high):.4g} tokens on average here, "
            f"so none matches a fixed budget of {tokens:.4g}"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(middle) < tokens else (low, middle)
    return min((low, high), key=lambda step: (abs(mean(step) - tokens), step)) / 10**DIGITS
