"""What an experiment is: its cells, the pairs that are compared, and its benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vtprune.evaluation.run import Cell

BASELINE = "baseline"
MEAN = "mean"
UNPRUNED = (BASELINE, "blind")


@dataclass(frozen=True)
class Row:
    """A cell before its keep ratio is known.

    Attributes:
        method: name of the pruning method.
        parameters: its other parameters.
        image: ``shown`` or ``blank``.
    """

    method: str = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    image: str = "shown"

    @property
    def prunes(self) -> bool:
        """Whether it depends on a keep ratio."""
        return self.method != "none"

    def cell(self, keep: float) -> "Cell":
        """The cell at that keep ratio.

        Raises:
            ValueError: if the method refuses it.
        """
        from vtprune.evaluation.model import method_of
        from vtprune.evaluation.run import Cell

        kept = {"keep": keep} if self.prunes else {}
        return Cell(method_of(self.method, **kept, **self.parameters), self.image)


@dataclass(frozen=True)
class Experiment:
    """A table: rows by the names that reports use, in the order of results.csv.

    Attributes:
        name: of the experiment, and of its files.
        benchmarks: keys of the benchmarks' table.
        rows: one of them is ``baseline``.
        pairs: "a - b", both of them rows.
        chance: whether to add what one answer to every question scores.
    """

    name: str
    benchmarks: tuple[str, ...]
    rows: Mapping[str, Row]
    pairs: tuple[str, ...]
    chance: bool = False
