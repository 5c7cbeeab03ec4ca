"""The verdict on each value that the first paper prints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vtstudy.report.checkpoints import same_checkpoint
from vtstudy.report.inputs import Inputs
from vtstudy.report.results import Measurement, row_names
from vtstudy.report.table_links import TABLE_LINKS

REPRODUCED, DIFFERS, NOT_RUN, NO_VALUE = "reproduced", "differs", "not run", "no published value"
NEEDS_CHECKPOINT = "needs the paper's checkpoint: profile lite or paper"
NO_STAND_IN = f"{NEEDS_CHECKPOINT}; nor does a checkpoint of ours stand for this model yet"
COST_OF_ITS_MACHINE = (
    "a cost on the paper's machine (one RTX 3090), not comparable in seconds; its ratios are among the claims"
)


@dataclass(frozen=True)
class PrintedValue:
    """A number that the paper prints, beside ours.

    Attributes:
        table: number of the table.
        model: of the paper.
        row: printed row.
        column: printed column.
        published: the printed text.
        number: the printed number; NaN where the text is not a plain number.
        ours: our measurement; it may stand beside a value that is not judged.
        tolerance: how far ours may be from it; None where it is not judged.
        verdict: one of the constants of this module.
        reason: why.
    """

    table: int
    model: str
    row: str
    column: str
    published: str
    number: float
    ours: Measurement | None
    tolerance: float | None
    verdict: str
    reason: str

    @property
    def difference(self) -> float:
        """Ours minus the paper's; NaN without ours."""
        return self.ours.value - self.number if self.ours else math.nan


def judge_printed_values(inputs: Inputs) -> list[PrintedValue]:
    """The verdict on every row of data/published/adaptprune.csv, in its order."""
    return [
        _judge(inputs, row.table, row.model, row.row, row.column, row.value, row.number)
        for row in inputs.published.itertuples(index=False)
    ]


def _judge(
    inputs: Inputs, table: int, model: str, row: str, column: str, published: str, number: float
) -> PrintedValue:
    ours = _counterpart(inputs, table, model, row, column)
    tolerance = None
    comparable = ours is not None and same_checkpoint(model, ours.model) and inputs.profile != "miniature"
    if ours is not None and comparable and not math.isnan(number):
        tolerance = inputs.tolerances.get(ours.benchmark, inputs.tolerances["default"])
        verdict, reason = judge_value(number, ours, tolerance)
    else:
        verdict, reason = NOT_RUN, _why_not_run(inputs, table, model, row, column, ours)
    return PrintedValue(table, model, row, column, published, number, ours, tolerance, verdict, reason)


def judge_value(published: float, ours: Measurement, tolerance: float) -> tuple[str, str]:
    """The verdict on one score and its reason: reproduced if ours is within the tolerance.

    An interval that includes the printed value only because it is wide is no reproduction.
    """
    gap = abs(ours.value - published)
    if gap <= tolerance + 1e-9:  # 59.4 - 58.4 is more than 1 in binary
        return REPRODUCED, f"within {tolerance:g}"
    reason = f"by more than {tolerance:g}"
    if ours.has_interval and ours.low <= published <= ours.high:
        reason += ", though our interval includes the paper's value"
    return DIFFERS, reason


def _counterpart(inputs: Inputs, table: int, model: str, row: str, column: str) -> Measurement | None:
    """Our measurement of what a printed value measures."""
    place, ours = TABLE_LINKS[table].place(row, column), inputs.results.model_for(model)
    if place is None or ours is None:
        return None
    printed_method, benchmark = place
    for experiment, method in printed_method.sources:
        measurement = inputs.results.score(experiment, ours, method, benchmark, printed_method.keep)
        if measurement:
            return measurement
    return None


def _why_not_run(inputs: Inputs, table: int, model: str, row: str, column: str, ours: Measurement | None) -> str:
    if TABLE_LINKS[table].place(row, column) is None:
        return COST_OF_ITS_MACHINE
    if model not in inputs.models:
        return NO_STAND_IN
    if inputs.profile == "miniature" or (ours is not None and not same_checkpoint(model, ours.model)):
        return NEEDS_CHECKPOINT
    if inputs.results.model_for(model) is None:
        return f"{inputs.models[model]} was not run"
    return "no result in this run"


def printed_values_frame(values: list[PrintedValue]) -> pd.DataFrame:
    """verdicts.csv: one row for each printed value; the columns `ours_...` name our row of results.csv."""
    return pd.DataFrame(
        [
            {
                "table": value.table,
                "model": value.model,
                "row": value.row,
                "column": value.column,
                "published": value.published,
                **row_names(value.ours, "ours_"),
                "ours": _rounded(value.ours.value) if value.ours else "",
                "ci_low": _rounded(value.ours.low) if value.ours else "",
                "ci_high": _rounded(value.ours.high) if value.ours else "",
                "n": value.ours.n if value.ours and value.ours.n is not None else "",
                "difference": _rounded(value.difference),
                "tolerance": "" if value.tolerance is None else value.tolerance,
                "verdict": value.verdict,
                "reason": value.reason,
            }
            for value in values
        ]
    )


def _rounded(value: float) -> float | str:
    return "" if math.isnan(value) else round(value, 4)
