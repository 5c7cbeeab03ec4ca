"""Intervals in closed form: of rank correlations and of percentages."""

import math

import numpy as np


def spearman(a: np.ndarray, b: np.ndarray, independent: int | None = None) -> tuple[float, float, float]:
    """Rank correlation (mean ranks for ties) and its 95 % interval, NaN where one does not vary.

    The interval is Fisher's, with the variance 1.06 / (n - 3) of Fieller, Hartley and Pearson (1957), where n
    counts the independent observations: those of one image are not.

    Args:
        a, b: ``[observations]``.
        independent: how many of them are independent; None for all.
    """
    import pandas as pd

    n = len(a) if independent is None else independent
    if n < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan, math.nan, math.nan
    value = float(np.corrcoef(pd.Series(a).rank(), pd.Series(b).rank())[0, 1])
    middle, wide = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12)), 1.96 * math.sqrt(1.06 / (n - 3))
    return value, math.tanh(middle - wide), math.tanh(middle + wide)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a percentage."""
    share, z = hits / n, 1.96
    middle, wide = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return 100 * (middle - wide) / (1 + z * z / n), 100 * (middle + wide) / (1 + z * z / n)
