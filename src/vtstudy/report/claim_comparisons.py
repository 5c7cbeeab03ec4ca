"""What a claim of data/published/claims.yaml is judged on: our measurements, case by case.

A case is a benchmark, of one model at one keep ratio; or a row of another table of results.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from itertools import product

import pandas as pd

from vtstudy.report.labels import benchmark_label
from vtstudy.report.results import Inputs, Measure, ReportError

SUPPORTS, CONTRADICTS, OPEN, MISSING = "supports", "contradicts", "undecided", "missing"
_SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Expectation:
    """What a value should be: "> 0", "<= 1.15", "= 81"; ``tolerance`` is how far off it may be all the same."""

    sign: str
    bound: float
    tolerance: float = 0.0

    @classmethod
    def parse(cls, text: str, tolerance: float = 0.0) -> Expectation:
        found = re.fullmatch(r"\s*([<>]=?|=)\s*(-?\d+(?:\.\d+)?)\s*", str(text))
        if not found:
            raise ReportError(f"claims.yaml: '{text}' is not an expectation such as '> 0'.")
        return cls(found[1], float(found[2]), float(tolerance))

    @property
    def wants_more(self) -> bool:
        return ">" in self.sign

    @property
    def bounds(self) -> tuple[float, ...]:
        """Where it ends, the tolerance included: two of an equality."""
        below, above = self.bound - self.tolerance, self.bound + self.tolerance
        return (below, above) if self.sign == "=" else (below,) if self.wants_more else (above,)

    def holds(self, value: float) -> bool:
        if self.sign == "=":
            return abs(value - self.bound) <= self.tolerance + 1e-9
        return _SIGNS[self.sign](value, *self.bounds)

    def outcome(self, measure: Measure | None) -> str:
        """The whole interval must lie on one side of the bound; a point without an interval decides nothing."""
        if measure is None:
            return MISSING
        if not measure.has_interval:
            return OPEN
        ends = (measure.low, measure.high)
        if all(map(self.holds, ends)):
            return SUPPORTS
        return CONTRADICTS if self._fails(*ends) else OPEN

    def _fails(self, low: float, high: float) -> bool:
        """Whether all of an interval is beyond the bound: one that only touches it (a tie, say) is not."""
        if self.sign == "=":
            below, above = self.bounds
            return low > above or high < below
        return high < self.bounds[0] if self.wants_more else low > self.bounds[0]


@dataclass(frozen=True)
class Item:
    """One comparison of one case: what was found, or why nothing was."""

    case: str
    term: str
    measure: Measure | None
    outcome: str
    why: str = ""


def gather(inputs: Inputs, claim: dict, expected: Expectation, terms: tuple[str, ...]) -> list[Item]:
    """All comparisons that a claim is about, the missing ones too."""
    if claim["kind"] == "measure":
        return _measured(inputs, claim, expected, terms[0])
    found = []
    for model in models_of(claim):
        ours = inputs.results.model_for(model)
        for keep, benchmark, term in product(_keeps(inputs, claim, ours, terms), claim["benchmarks"], terms):
            case = case_name(claim, model, keep, benchmark)
            measure = _find(inputs, claim, ours, term, benchmark, keep) if ours else None
            why = "" if measure else _why_missing(inputs, claim, model, ours, term, case)
            found.append(Item(case, term, measure, expected.outcome(measure), why))
    return found


def models_of(claim: dict) -> list[str]:
    return claim.get("models") or [claim["model"]]


def case_name(claim: dict, model: str, keep: float | str, benchmark: str) -> str:
    """The benchmark, and the model or ratio where the claim is about several."""
    name = "Mean (% of unpruned)" if benchmark == "mean" else benchmark_label(benchmark)
    if len(models_of(claim)) > 1:
        name += f" of {model}"
    if claim["keep"] == "each" and keep != "each":
        name += f" at {100 - 100 * keep:g} % pruned"
    return name


def _keeps(inputs: Inputs, claim: dict, ours: str | None, terms: tuple[str, ...]) -> list[float | str]:
    """The ratio that the claim is about, or, for "each", all at which its comparison was run."""
    if claim["keep"] != "each":
        return [claim["keep"]]
    return (ours and inputs.results.keeps(claim["experiment"], ours, terms[0])) or ["each"]


def _find(inputs: Inputs, claim: dict, ours: str, term: str, benchmark: str, keep: float | str) -> Measure | None:
    if keep == "each":
        return None
    find = inputs.results.cell if claim["kind"] == "level" else inputs.results.difference
    found = find(claim["experiment"], ours, term, benchmark, keep)
    if claim["kind"] != "change" or found is None:
        return found
    other = find(claim["experiment"], ours, term, benchmark, claim["from_keep"])
    return found.minus(other) if other else None


def _why_missing(inputs: Inputs, claim: dict, model: str, ours: str | None, term: str, case: str) -> str:
    if ours is None:
        return f"no checkpoint stands for {model} yet" if model not in inputs.models else f"{model} was not run"
    if claim["experiment"] not in inputs.results.experiments_of(ours):
        return f"the experiment {claim['experiment']} was not run"
    return f"no result for {case}"


def _measured(inputs: Inputs, claim: dict, expected: Expectation, term: str) -> list[Item]:
    """The rows of another table of results, or the ratios of its rows to other ones."""
    frame = inputs.tables.get(claim["file"])
    if frame is None:
        return [Item(claim["file"], term, None, MISSING, f"{claim['file']} was not made")]
    across = claim.get("across", [])
    columns = {
        *claim["where"],
        *claim.get("over", {}),
        *across,
        *(claim[key] for key in ("value", "low", "high") if key in claim),
    }
    if lacking := sorted(columns - set(frame.columns)):
        raise ReportError(f"{claim['file']} lacks the column {lacking[0]}, which claim '{claim['id']}' reads.")
    rows = _select(frame, inputs, claim, claim["where"])
    others = _select(frame, inputs, claim, claim["where"] | claim.get("over", {}))
    others = {tuple(row[c] for c in across): row for _, row in others.iterrows()}
    found = []
    for _, row in rows.iterrows():
        key = tuple(row[c] for c in across)
        case, measure = ", ".join(benchmark_label(v) for v in key) or term, _measure(claim, row)
        if "over" in claim:
            measure = measure.over(_measure(claim, others[key])) if key in others else None
        why = "" if measure else f"no row to compare {case} with"
        found.append(Item(case, term, measure, expected.outcome(measure), why))
    return found or [
        Item(claim["file"], term, None, MISSING, claim.get("absent", f"{claim['file']} holds no row for it"))
    ]


def _select(frame: pd.DataFrame, inputs: Inputs, claim: dict, where: dict) -> pd.DataFrame:
    """Rows with these values; of our model, where the table has a column for it."""
    ours = inputs.results.model_for(claim["model"])
    wanted = ({"model": ours} if "model" in frame.columns and "model" not in where else {}) | where
    chosen = pd.Series(True, index=frame.index)
    for column, value in wanted.items():
        chosen &= frame[column].map(_plain) == _plain(value)
    return frame[chosen]


def _measure(claim: dict, row: pd.Series) -> Measure:
    """A row's number with its interval, if the claim names columns that hold one; an ``exact`` one is its own."""

    def number(column: str | None) -> float:
        text = row[column] if column else ""
        try:
            return float(text) if text != "" else math.nan
        except ValueError as error:
            raise ReportError(f"{claim['file']}: '{text}' in column {column} is not a number.") from error

    value = number(claim["value"])
    low, high = (value, value) if claim.get("exact") else (number(claim.get("low")), number(claim.get("high")))
    return Measure(claim["file"], row.get("model", ""), "", math.nan, "", claim["value"], value, None, low, high)


def _plain(value: object) -> str:
    """0.10 and "0.1" are the same."""
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)
