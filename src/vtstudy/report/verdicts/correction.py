"""Intervals that are read together are corrected together, by Holm's method (Scandinavian Journal of Statistics, 1979).

results.csv holds intervals and no p-values, so a p-value is made from an interval: the end between the value and the
bound is taken to lie as many standard errors from the value as it would on a normal distribution. So one comparison
alone is clear exactly when its interval excludes the bound, and among many it needs a wider margin. The intervals are
percentiles of a bootstrap of some thousand draws; far beyond them the normal distribution is an extrapolation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from vtstudy.report.results import HIGHER, LOWER, Measurement

_NORMAL = NormalDist()


def p_value(value: float, low: float, high: float, bound: float, level: float) -> float:
    """The two-sided p-value of the hypothesis that the truth is the bound.

    Args:
        value: the estimate.
        low: lower end of its interval.
        high: upper end.
        bound: what it is compared with.
        level: of the interval, such as 0.95.
    """
    if value == bound:
        return 1.0
    reach = value - low if value > bound else high - value
    if reach <= 0:
        return 0.0
    errors = _NORMAL.inv_cdf((1 + level) / 2) * abs(value - bound) / reach
    return math.erfc(errors / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, adjusted for their number, in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def clear_sides(measurements: Sequence[Measurement], level: float) -> list[str]:
    """On which side of zero each measurement lies when all are read together; "" where that is not clear.

    Args:
        measurements: differences.
        level: of their intervals.
    """
    family = [m for m in measurements if m.has_interval]
    p_values = holm([p_value(m.value, m.low, m.high, 0.0, level) for m in family])
    sides = {id(m): m.side if p <= 1 - level else "" for m, p in zip(family, p_values, strict=True)}
    return [sides.get(id(m), "") if m.side in (HIGHER, LOWER) else "" for m in measurements]
