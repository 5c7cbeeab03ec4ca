"""The published tables, ready to be shown: the paper's values, ours, and verdicts where ours may be judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.report import formatting
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.results import Measurement
from vtstudy.report.table_links import KEEP, MAIN_TABLES, TABLE_LINKS, TableLink
from vtstudy.report.verdicts.printed_values import DIFFERS, NO_VALUE, REPRODUCED, PrintedValue
from vtstudy.results_table import MEAN


@dataclass(frozen=True)
class ShownValue:
    """A printed value beside ours, as text.

    Attributes:
        paper: as printed.
        ours: our score.
        interval: of our score.
        difference: ours minus the paper's.
        verdict: on the printed value.
        note: number of the verdict's reason below the table; None if nothing is printed here.
    """

    paper: str
    ours: str
    interval: str
    difference: str
    verdict: str
    note: int | None = None


_NOTHING = ShownValue(formatting.NONE, formatting.NONE, "", formatting.NONE, NO_VALUE)


@dataclass(frozen=True)
class Block:
    """One model of one published table.

    Attributes:
        table: its number.
        title: of the table.
        model: of the paper.
        ours: our model, or None if nothing of ours stands beside it.
        methods: as printed, then ours that the paper does not print (`alone`).
        benchmarks: as printed.
        values: by method and benchmark.
        reasons: of the verdicts; a value's `note` is the number of its reason.
        labels: of the methods.
        bare: printed methods beside which nothing of ours stands.
        alone: our methods that the paper does not print.
    """

    table: int
    title: str
    model: str
    ours: str | None
    methods: list[str]
    benchmarks: list[str]
    values: dict[tuple[str, str], ShownValue]
    reasons: list[str]
    labels: dict[str, str]
    bare: set[str]
    alone: list[str]

    @property
    def verdict(self) -> str:
        """The one verdict of all printed values, or "" if they differ."""
        verdicts = {(value.verdict, value.note) for value in self.values.values() if value.note is not None}
        return next(iter(verdicts))[0] if len(verdicts) == 1 else ""

    @property
    def judged(self) -> bool:
        """Whether a score of ours may be compared with a printed one."""
        return any(value.verdict in (REPRODUCED, DIFFERS) for value in self.values.values())

    @property
    def upright(self) -> bool:
        """Whether methods stand side by side: the longer list runs down the page."""
        return len(self.methods) <= len(self.benchmarks)

    def value(self, method: str, benchmark: str) -> ShownValue:
        return self.values.get((method, benchmark), _NOTHING)


def blocks(inputs: Inputs, printed_values: list[PrintedValue]) -> list[Block]:
    """All published tables, one block for each table and model, in print order."""
    groups: dict[tuple[int, str], list[PrintedValue]] = {}
    for value in printed_values:
        groups.setdefault((value.table, value.model), []).append(value)
    return [_block(inputs, table, model, group) for (table, model), group in groups.items()]


def _block(inputs: Inputs, table: int, model: str, group: list[PrintedValue]) -> Block:
    link = TABLE_LINKS[table]
    by_place = {((v.column, v.row) if link.turned else (v.row, v.column)): v for v in group}
    reasons = list(dict.fromkeys(value.reason for value in group))
    shown = {
        place: _shown(v.published, v.ours, v.difference, v.verdict, reasons.index(v.reason) + 1)
        for place, v in by_place.items()
    }
    methods, benchmarks = (list(dict.fromkeys(names)) for names in zip(*by_place, strict=True))
    ours = next((value.ours.model for value in group if value.ours), None)
    with_ours = {method for (method, _), value in by_place.items() if value.ours}
    labels = {method: _label(link, method) for method in methods}
    alone = []
    for experiment, method in link.extra if ours else ():
        scores = {
            name: inputs.results.score(experiment, str(ours), method, link.benchmarks.get(name, ""), KEEP)
            for name in benchmarks
        }
        if any(scores.values()):
            alone.append(method)
            labels[method] = method_label(method)
            shown |= {
                (method, name): _shown(formatting.NONE, score, math.nan, NO_VALUE, None)
                for name, score in scores.items()
                if score
            }
    return Block(
        table=table,
        title=link.title,
        model=model,
        ours=ours,
        methods=[*methods, *alone],
        benchmarks=benchmarks,
        values=shown,
        reasons=reasons,
        labels=labels,
        bare=set(methods) - with_ours,
        alone=alone,
    )


def _label(link: TableLink, method: str) -> str:
    if method not in link.methods:
        return method
    label = method_label(link.methods[method].sources[0][1])
    ratio = method.rpartition(" ")[2]
    return f"{label}, {ratio[:-1]} %" if link.turned and ratio.endswith("%") else label


def _shown(paper: str, ours: Measurement | None, difference: float, verdict: str, note: int | None) -> ShownValue:
    score, interval = formatting.NONE, ""
    if ours:
        score, interval = formatting.number(ours.value), formatting.interval(ours.low, ours.high)
    return ShownValue(paper, score, interval, formatting.signed(difference), verdict, note)


@dataclass(frozen=True)
class PercentTable:
    """Percent of the unpruned score: the measure in which a miniature and the paper's model can be compared.

    Attributes:
        table: number of the published table; 0 for the overview of all models.
        model: of the paper.
        ours: what readers call our model.
        methods: side by side.
        rows: name of a benchmark (or model), and (paper, ours) by method as text.
        numbers: by benchmark (or model) and method: the paper's, ours, and the ends of our interval.
    """

    table: int
    model: str
    ours: str
    methods: list[str]
    rows: list[tuple[str, list[tuple[str, str]]]]
    numbers: dict[tuple[str, str], tuple[float, float, float, float]]


def percent_table(
    inputs: Inputs, table: int, model: str, experiment: str, methods: Sequence[str]
) -> PercentTable | None:
    """Percent of the unpruned score, the paper's and ours, of the methods that we ran; None if we ran none.

    Our intervals take the unpruned score as fixed, but the mean's, which is from results.csv, does not.
    """
    ours = inputs.results.model_for(model)
    if ours is None:
        return None
    run = inputs.results.methods(experiment, ours)
    methods = [method for method in methods if method in run]
    benchmarks = [
        benchmark
        for benchmark in TABLE_LINKS[table].benchmarks.values()
        if benchmark in inputs.results.benchmarks(experiment, ours)
    ]
    if not methods or not benchmarks:
        return None
    printed = inputs.printed
    numbers = {
        (benchmark, method): (
            printed.percent(model, method, benchmark, table),
            *_our_percent(inputs, experiment, ours, method, benchmark),
        )
        for benchmark in [*benchmarks, MEAN]
        for method in methods
    }
    rows = [
        (benchmark_label(benchmark), [_pair(numbers[benchmark, method]) for method in methods])
        for benchmark in [*benchmarks, MEAN]
    ]
    return PercentTable(table, model, inputs.title(model), list(methods), rows, numbers)


def overview_table(inputs: Inputs, methods: Sequence[str]) -> PercentTable | None:
    """The mean percent of the unpruned score of every model that was run; None if that is only one.

    Each model is compared in the experiment of its main table, Table 1 or 2.
    """
    printed, numbers, models = inputs.printed, {}, []
    for model in inputs.models:
        ours = inputs.results.model_for(model)
        experiment = main_experiment(inputs, ours)
        if ours is None or experiment is None:
            continue
        models.append(model)
        for method in methods:
            numbers[model, method] = (
                printed.percent(model, method, MEAN, MAIN_TABLES[experiment]),
                *_our_percent(inputs, experiment, ours, method, MEAN),
            )
    if len(models) < 2:
        return None
    rows = [(model, [_pair(numbers[model, method]) for method in methods]) for model in models]
    stand_ins = any(not inputs.is_papers(model) for model in models)
    ours = "stand-ins for these models" if stand_ins else "the same checkpoints"
    return PercentTable(0, "mean over the benchmarks", ours, list(methods), rows, numbers)


def _pair(numbers: tuple[float, float, float, float]) -> tuple[str, str]:
    return formatting.number(numbers[0]), formatting.number(numbers[1])


def _our_percent(
    inputs: Inputs, experiment: str, model: str, method: str, benchmark: str
) -> tuple[float, float, float]:
    """Value, low and high of our percent of the unpruned score; NaN where it was not measured."""
    score = inputs.results.score(experiment, model, method, benchmark, KEEP)
    if score and benchmark == MEAN:
        return score.value, score.low, score.high
    unpruned = inputs.results.unpruned(experiment, model, benchmark)
    if not score or not unpruned:
        return math.nan, math.nan, math.nan
    return 100 * score.value / unpruned, 100 * score.low / unpruned, 100 * score.high / unpruned


def main_experiment(inputs: Inputs, ours: str | None) -> str | None:
    """Which of the two main tables a model of ours was run for; None for neither."""
    if ours is None:
        return None
    run = inputs.results.experiments_of(ours)
    return next((name for name in MAIN_TABLES if name in run), None)
