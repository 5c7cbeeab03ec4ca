"""The published tables as blocks that both templates can draw: paper, ours, and where ours may be judged, verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.report import fmt
from vtstudy.report.labels import LINKS, Link, benchmark_label, method_label
from vtstudy.report.printed_values import DIFFERS, NO_VALUE, REPRODUCED, Cell
from vtstudy.report.published import KEEP, Printed
from vtstudy.report.results import Inputs, Measure

MAIN = {"table1": 1, "table2": 2}  # the experiments that a model may have one of, and the tables that print it


@dataclass(frozen=True)
class Shown:
    """One cell as text. ``note`` is the number of its reason below the table."""

    paper: str
    ours: str
    interval: str
    difference: str
    verdict: str
    note: int | None = None


@dataclass(frozen=True)
class Block:
    """One model of one published table.

    Attributes:
        ours: our model, or None where nothing of ours stands beside it.
        methods: as printed; then those of ours that the paper does not print (``alone``).
        benchmarks: as printed.
        cells: by method and benchmark.
        reasons: of the verdicts; a cell's ``note`` is the number of its own.
        labels: of the methods.
        bare: printed methods beside which nothing of ours stands.
    """

    table: int
    title: str
    model: str
    ours: str | None
    methods: list[str]
    benchmarks: list[str]
    cells: dict[tuple[str, str], Shown]
    reasons: list[str]
    labels: dict[str, str]
    bare: set[str]
    alone: list[str]

    @property
    def verdict(self) -> str:
        """The one verdict of all printed cells, or "" when they differ."""
        found = {(c.verdict, c.note) for c in self.cells.values() if c.note is not None}
        return next(iter(found))[0] if len(found) == 1 else ""

    @property
    def judged(self) -> bool:
        """Whether a score of ours may be compared with a printed one."""
        return any(c.verdict in (REPRODUCED, DIFFERS) for c in self.cells.values())

    @property
    def upright(self) -> bool:
        """Whether methods stand side by side: the longer list runs down the page."""
        return len(self.methods) <= len(self.benchmarks)

    def cell(self, method: str, benchmark: str) -> Shown:
        return self.cells.get((method, benchmark)) or Shown(fmt.NONE, fmt.NONE, "", fmt.NONE, NO_VALUE)


def blocks(inputs: Inputs, cells: list[Cell]) -> list[Block]:
    """All published tables, one block for each table and model, in print order."""
    groups: dict[tuple[int, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.table, cell.model), []).append(cell)
    return [_block(inputs, table, model, group) for (table, model), group in groups.items()]


def _block(inputs: Inputs, table: int, model: str, group: list[Cell]) -> Block:
    link = LINKS[table]
    placed = [((c.column, c.row) if link.turned else (c.row, c.column), c) for c in group]
    reasons = list(dict.fromkeys(c.reason for c in group))
    shown = {
        place: _show(c.published, c.ours, c.difference, c.verdict, reasons.index(c.reason) + 1) for place, c in placed
    }
    methods, benchmarks = (list(dict.fromkeys(names)) for names in zip(*shown, strict=True))
    ours = next((c.ours.model for c in group if c.ours), None)
    bare = {method for method in methods if not any(c.ours for (name, _), c in placed if name == method)}
    labels = {method: _label(link, method) for method in methods}
    alone = []
    for experiment, method in link.extra if ours else ():
        found = {b: inputs.results.cell(experiment, ours, method, link.benchmarks.get(b, ""), KEEP) for b in benchmarks}
        shown |= {(method, b): _show(fmt.NONE, m, math.nan, NO_VALUE, None) for b, m in found.items() if m}
        if any(found.values()):
            alone.append(method)
    labels |= {method: method_label(method) for method in alone}
    return Block(table, link.title, model, ours, [*methods, *alone], benchmarks, shown, reasons, labels, bare, alone)


def _label(link: Link, method: str) -> str:
    if method not in link.methods:
        return method
    label = method_label(link.methods[method].sources[0][1])
    ratio = method.rpartition(" ")[2]
    return f"{label}, {ratio[:-1]} %" if link.turned and ratio.endswith("%") else label


def _show(paper: str, ours: Measure | None, difference: float, verdict: str, note: int | None) -> Shown:
    return Shown(
        paper,
        fmt.number(ours.value if ours else None),
        fmt.interval(ours.low, ours.high) if ours else "",
        fmt.signed(difference),
        verdict,
        note,
    )


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
                *_our_percent(inputs, experiment, ours, method, benchmark),
            )
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


def overview(inputs: Inputs, methods: Sequence[str]) -> Percent | None:
    """The mean percent of the unpruned score of every model that was run; None where there are not several.

    A model stands in its main table's experiment, Table 1 or 2; ``numbers`` are by model of the paper.
    """
    printed, numbers, rows = Printed(inputs.published), {}, []
    for model in inputs.models:
        ours = inputs.results.model_for(model)
        experiment = main_experiment(inputs, ours)
        if experiment is None:
            continue
        for method in methods:
            numbers[model, method] = (
                _paper_percent(printed, MAIN[experiment], model, method, "mean"),
                *_our_percent(inputs, experiment, ours, method, "mean"),
            )
        rows.append((model, [(fmt.number(numbers[model, m][0]), fmt.number(numbers[model, m][1])) for m in methods]))
    what = "mean over the benchmarks"
    return Percent(0, what, what, list(methods), rows, numbers) if len(rows) > 1 else None


def main_experiment(inputs: Inputs, ours: str | None) -> str | None:
    """Which of the two main tables a model of ours was run for; None for neither."""
    return next((name for name in MAIN if ours and name in inputs.results.experiments_of(ours)), None)


def unpruned(inputs: Inputs, experiment: str, model: str, benchmark: str) -> float | None:
    """Our unpruned score; the ablation shares the main table's."""
    for name in dict.fromkeys((experiment, "table1")):
        found = inputs.results.cell(name, model, "baseline", benchmark)
        if found:
            return found.value
    return None
