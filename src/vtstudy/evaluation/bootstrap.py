"""Intervals by bootstrap over images, paired across methods.

A score is a sum over strata of the mean over a stratum's units. Most benchmarks are one stratum, and their units are
questions. MME's strata are its sub-tasks, and their units are pairs of questions. Units about one image are not
independent: a model that misreads the image errs in all of them. So the bootstrap draws images, each with all its
units, as clusters (Davison and Hinkley, Bootstrap Methods and Their Application, 1997, section 3.8). Images are drawn
with replacement within their stratum. The same images are drawn for every method, so that differences are paired. An
image that occurs in several strata is drawn in each of them independently.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np

_CHUNK = 4_000_000  # drawn indices at a time


def estimate(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """The score: sum over strata of the mean over each.

    Args:
        values: `[units]` or `[units, methods]`, in the units of the score.
        strata: `[units]` integers.
    """
    return sum(values[strata == stratum].mean(axis=0) for stratum in np.unique(strata))


def bootstrap(
    values: np.ndarray, strata: np.ndarray, clusters: np.ndarray, *, resamples: int, seed: int, name: str
) -> np.ndarray:
    """The scores of resampled clusters: `[resamples, methods]`.

    A stratum's mean in a resample is the sum of its drawn units divided by their number. That number varies where
    clusters differ in size. The draws depend on `seed`, `name` and the strata's numbers of clusters, not on the
    values.

    All draws are NaN if a stratum is a single cluster. Drawing the same cluster again and again would give an interval
    of width 0, although nothing is known about how much the score varies.

    Args:
        values: `[units, methods]`.
        strata: `[units]` integers.
        clusters: `[units]` integers; units of a stratum with the same number are drawn together.
        name: the benchmark's name; the draws of different names are independent.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key])))
    total = np.zeros((resamples, values.shape[1]))
    for stratum in np.unique(strata):
        sums, counts = cluster_sums(values[strata == stratum], clusters[strata == stratum])
        if len(counts) < 2:
            return np.full_like(total, np.nan)
        for rows in _chunks(resamples, len(counts)):
            index = rng.integers(0, len(counts), size=(rows.stop - rows.start, len(counts)))
            drawn = counts[index].sum(axis=1)
            # Column by column, without BLAS: the same bits whatever the number of threads.
            for method in range(values.shape[1]):
                total[rows, method] += sums[:, method][index].sum(axis=1) / drawn
    return total


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum of each cluster's units, and how many units it has; clusters are in the order of their first unit.

    Args:
        values: `[units, k]`.
        clusters: `[units]` integers.

    Returns:
        `[clusters, k]` and `[clusters]`.
    """
    _, first, where = np.unique(clusters, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[where]
    sums = np.zeros((len(first), values.shape[1]))
    np.add.at(sums, place, values)
    return sums, np.bincount(place)


def interval(draws: np.ndarray, level: float = 95.0) -> tuple[float, float]:
    """The percentile interval of the finite ones of `[resamples]` draws; NaN if no draw is finite."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return math.nan, math.nan
    tail = (100 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def percent_of(scores: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """`100 * scores / baseline`, NaN where the baseline is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(baseline != 0, 100 * scores / baseline, np.nan)


def _chunks(resamples: int, clusters: int) -> Iterator[slice]:
    size = max(1, _CHUNK // clusters)
    for start in range(0, resamples, size):
        yield slice(start, min(start + size, resamples))
