"""Intervals in closed form, of rank correlations and of percentages."""

import math

import numpy as np

Z = 1.96  # 95 %


def spearman(a: np.ndarray, b: np.ndarray, independent: int | None = None) -> tuple[float, float, float]:
    """Spearman's rank correlation and its 95 % interval; NaN if one of the arrays does not vary.

    The interval is Fisher's with the variance 1.06 / (n - 3) (Fieller, Hartley and Pearson 1957), where n counts
    independent observations. Two observations of one image are not independent.

    Args:
        a, b: `[observations]`.
        independent: how many of the observations are independent; None for all.
    """
    from scipy.stats import spearmanr  # takes a second, which most experiments do not need

    n = len(a) if independent is None else independent
    if n < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan, math.nan, math.nan
    value = float(spearmanr(a, b).statistic)
    centre, half_width = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12)), Z * math.sqrt(1.06 / (n - 3))
    return value, math.tanh(centre - half_width), math.tanh(centre + half_width)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of `hits` of `n`, in percent."""
    from scipy.stats import binomtest, norm  # takes a second, which most experiments do not need

    level = 2 * norm.cdf(Z) - 1
    interval = binomtest(hits, n).proportion_ci(level, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)
