"""The published tables as blocks that both templates can draw: paper | ours | difference | verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from . import fmt
from .cells import NO_VALUE, Cell
from .inputs import Inputs, Measure
from .printed import KEEP, Printed
from .relations import LINKS, benchmark_label, method_label


@dataclass(frozen=True)
class Shown:
    """One cell as text. ``note`` is the number of its reason below the table."""

    paper: str
    ours: str
    interval: str
    difference: str
    verdict: str
    note: int | None = None


@dataclass
class Block:
    """One model of one published table."""

    table: int
    title: str
    model: str
    ours: str | None  # our model, or None where nothing of ours stands beside it
    rows: list[str]  # as printed
    columns: list[str]
    cells: dict[tuple[str, str], Shown]
    reasons: list[str]
    labels: dict[str, str] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)  # printed rows beside which nothing of ours stands
    extra: dict[str, dict[str, Shown]] = field(default_factory=dict)  # rows of ours, by label and column

    @property
    def verdict(self) -> str:
        """The one verdict of all cells, or "" when they differ."""
        found = {(c.verdict, c.note) for c in self.cells.values()}
        return next(iter(found))[0] if len(found) == 1 else ""


def blocks(inputs: Inputs, cells: list[Cell]) -> list[Block]:
    """All published tables, one block for each table and model, in print order."""
    groups: dict[tuple[int, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.table, cell.model), []).append(cell)
    return [_block(inputs, table, model, group) for (table, model), group in groups.items()]


def _block(inputs: Inputs, table: int, model: str, group: list[Cell]) -> Block:
    link = LINKS[table]
    reasons: list[str] = []
    shown = {}
    for c in group:
        if c.reason not in reasons:
            reasons.append(c.reason)
        shown[c.row, c.column] = _show(c.published, c.ours, c.difference, c.verdict, reasons.index(c.reason) + 1)
    ours = next((c.ours.model for c in group if c.ours), None)
    columns = list(dict.fromkeys(c.column for c in group))
    extra = {}
    for experiment, method in link.extra if ours else ():
        row = {}
        for column in columns:
            found = inputs.results.cell(experiment, ours, method, link.benchmarks.get(column, ""), KEEP)
            if found:
                row[column] = _show(fmt.NONE, found, math.nan, NO_VALUE, None)
        if row:
            extra[method_label(method)] = row
    rows = list(dict.fromkeys(c.row for c in group))
    labels = {row: method_label(link.methods[row].sources[0][1]) if row in link.methods else row for row in rows}
    bare = {row for row in rows if not any(c.ours for c in group if c.row == row)}
    return Block(table, link.title, model, ours, rows, columns, shown, reasons, labels, bare, extra)


def _show(paper: str, ours: Measure | None, difference: float, verdict: str, note: int | None) -> Shown:
    return Shown(paper, fmt.number(ours.value if ours else None),
                 fmt.interval(ours.low, ours.high) if ours else "", fmt.signed(difference), verdict, note)


@dataclass(frozen=True)
class Percent:
    """Percent of the unpruned score: what a miniature and the paper's model can be compared on."""

    table: int
    model: str
    ours: str
    methods: list[str]
    rows: list[tuple[str, list[tuple[str, str]]]]  # benchmark, (paper, ours) by method
    numbers: dict[tuple[str, str], tuple[float, float, float, float]]  # paper, ours, low, high


def percents(inputs: Inputs, table: int, model: str, experiment: str, methods: list[str]) -> Percent | None:
    """Percent of the unpruned score, paper's and ours, of the methods that we ran.

    Our intervals take the unpruned score as fixed. The mean comes from results.csv, whose interval does not.
    """
    ours = inputs.results.model_for(model)
    if ours is None:
        return None
    methods = [m for m in methods if m in inputs.results.methods(experiment, ours)]
    benchmarks = [b for b in LINKS[table].benchmarks.values() if b in inputs.results.benchmarks(experiment, ours)]
    if not methods or not benchmarks:
        return None
    printed, numbers, rows = Printed(inputs.published), {}, []
    for benchmark in [*benchmarks, "mean"]:
        line = []
        for method in methods:
            numbers[benchmark, method] = found = (
                _paper_percent(printed, table, model, method, benchmark),
                *_our_percent(inputs, experiment, ours, method, benchmark))
            line.append((fmt.number(found[0]), fmt.number(found[1])))
        rows.append((benchmark_label(benchmark), line))
    return Percent(table, model, ours, methods, rows, numbers)


def _paper_percent(printed: Printed, table: int, model: str, method: str, benchmark: str) -> float:
    if benchmark != "mean":
        return printed.percent(model, method, benchmark, table)
    return printed.retention(model, method, table)


def _our_percent(inputs, experiment, model, method, benchmark) -> tuple[float, float, float]:
    found = inputs.results.cell(experiment, model, method, benchmark, KEEP)
    if found is None:
        return math.nan, math.nan, math.nan
    if benchmark == "mean":
        return found.value, found.low, found.high
    whole = unpruned(inputs, experiment, model, benchmark)
    if not whole:
        return math.nan, math.nan, math.nan
    return tuple(100 * v / whole for v in (found.value, found.low, found.high))


def unpruned(inputs: Inputs, experiment: str, model: str, benchmark: str) -> float | None:
    """Our unpruned score; the ablation shares the main table's."""
    for name in dict.fromkeys((experiment, "table1")):
        found = inputs.results.cell(name, model, "baseline", benchmark)
        if found:
            return found.value
    return None
