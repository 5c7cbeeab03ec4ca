"""Intervals by bootstrap over questions, paired across methods.

A score is a sum over strata of the mean over a stratum's units: one stratum of questions for most
benchmarks, the sub-tasks for MME, whose units are pairs of questions. Units are drawn with
replacement within their stratum, the same ones for every method, so that differences are paired.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np

_CHUNK = 4_000_000  # drawn indices at a time


def estimate(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """The score: sum over strata of the mean over each.

    Args:
        values: ``[units]`` or ``[units, methods]``, in the units of the score.
        strata: ``[units]`` integers.
    """
    return sum(values[strata == stratum].mean(axis=0) for stratum in np.unique(strata))


def bootstrap(values: np.ndarray, strata: np.ndarray, *, resamples: int, seed: int, name: str) -> np.ndarray:
    """The scores of resampled units: ``[resamples, methods]``.

    The draws depend on ``seed``, ``name`` and the strata's sizes alone, not on the values.

    Args:
        values: ``[units, methods]``.
        strata: ``[units]`` integers.
        name: of the benchmark; benchmarks are drawn independently of each other.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key])))
    total = np.zeros((resamples, values.shape[1]))
    for stratum in np.unique(strata):
        members = values[strata == stratum]
        for rows in _chunks(resamples, len(members)):
            index = rng.integers(0, len(members), size=(rows.stop - rows.start, len(members)))
            # Column by column, without BLAS: the same bits whatever the number of threads.
            for method in range(values.shape[1]):
                total[rows, method] += members[:, method][index].mean(axis=1)
    return total


def interval(draws: np.ndarray, level: float = 95.0) -> tuple[float, float]:
    """The percentile interval of ``[resamples]`` draws; draws that are not finite are left out."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return math.nan, math.nan
    tail = (100 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def percent_of(scores: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """``100 * scores / baseline``, NaN where the baseline is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(baseline != 0, 100 * scores / baseline, np.nan)


def _chunks(resamples: int, units: int) -> Iterator[slice]:
    size = max(1, _CHUNK // units)
    for start in range(0, resamples, size):
        yield slice(start, min(start + size, resamples))
