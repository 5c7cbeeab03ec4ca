"""How numbers and lists are written: the same in HTML, in Markdown and in figures."""

import math
from collections.abc import Iterable, Sequence

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EM DASH}"
"""What a table shows where there is no number."""


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many decimals, "—" for None and NaN."""
    if value is None or math.isnan(value):
        return NONE
    return f"{_rounded(value, digits):.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 1) -> str:
    """The same with a plus sign, unless it is zero."""
    if value is None or math.isnan(value):
        return NONE
    value = _rounded(value, digits)
    text = f"{value:+.{digits}f}" if value else f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def interval(low: float, high: float, sign: bool = False, digits: int = 1) -> str:
    """ "0.3 to 2.0", with plus signs if `sign`; "" for an end that is NaN."""
    if math.isnan(low) or math.isnan(high):
        return ""
    write = signed if sign else number
    return f"{write(low, digits)} to {write(high, digits)}"


def decimals(low: float, high: float, bounds: Iterable[float] = (0.0,), least: int = 1) -> int:
    """How many decimals an interval needs, so that one that excludes a bound does not seem to reach it.

    At least `least`, and at most four, the number of decimals in results.csv.
    """
    excluded = [(bound, low if bound < low else high) for bound in bounds if bound < low or high < bound]
    for digits in range(least, 4):
        if all(round(end, digits) != round(bound, digits) for bound, end in excluded):
            return digits
    return 4


def estimate(value: float, low: float, high: float, sign: bool = False, digits: int = 1, bound: float = 0.0) -> str:
    """ "+1.2 (+0.3 to +2.0)", with enough decimals to show that an interval excludes the bound."""
    digits = decimals(low, high, (bound,), digits)
    write = signed if sign else number
    between = interval(low, high, sign, digits)
    if not between:
        return write(value, digits)
    return f"{write(value, digits)} ({between})"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(count: int, noun: str) -> str:
    """ "1 benchmark", "2 benchmarks", "3 categories"."""
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {plural}"


def how_many(count: int) -> str:
    """A count of things that were found: "none", "1", "2"."""
    return str(count or "none")


def agreeing(count: int, singular: str, plural: str) -> str:
    """A count with the verb that agrees with it: "1 is", "2 are"."""
    return f"{count} {singular if count == 1 else plural}"


def percent(share: float) -> str:
    """0.95 as "95 %"."""
    return f"{round(100 * share, 4):g} %"


def seconds(value: float) -> str:
    """A duration as "12 s", "3 min 5 s" or "2 h 4 min"."""
    value = round(value)
    if value < 60:
        return f"{value} s"
    minutes, rest = divmod(value, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # not "-0.0"
