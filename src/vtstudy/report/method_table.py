"""All methods on the same benchmarks, the same questions and the same budgets: the answer to "which method?"."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

from vtprune.methods import methods
from vtstudy.report import formatting
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, in_sentence, method_label
from vtstudy.report.results import HIGHER, LOWER, Measurement
from vtstudy.report.table_links import KEEP, KEY_MODEL
from vtstudy.report.text_table import Table
from vtstudy.results_table import MEAN, UNPRUNED

EXPERIMENTS = ("methods", "figure5")
"""The experiments with several methods and budgets; the first that was run is the table."""
BUDGETS = (0.5, 0.25, 0.1, 0.05)
_ELSEWHERE = ("table1", "table2", "table5", "eadaprune")
_NOT_METHODS = {*UNPRUNED, "none", "adaptprune_as_written", "(a)", "(b)", "(c)", "(d)"}


@dataclass(frozen=True)
class MethodRow:
    """A method at every budget.

    Attributes:
        method: as results.csv names it.
        scores: by budget, mean percent of the unpruned score.
        ranks: by budget, 1 for the highest.
        flops_saved: percent of the paper's model's FLOPs that are saved at a tenth; NaN if they were not counted.
        choosing_ms: milliseconds of scoring and choosing for one prompt; NaN if they were not measured.
    """

    method: str
    scores: dict[float, Measurement]
    ranks: dict[float, int]
    flops_saved: float
    choosing_ms: float

    @property
    def label(self) -> str:
        return method_label(self.method)


@dataclass(frozen=True)
class MethodTable:
    """The table; without rows nothing was run.

    Attributes:
        experiment: of results.csv.
        benchmarks: labels of the benchmarks.
        questions: how many each method was asked.
        budgets: fractions of the image tokens, largest first.
        rows: the methods, best at a tenth first.
        leads: by budget, the best method's lead over the next, if the pair was compared.
        without_budget: mean percent of the unpruned score of each method that takes no budget (VTW).
        missing: methods that were run in other tables alone.
    """

    experiment: str = ""
    benchmarks: list[str] = field(default_factory=list)
    questions: int = 0
    budgets: list[float] = field(default_factory=list)
    rows: list[MethodRow] = field(default_factory=list)
    leads: dict[float, Measurement] = field(default_factory=dict)
    without_budget: dict[str, Measurement] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def ranked(self, budget: float) -> list[MethodRow]:
        """The methods that were run with a budget, best first."""
        return sorted((row for row in self.rows if budget in row.scores), key=lambda row: row.ranks[budget])

    def row(self, method: str) -> MethodRow | None:
        return next((row for row in self.rows if row.method == method), None)


def method_table(inputs: Inputs) -> MethodTable:
    """The table, from the first experiment with several budgets that was run on the model of most tables."""
    results, ours = inputs.results, inputs.results.model_for(KEY_MODEL)
    run = results.experiments_of(ours) if ours else []
    experiment = next((name for name in EXPERIMENTS if name in run), None)
    if ours is None or experiment is None:
        return MethodTable()
    scores: dict[str, dict[float, Measurement]] = {}
    for method in results.methods(experiment, ours):
        if method not in _NOT_METHODS:
            found = {budget: results.score(experiment, ours, method, MEAN, budget) for budget in BUDGETS}
            # The score of a method without a budget stands at none, and is found at each.
            scores[method] = {budget: score for budget, score in found.items() if score and not math.isnan(score.keep)}
    no_budget = {
        method: score
        for method, of_method in scores.items()
        if not of_method and (score := results.score(experiment, ours, method, MEAN)) and math.isnan(score.keep)
    }
    scores = {method: of_method for method, of_method in scores.items() if of_method}
    budgets = [budget for budget in BUDGETS if any(budget in of_method for of_method in scores.values())]
    if not budgets:
        return MethodTable()
    ranks = {budget: _ranks(scores, budget) for budget in budgets}
    timed = _choosing_ms(inputs)
    rows = [
        MethodRow(
            method,
            of_method,
            {budget: ranks[budget][method] for budget in of_method},
            _flops_saved(inputs, method),
            timed.get(method, math.nan),
        )
        for method, of_method in scores.items()
    ]
    nearest = min(budgets, key=lambda budget: abs(budget - KEEP))
    rows.sort(key=lambda row: row.ranks.get(nearest, len(rows) + 1))
    names = [name for name in results.benchmarks(experiment, ours) if name not in (MEAN, "mme_cognition")]
    asked = [results.score(experiment, ours, "baseline", name) for name in names]
    table = MethodTable(
        experiment=experiment,
        benchmarks=[benchmark_label(name) for name in names],
        questions=sum(score.n or 0 for score in asked if score),
        budgets=budgets,
        rows=rows,
        without_budget={method_label(method): score for method, score in no_budget.items()},
        missing=_missing(inputs, ours, {*scores, *no_budget}),
    )
    for budget in budgets:
        first = table.ranked(budget)[:2]
        if len(first) == 2:
            pair = f"{first[0].method} - {first[1].method}"
            lead = results.difference(experiment, ours, pair, MEAN, budget)
            if lead:
                table.leads[budget] = lead
    return table


def _ranks(scores: dict[str, dict[float, Measurement]], budget: float) -> dict[str, int]:
    run = {method: of_method[budget].value for method, of_method in scores.items() if budget in of_method}
    return {method: 1 + sum(other > value for other in run.values()) for method, value in run.items()}


def _missing(inputs: Inputs, ours: str, run: set[str]) -> list[str]:
    """Methods that were measured on this model in other tables, and not in this one."""
    others = {
        method
        for experiment in _ELSEWHERE
        for method in inputs.results.methods(experiment, ours)
        if method in methods() and method not in _NOT_METHODS
    }
    return sorted(method_label(method) for method in others - run)


def _flops_saved(inputs: Inputs, method: str) -> float:
    costs = inputs.tables.get("method_costs.csv")
    if costs is None:
        return math.nan
    at_tenth = costs[(costs["model"] == KEY_MODEL) & (costs["method"] == method) & (costs["keep"] == KEEP)]
    return float(at_tenth["flops_saved_percent"].iloc[0]) if len(at_tenth) else math.nan


def _choosing_ms(inputs: Inputs) -> dict[str, float]:
    """Milliseconds of scoring and choosing, by method, for one prompt; empty without timings.json."""
    path = inputs.folders.data / "timings.json"
    if not path.is_file():
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8")).get("choosing_milliseconds", {}))


def choice(table: MethodTable, budget: float) -> str:
    """Which method leads at a budget, by how much, and whether that is clear."""
    first, *others = table.ranked(budget)
    best = f"{first.label}, {first.scores[budget].text()} %"
    if not others:
        return f"{best}; no other method was run."
    second = others[0]
    next_best = f"{in_sentence(second.label)}, {second.scores[budget].text()} %"
    lead = table.leads.get(budget)
    if lead and lead.side in (HIGHER, LOWER):
        return f"{best}; the next is {next_best}."
    a, b = first.scores[budget], second.scores[budget]
    if not lead and a.has_interval and b.has_interval and a.low > b.high:
        return f"{best}; the next is {next_best}."
    return f"{best}, not clearly ahead of {next_best}."


def budget_name(budget: float) -> str:
    """A budget in words where a word exists."""
    return {0.5: "a half", 0.25: "a quarter", 0.1: "a tenth", 0.05: "a twentieth"}.get(
        budget, f"{formatting.percent(budget)}"
    )


def picture_title(table: MethodTable) -> str:
    """What the picture shows, in a sentence: who leads where, and what the most budget costs the leader."""
    firsts = {budget: table.ranked(budget)[0] for budget in table.budgets}
    most = table.budgets[0]
    names = list(dict.fromkeys(row.label for row in firsts.values()))
    if len(names) == 1:
        lead = f"{names[0]} keeps most at every budget"
    else:
        parts = []
        for name in names:
            budgets = [budget_name(budget) for budget, row in firsts.items() if row.label == name]
            parts.append(f"{name} at {formatting.listed(budgets)}")
        lead = f"Most is kept by {formatting.listed(parts)}"
    change = firsts[most].scores[most].value - 100
    cost = "loses" if change < 0 else "gains"
    return f"{lead}; at {budget_name(most)}, {firsts[most].label} {cost} {formatting.number(abs(change))} points"


def markdown_table(table: MethodTable) -> Table:
    """The table as the page shows it."""
    heads = []
    for budget in table.budgets:
        heads += [f"{budget_name(budget).capitalize()} kept", "Rank"]
    heads += ["FLOPs saved, %", "Choosing, ms"]
    lines = []
    for row in table.rows:
        cells = []
        for budget in table.budgets:
            score = row.scores.get(budget)
            cells += [score.text() if score else formatting.NONE, str(row.ranks.get(budget, formatting.NONE))]
        costs = (row.flops_saved, row.choosing_ms)
        cells += [formatting.NONE if math.isnan(number) else formatting.number(number) for number in costs]
        lines.append((row.label, cells))
    return Table(
        "Mean percent of the unpruned score, with intervals and ranks. FLOPs: exact, LLaVA-1.5-7B at a tenth. "
        "Choosing: milliseconds on the machine of this run.",
        heads,
        lines,
        first="Method",
    )
