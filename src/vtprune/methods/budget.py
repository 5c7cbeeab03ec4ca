"""Budgets: how many image tokens stay. Which tokens stay is the ranking's decision."""

from dataclasses import dataclass

import torch

from vtprune.errors import UserError
from vtprune.features import Features
from vtprune.stages import Budget
from vtprune.validation import convert, integer, number

Keep = float | int | Budget
"""What a method accepts as `keep`. It stores the budget that `as_budget` makes of it."""


@dataclass(frozen=True)
class Fraction:
    """Keep `int(n * fraction)` of the `n` image tokens of a row, but at least one.

    Attributes:
        fraction: in (0, 1]. 0.1 keeps 57 of 576 tokens, as the published code does.
    """

    fraction: float

    def __post_init__(self) -> None:
        fraction = float(number("fraction", self.fraction))
        if not 0 < fraction <= 1:
            raise UserError(f"keep as a fraction must lie in (0, 1], not {fraction}")
        object.__setattr__(self, "fraction", fraction)

    def __str__(self) -> str:
        return f"{self.fraction:g}"

    def count(self, features: Features) -> torch.Tensor:
        # In Python's doubles: 0.29 * 100 in float32 rounds up to 29, the published int() gives 28.
        totals = features.valid.sum(dim=1).tolist()
        counts = [min(n, max(1, int(n * self.fraction))) for n in totals]
        return torch.tensor(counts, device=features.valid.device)

    def signature(self) -> float:
        return self.fraction


@dataclass(frozen=True)
class Count:
    """Keep a fixed number of the image tokens of every row. A row with fewer tokens keeps all of them.

    Attributes:
        tokens: at least 1.
    """

    tokens: int

    def __post_init__(self) -> None:
        convert(self, "tokens", integer)
        if self.tokens < 1:
            raise UserError(f"keep as a count must be at least 1, not {self.tokens}")

    def __str__(self) -> str:
        return str(self.tokens)

    def count(self, features: Features) -> torch.Tensor:
        return features.valid.sum(dim=1).clamp(max=self.tokens)

    def signature(self) -> int:
        return self.tokens


def as_budget(keep: Keep) -> Budget:
    """Return the budget that a method's `keep` means.

    Args:
        keep: a fraction in (0, 1], a count of at least 1, or a budget. The type decides: `1.0` keeps
            every token, `1` keeps one token.

    Raises:
        UserError: for anything else.
    """
    if isinstance(keep, Budget) and not isinstance(keep, type):
        return keep
    checked = number("keep", keep, "a fraction in (0, 1], a count or a budget")
    return Count(checked) if isinstance(checked, int) else Fraction(checked)
