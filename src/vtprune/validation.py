"""One rule for the numbers and switches that methods and budgets are given.

A scalar of NumPy's or torch's, also an array or tensor without dimensions, is the Python value that it
holds: ``np.int64(3)`` is 3. A bool is no number, and neither is a string.
"""

import math
import textwrap
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from vtprune.errors import UserError


def number(name: str, value: Any, wanted: str = "a number", kind: type = Real) -> int | float:
    """``value`` as a Python number: an int where its type is one of whole numbers, else a float.

    Args:
        name, wanted: of the message, "{name} must be {wanted}, not ...".
        kind: ``numbers.Integral`` where a float would be wrong, even 3.0.

    Raises:
        ValueError: if it is no number of that kind.
    """
    held = _held(value)
    if isinstance(held, bool) or not isinstance(held, kind):
        raise UserError(f"{name} must be {wanted}, not {shown(value)}")
    return int(held) if isinstance(held, Integral) else float(held)


def whole(name: str, value: Any, wanted: str = "a whole number") -> int:
    """As :func:`number`, for whole numbers alone."""
    return number(name, value, wanted, Integral)


def switch(name: str, value: Any) -> bool:
    """``value`` as True or False. Raises ``ValueError`` for anything else, 1 and 0 too."""
    held = _held(value)
    if not isinstance(held, bool):
        raise UserError(f"{name} must be True or False, not {shown(value)}")
    return held


def finite(name: str, value: Any) -> float:
    """As :func:`number`, a float; infinity, which JSON lacks, is refused (NaN lies in no parameter's range)."""
    held = float(number(name, value))
    if math.isinf(held):
        raise UserError(f"{name} must be a finite number, not {held}")
    return held


_PLAIN = {
    "float": finite,
    "int": whole,
    "int | None": lambda name, value: None if value is None else whole(name, value, "a whole number or None"),
    "bool": switch,
}


def make_plain(parameters: Any) -> None:
    """Turn the fields of a frozen dataclass into what their types say, so that equal values have one signature.

    Fields of the types ``float``, ``int``, ``int | None`` and ``bool``; others are left as they are.

    Raises:
        ValueError: for a field that holds something else; says which, what it holds and what would be right.
    """
    for field in fields(parameters):
        kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)
        if kind in _PLAIN:
            object.__setattr__(parameters, field.name, _PLAIN[kind](field.name, getattr(parameters, field.name)))


def _held(value: Any) -> Any:
    return value.item() if getattr(value, "ndim", None) == 0 else value


def shown(value: Any) -> str:
    """On one line and short, whatever it is: an array's own text has many."""
    return textwrap.shorten(repr(value), 80, placeholder=" ...")
