"""How many image tokens stay: independent of which ones (the ranking's business)."""

from dataclasses import dataclass

import torch

from vtprune.errors import UserError
from vtprune.features import Features
from vtprune.stages import Budget
from vtprune.validation import make_plain, number


@dataclass(frozen=True)
class Fraction:
    """Keep ``int(n * fraction)`` of a row's ``n`` image tokens, but at least one.

    Attributes:
        fraction: in (0, 1]; 0.1 keeps 57 of 576, as the published code does.
    """

    fraction: float

    def __post_init__(self) -> None:
        make_plain(self)
        if not 0 < self.fraction <= 1:
            raise UserError(f"keep as a fraction must lie in (0, 1], not {self.fraction}")

    def count(self, features: Features) -> torch.Tensor:
        # In Python's doubles: 0.29 * 100 in float32 rounds up to 29, the published int() gives 28.
        total = features.valid.sum(dim=1).tolist()
        counts = [min(n, max(1, int(n * self.fraction))) for n in total]
        return torch.tensor(counts, device=features.valid.device)

    def signature(self) -> float:
        return self.fraction


@dataclass(frozen=True)
class Count:
    """Keep so many image tokens of every row; a row that has no more keeps all it has."""

    tokens: int

    def __post_init__(self) -> None:
        make_plain(self)
        if self.tokens < 1:
            raise UserError(f"keep as a count must be at least 1, not {self.tokens}")

    def count(self, features: Features) -> torch.Tensor:
        return features.valid.sum(dim=1).clamp(max=self.tokens)

    def signature(self) -> int:
        return self.tokens


def as_budget(keep: float | int | Budget) -> Budget:
    """The budget that a method's ``keep`` stands for.

    Args:
        keep: a fraction in (0, 1], a count of at least 1, or a budget. The type decides: ``1.0``
            keeps everything, ``1`` keeps one token.

    Raises:
        ValueError: for anything else.
    """
    keep = as_keep(keep)
    if isinstance(keep, int):
        return Count(keep)
    return Fraction(keep) if isinstance(keep, float) else keep


def as_keep(keep: float | int | Budget) -> float | int | Budget:
    """The same ``keep``, numbers as Python's own. Raises ``ValueError`` if it is neither a number nor a budget."""
    if isinstance(keep, Budget) and not isinstance(keep, type):
        return keep
    return number("keep", keep, "a fraction in (0, 1], a count or a budget")
