"""The verdict on each value that the first paper prints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vtstudy.report.checkpoints import PAPER_CHECKPOINTS
from vtstudy.report.evidence import DIFFERS, NOT_RUN, REPRODUCED
from vtstudy.report.inputs import Inputs
from vtstudy.report.results import Measurement, rounded, row_names
from vtstudy.report.table_links import TABLE_LINKS
from vtstudy.report.tolerances import Tolerance
from vtstudy.report.verdicts.cost_ratios import cost_ratio

AS_RATIO, NO_VALUE = "as a ratio", "no published value"
NEEDS_CHECKPOINT = "needs the paper's checkpoint: profile lite or paper"
NO_MODEL = "none of the models that were run is compared with this one"
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
        verdict: one of `REPRODUCED`, `DIFFERS`, `AS_RATIO` and `NOT_RUN`.
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
    place = TABLE_LINKS[table].place(row, column)
    ours = _counterpart(inputs, table, model, row, column)
    tolerance = None
    if place is None:
        verdict, reason = _judge_cost(inputs, model, row, column)
    elif ours is not None and inputs.is_papers(model) and not math.isnan(number):
        allowed = inputs.tolerances.of(ours.benchmark, ours.n)
        tolerance = allowed.value
        verdict, reason = judge_value(number, ours, allowed)
    else:
        verdict, reason = NOT_RUN, why_not_run(inputs, model, ours, place[1])
    return PrintedValue(table, model, row, column, published, number, ours, tolerance, verdict, reason)


def judge_value(published: float, ours: Measurement, tolerance: Tolerance) -> tuple[str, str]:
    """The verdict on one score and its reason: reproduced if ours is within the tolerance.

    An interval that includes the printed value only because it is wide is no reproduction.
    """
    gap = abs(ours.value - published)
    why = f", {tolerance.why}" if tolerance.why else ""
    if gap <= tolerance.value + 1e-9:  # 59.4 - 58.4 is more than 1 in binary
        return REPRODUCED, f"within {tolerance.value:g}{why}"
    reason = f"by more than {tolerance.value:g}{why}"
    if ours.has_interval and ours.low <= published <= ours.high:
        reason += ", though our interval includes the paper's value"
    return DIFFERS, reason


def _judge_cost(inputs: Inputs, model: str, row: str, column: str) -> tuple[str, str]:
    """A time or a memory of Table 3; of the paper's own checkpoint it is compared as a ratio."""
    if inputs.is_papers(model) and inputs.results.model_for(model):
        return AS_RATIO, cost_ratio(inputs, model, row, column)
    return NOT_RUN, COST_OF_ITS_MACHINE


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


def why_not_run(inputs: Inputs, model: str, ours: Measurement | None, benchmark: str = "") -> str:
    """Why a value of one of the papers' models has no verdict.

    Args:
        inputs: what was run.
        model: of the papers.
        ours: what stands beside the value; None if nothing does.
        benchmark: its key, if the value is a benchmark's.
    """
    if model not in inputs.models:
        return needs_checkpoint(inputs, model) if _on_stand_ins(inputs) else NO_MODEL
    run = inputs.models[model]
    if not run.is_papers and (run.is_miniature or ours is not None):
        return needs_checkpoint(inputs, model)
    if inputs.results.model_for(model) is None:
        return f"{run.checkpoint} was not run"
    return inputs.left_out.get(benchmark) or "no result in this run"


def needs_checkpoint(inputs: Inputs, model: str) -> str:
    """That a value is judged on the paper's own checkpoint alone."""
    if _on_stand_ins(inputs):
        return NEEDS_CHECKPOINT
    run = inputs.models.get(model)
    instead = f"; {run.source or run.checkpoint} is another" if run else ""
    return f"needs the paper's checkpoint, {PAPER_CHECKPOINTS.get(model, model)}{instead}"


def _on_stand_ins(inputs: Inputs) -> bool:
    return any(model.is_miniature for model in inputs.models.values())


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
                "ours": rounded(value.ours.value) if value.ours else "",
                "ci_low": rounded(value.ours.low) if value.ours else "",
                "ci_high": rounded(value.ours.high) if value.ours else "",
                "n": value.ours.n if value.ours and value.ours.n is not None else "",
                "difference": rounded(value.difference),
                "tolerance": "" if value.tolerance is None else value.tolerance,
                "verdict": value.verdict,
                "reason": value.reason,
            }
            for value in values
        ]
    )
