"""How numbers are written, the same in HTML, Markdown and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EM DASH}"


def number(value: float | None, digits: int = 1) -> str:
    if value is None or math.isnan(value):
        return NONE
    return f"{_rounded(value, digits):.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 1) -> str:
    if value is None or math.isnan(value):
        return NONE
    value = _rounded(value, digits)
    return (f"{value:+.{digits}f}" if value else f"{0:.{digits}f}").replace("-", MINUS)


def interval(low: float, high: float, sign: bool = False, digits: int = 1) -> str:
    if math.isnan(low) or math.isnan(high):
        return ""
    write = signed if sign else number
    return f"{write(low, digits)} to {write(high, digits)}"


def decimals(low: float, high: float, bounds: Iterable[float] = (0.0,), least: int = 1) -> int:
    """How many decimals an interval needs, so that none that excludes a bound seems to reach it.

    At least ``least``; at most four, which results.csv has.
    """
    passed = [(bound, low if bound < low else high) for bound in bounds if bound < low or high < bound]
    return next((d for d in range(least, 4) if all(round(end, d) != round(bound, d) for bound, end in passed)), 4)


def estimate(value: float, low: float, high: float, sign: bool = False, digits: int = 1, bound: float = 0.0) -> str:
    """ "+1.2 (+0.3 to +2.0)", with as many more decimals as show that an interval excludes the bound."""
    digits = decimals(low, high, (bound,), digits)
    between = interval(low, high, sign, digits)
    return (signed if sign else number)(value, digits) + (f" ({between})" if between else "")


def names(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def counted(count: int, noun: str) -> str:
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


def seconds(value: float) -> str:
    value = round(value)
    if value < 60:
        return f"{value} s"
    minutes, rest = divmod(value, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # no "-0.0"
