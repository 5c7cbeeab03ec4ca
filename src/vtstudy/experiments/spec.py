"""What an experiment is: its cells, the pairs that are compared, and its benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vtprune.errors import UserError

if TYPE_CHECKING:
    from vtstudy.evaluation.requests import Variant

BASELINE = "baseline"
MEAN = "mean"


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
    def takes_keep(self) -> bool:
        """Whether it depends on a keep ratio: neither the unpruned model nor VTW does.

        Raises:
            ValueError: if there is no such method.
        """
        from vtprune.methods import methods

        if self.method not in methods():
            raise UserError(f"there is no method {self.method!r}; the methods are {', '.join(methods())}")
        return methods()[self.method].takes_keep()

    def ratio(self, keep: float) -> float | None:
        """The fraction of the image tokens that stays: 1 unpruned, None for a method without that parameter."""
        return 1.0 if self.method == "none" else keep if self.takes_keep else None

    def cell(self, keep: float) -> "Variant":
        """The cell at that keep ratio.

        Raises:
            ValueError: if the method refuses it.
        """
        from vtprune.methods import parse_method
        from vtstudy.evaluation.requests import Variant

        kept = {"keep": keep} if self.takes_keep else {}
        return Variant(parse_method(self.method, **kept, **self.parameters), self.image)


@dataclass(frozen=True)
class Experiment:
    """A table: rows by the names that reports use, in the order of results.csv.

    Attributes:
        name: of the experiment, and of its files.
        benchmarks: keys of the benchmarks' table.
        rows: one of them is ``baseline``.
        pairs: "a - b", both of them rows.
        chance: whether to add what guessing scores: among the options that a question offers, or,
            where it offers none, with one answer to every question.
        parts: whether to add MMBench's categories and their groups, and MME's sub-tasks, each as a
            benchmark of its own (``mmbench/ocr``).
        keeps: the ratios of the published table; empty for those of the settings.
        papers: the models that it prints.
    """

    name: str
    benchmarks: tuple[str, ...]
    rows: Mapping[str, Row]
    pairs: tuple[str, ...]
    chance: bool = False
    parts: bool = False
    keeps: tuple[float, ...] = ()
    papers: tuple[str, ...] = ("LLaVA-1.5-7B",)
