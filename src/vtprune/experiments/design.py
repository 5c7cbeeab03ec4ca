"""What an experiment is: its cells, the pairs that are compared, and its benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vtprune.evaluation.run import Cell

BASELINE = "baseline"
MEAN = "mean"


@dataclass(frozen=True)
class Row:
    """A cell before its keep ratio is known.

    Attributes:
        method: name of the pruning method.
        parameters: its other parameters.
        image: ``shown`` or ``blank``.
        keep: a ratio of its own, in (0, 1]; None for that of the run.
    """

    method: str = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    image: str = "shown"
    keep: float | None = None

    def cell(self, keep: float) -> "Cell":
        """The cell at that keep ratio.

        Raises:
            ValueError: if the method refuses it.
        """
        from vtprune.evaluation.model import method_of
        from vtprune.evaluation.run import Cell

        kept = {} if self.ratio(keep) is None or self.method == "none" else {"keep": self.ratio(keep)}
        return Cell(method_of(self.method, **kept, **self.parameters), self.image)

    def ratio(self, keep: float) -> float | None:
        """The fraction of the image tokens that it keeps; None for a method that has no such parameter (VTW).

        Raises:
            ValueError: if there is no such method.
        """
        if self.method == "none":
            return 1.0
        from vtprune.pruning import methods

        if self.method not in methods():
            raise ValueError(f"there is no method {self.method!r}; the methods are {', '.join(methods())}")
        takes = any(field.name == "keep" for field in fields(methods()[self.method]))
        return (self.keep or keep) if takes else None


def at(keep: float, **rows: Row) -> dict[str, Row]:
    """Rows at a ratio of their own, named ``fastv@0.25``: results.csv has ``fastv`` and 0.25 in its columns."""
    return {f"{name}@{keep:g}": replace(row, keep=keep) for name, row in rows.items()}


@dataclass(frozen=True)
class Experiment:
    """A table: rows by the names that reports use, in the order of results.csv.

    Attributes:
        name: of the experiment, and of its files.
        benchmarks: keys of the benchmarks' table.
        rows: one of them is ``baseline``.
        pairs: "a - b", both of them rows.
        chance: whether to add what one answer to every question scores.
        parts: whether to add MMBench's categories and their groups, and MME's sub-tasks, each as a
            benchmark of its own (``mmbench/ocr``).
    """

    name: str
    benchmarks: tuple[str, ...]
    rows: Mapping[str, Row]
    pairs: tuple[str, ...]
    chance: bool = False
    parts: bool = False
