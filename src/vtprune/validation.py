"""Checks of the parameters that users give to methods, budgets and functions.

A scalar of NumPy or torch, or an array or tensor without dimensions, counts as the Python value that it
holds: `np.int64(3)` is 3. A bool is not a number, and neither is a string.
"""

import math
import textwrap
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from vtprune.errors import UserError


def number(name: str, value: object, expected: str = "a number") -> int | float:
    """Return `value` as a Python number: an int if its type holds integers, else a float.

    Args:
        name: of the parameter, for the message.
        value: to check.
        expected: for the message "{name} must be {expected}, not {value}".

    Raises:
        UserError: if `value` is not a real number.
    """
    scalar = _scalar(value)
    if isinstance(scalar, bool) or not isinstance(scalar, Real):
        raise UserError(f"{name} must be {expected}, not {shorten(value)}")
    return int(scalar) if isinstance(scalar, Integral) else float(scalar)


def integer(name: str, value: object, expected: str = "a whole number") -> int:
    """Return `value` as a Python int. A float is refused, even 3.0."""
    checked = number(name, value, expected)
    if not isinstance(checked, int):
        raise UserError(f"{name} must be {expected}, not {shorten(value)}")
    return checked


def optional_integer(name: str, value: object) -> int | None:
    """Return `value` as a Python int, or None if it is None."""
    return None if value is None else integer(name, value, "a whole number or None")


def boolean(name: str, value: object) -> bool:
    """Return `value` as True or False. Anything else is refused, also 1 and 0."""
    scalar = _scalar(value)
    if not isinstance(scalar, bool):
        raise UserError(f"{name} must be True or False, not {shorten(value)}")
    return scalar


def finite(name: str, value: object) -> float:
    """Return `value` as a Python float. Infinity and NaN are refused, because JSON has neither."""
    checked = float(number(name, value))
    if not math.isfinite(checked):
        raise UserError(f"{name} must be a finite number, not {checked}")
    return checked


def positive(name: str, value: object) -> float:
    """Return `value` as a finite Python float above 0."""
    checked = finite(name, value)
    if checked <= 0:
        raise UserError(f"{name} must be positive, not {checked}")
    return checked


def not_negative(name: str, value: object) -> float:
    """Return `value` as a finite Python float of at least 0."""
    checked = finite(name, value)
    if checked < 0:
        raise UserError(f"{name} must not be negative, not {checked}")
    return checked


def one_of(choices: tuple[str, ...], name: str, value: object) -> None:
    """Refuse a `value` that is not among the `choices`."""
    if value not in choices:
        raise UserError(f"{name} must be one of {', '.join(map(repr, choices))}, not {shorten(value)}")


def convert(parameters: object, name: str, rule: Callable[[str, object], object]) -> None:
    """Replace a field of a frozen dataclass by what a rule of this module returns for it.

    Call it in `__post_init__`. Equal values then compare equal and have one signature, whatever their type was.
    """
    object.__setattr__(parameters, name, rule(name, getattr(parameters, name)))


def shorten(value: object) -> str:
    """Return `repr(value)` on one line of at most 80 characters: an array's own text has many lines."""
    return textwrap.shorten(repr(value), 80, placeholder=" ...")


def _scalar(value: Any) -> object:
    return value.item() if getattr(value, "ndim", None) == 0 else value
