"""The comparisons of our measurements that a claim of data/published/claims.yaml is judged on, case by case.

A case is a benchmark, of one model at one keep ratio; or a row of another table of results. The comparisons of a claim
are read together: what is clear by its own interval must stay clear after Holm's correction.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.errors import ReportError
from vtstudy.report.evidence import Outcome
from vtstudy.report.floors import why_untestable
from vtstudy.report.inputs import Inputs, Mapping
from vtstudy.report.labels import benchmark_label
from vtstudy.report.results import Measurement
from vtstudy.report.verdicts.correction import holm, p_value
from vtstudy.results_table import MEAN

EACH = "each"
"""The keep ratio of a claim about every ratio that was run."""
_SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Expectation:
    """What a value should be, such as "> 0", "<= 1.15" or "= 81".

    Attributes:
        sign: one of >, >=, <, <= and =.
        bound: what the value is compared with.
        tolerance: how far on the wrong side of the bound a value still counts.
    """

    sign: str
    bound: float
    tolerance: float = 0.0

    @classmethod
    def parse(cls, text: str, tolerance: float = 0.0) -> Expectation:
        """Raises `ReportError` if the text is not an expectation."""
        match = re.fullmatch(r"\s*([<>]=?|=)\s*(-?\d+(?:\.\d+)?)\s*", str(text))
        if not match:
            raise ReportError(f"claims.yaml: '{text}' is not an expectation such as '> 0'.")
        return cls(match[1], float(match[2]), float(tolerance))

    @property
    def wants_more(self) -> bool:
        return ">" in self.sign

    @property
    def bounds(self) -> tuple[float, ...]:
        """The limits of what is expected, the tolerance included: two for an equality, else one."""
        below, above = self.bound - self.tolerance, self.bound + self.tolerance
        if self.sign == "=":
            return below, above
        return (below,) if self.wants_more else (above,)

    @property
    def sides(self) -> tuple[str, str]:
        """Where a comparison lies that supports the claim, and where one that contradicts it, in words."""
        if self.sign == "=":
            return f"within {self.tolerance:g} of {self.bound:g}", f"further from {self.bound:g}"
        bound = f"{self.bounds[0]:g}".replace("-", formatting.MINUS)
        return (f"above {bound}", f"below {bound}") if self.wants_more else (f"below {bound}", f"above {bound}")

    def holds(self, value: float) -> bool:
        if self.sign == "=":
            return abs(value - self.bound) <= self.tolerance + 1e-9
        return _SIGNS[self.sign](value, *self.bounds)

    def outcome(self, measurement: Measurement | None) -> Outcome:
        """Whether a measurement's interval lies on one side of the bound; without an interval nothing is decided."""
        if measurement is None:
            return Outcome.MISSING
        if not measurement.has_interval:
            return Outcome.OPEN
        if self.holds(measurement.low) and self.holds(measurement.high):
            return Outcome.SUPPORTS
        return Outcome.CONTRADICTS if self._fails(measurement.low, measurement.high) else Outcome.OPEN

    def _fails(self, low: float, high: float) -> bool:
        """Whether an interval lies beyond the bound; one that only touches it (a tie, say) does not."""
        if self.sign == "=":
            below, above = self.bounds
            return low > above or high < below
        return high < self.bounds[0] if self.wants_more else low > self.bounds[0]


@dataclass(frozen=True)
class ClaimComparison:
    """One comparison of one case of a claim.

    Attributes:
        case: the benchmark, model or ratio, for readers.
        term: the compared method or pair.
        measurement: None if nothing was measured.
        alone: what its own interval says.
        outcome: the same, corrected for the number of comparisons that are read together.
        why: why nothing was measured, or why it says nothing.
        p: its p-value, corrected; NaN where none is needed.
    """

    case: str
    term: str
    measurement: Measurement | None
    alone: Outcome
    outcome: Outcome
    why: str = ""
    p: float = math.nan


def gather(inputs: Inputs, claim: Mapping, expected: Expectation, terms: tuple[str, ...]) -> list[ClaimComparison]:
    """All comparisons that a claim is about, also those that were not measured."""
    if claim["kind"] == "measure":
        return _from_other_table(inputs, claim, expected, terms[0])
    comparisons = []
    for model in models_of(claim):
        ours = inputs.results.model_for(model)
        for keep, benchmark, term in product(_keeps(inputs, claim, ours, terms), claim["benchmarks"], terms):
            case = case_name(claim, inputs.title(model), keep, benchmark)
            measurement = _find(inputs, claim, ours, term, benchmark, keep) if ours else None
            outcome = expected.outcome(measurement)
            why = "" if measurement else _why_missing(inputs, claim, model, ours, benchmark, case)
            if measurement and claim["kind"] == "difference" and not isinstance(keep, str):
                why = why_untestable(inputs.results, claim["experiment"], str(ours), term, benchmark, keep, measurement)
                outcome = Outcome.UNTESTABLE if why else outcome
            comparisons.append(ClaimComparison(case, term, measurement, outcome, outcome, why))
    return corrected(comparisons, expected, inputs.interval / 100)


def corrected(comparisons: list[ClaimComparison], expected: Expectation, level: float) -> list[ClaimComparison]:
    """The comparisons, clear only where they stay so when all are read together.

    Args:
        comparisons: of one claim.
        expected: what each is compared with.
        level: of the intervals.
    """
    family = [
        place
        for place, comparison in enumerate(comparisons)
        if comparison.alone in (Outcome.SUPPORTS, Outcome.CONTRADICTS, Outcome.OPEN)
        and comparison.measurement is not None
        and comparison.measurement.has_interval
    ]
    p_values = []
    for place in family:
        measurement = comparisons[place].measurement
        assert measurement is not None
        values = (measurement.value, measurement.low, measurement.high)
        p_values.append(max(p_value(*values, bound, level) for bound in expected.bounds))
    read = list(comparisons)
    for place, p in zip(family, holm(p_values), strict=True):
        # An interval may touch its bound and still be clear (">= 90"), and a p-value may be rounded the other way.
        unclear = len(family) > 1 and p > 1 - level
        read[place] = replace(read[place], p=p, outcome=Outcome.OPEN if unclear else read[place].alone)
    return read


def models_of(claim: Mapping) -> list[str]:
    """The paper's models that a claim is about."""
    return claim.get("models") or [claim["model"]]


def case_name(claim: Mapping, model: str, keep: float | str, benchmark: str) -> str:
    """The benchmark, and the model or the ratio if the claim is about several; `model` is what readers call it."""
    name = "Mean (% of unpruned)" if benchmark == MEAN else benchmark_label(benchmark)
    if len(models_of(claim)) > 1:
        name += f", {model}"
    if claim["keep"] == EACH and isinstance(keep, float):
        name += f" at {100 - 100 * keep:g} % pruned"
    return name


def _keeps(inputs: Inputs, claim: Mapping, ours: str | None, terms: tuple[str, ...]) -> list[float | str]:
    """The ratio that a claim is about; for "each", all ratios at which its comparison was run."""
    if claim["keep"] != EACH:
        return [claim["keep"]]
    ratios = inputs.results.keeps(claim["experiment"], ours, terms[0]) if ours else []
    return list(ratios) or [EACH]


def _find(
    inputs: Inputs, claim: Mapping, ours: str, term: str, benchmark: str, keep: float | str
) -> Measurement | None:
    if isinstance(keep, str):
        return None
    find = inputs.results.score if claim["kind"] == "level" else inputs.results.difference
    measurement = find(claim["experiment"], ours, term, benchmark, keep)
    if claim["kind"] != "change" or measurement is None:
        return measurement
    start = find(claim["experiment"], ours, term, benchmark, claim["from_keep"])
    return measurement.minus(start) if start else None


def _why_missing(inputs: Inputs, claim: Mapping, model: str, ours: str | None, benchmark: str, case: str) -> str:
    if ours is None:
        return f"no checkpoint is compared with {model}" if model not in inputs.models else f"{model} was not run"
    if "absent" in claim and not inputs.is_miniature(model):
        return claim["absent"]
    if claim["experiment"] not in inputs.results.experiments_of(ours):
        return f"the experiment {claim['experiment']} was not run"
    return inputs.left_out.get(benchmark) or f"no result for {case}"


def _from_other_table(inputs: Inputs, claim: Mapping, expected: Expectation, term: str) -> list[ClaimComparison]:
    """The rows of another table of results, or the ratios of its rows to other rows."""
    file = claim["file"]
    frame = inputs.tables.get(file)
    if frame is None:
        return [_missing(file, term, f"{file} was not made")]
    across = claim.get("across", [])
    _check_columns(frame, claim, across)
    divisors = {}
    if "over" in claim:
        rows = _select(frame, inputs, claim, claim["where"] | claim["over"])
        divisors = {tuple(row[name] for name in across): row for _, row in rows.iterrows()}
    comparisons = []
    for _, row in _select(frame, inputs, claim, claim["where"]).iterrows():
        key = tuple(row[name] for name in across)
        case = ", ".join(benchmark_label(str(name)) for name in key) or term
        measurement: Measurement | None = _measurement(claim, row)
        if "over" in claim:
            divisor = divisors.get(key)
            measurement = None if divisor is None else _measurement(claim, row).over(_measurement(claim, divisor))
        why = "" if measurement else f"no row to compare {case} with"
        outcome = expected.outcome(measurement)
        comparisons.append(ClaimComparison(case, term, measurement, outcome, outcome, why))
    return comparisons or [_missing(file, term, claim.get("absent", f"{file} holds no row for it"))]


def _missing(case: str, term: str, why: str) -> ClaimComparison:
    return ClaimComparison(case, term, None, Outcome.MISSING, Outcome.MISSING, why)


def _check_columns(frame: pd.DataFrame, claim: Mapping, across: list[str]) -> None:
    needed = {*claim["where"], *claim.get("over", {}), *across}
    needed |= {claim[key] for key in ("value", "low", "high") if key in claim}
    lacking = sorted(needed - set(frame.columns))
    if lacking:
        raise ReportError(f"{claim['file']} lacks the column {lacking[0]}, which claim '{claim['id']}' reads.")


def _select(frame: pd.DataFrame, inputs: Inputs, claim: Mapping, where: Mapping) -> pd.DataFrame:
    """The rows with these values; those of our model, if the table has a column for it."""
    wanted = dict(where)
    if "model" in frame.columns:
        wanted.setdefault("model", inputs.results.model_for(claim["model"]))
    chosen = np.full(len(frame), True)
    for column, value in wanted.items():
        if pd.api.types.is_numeric_dtype(frame[column]):
            chosen &= np.isclose(frame[column], float(value))
        else:
            chosen &= frame[column] == value
    return frame[chosen]


def _measurement(claim: Mapping, row: pd.Series) -> Measurement:
    """A row's number with the interval that the claim names columns for; an exact number is its own interval."""

    def number(column: str | None) -> float:
        if column is None:
            return math.nan
        try:
            return float(row[column])
        except ValueError as error:
            raise ReportError(f"{claim['file']}: '{row[column]}' in column {column} is not a number.") from error

    value = number(claim["value"])
    low, high = number(claim.get("low")), number(claim.get("high"))
    if claim.get("exact"):
        low = high = value
    return Measurement(claim["file"], row.get("model", ""), "", math.nan, "", claim["value"], value, None, low, high)
