"""The verdict on each printed cell (DESIGN section 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vtstudy.report.labels import LINKS, same_checkpoint
from vtstudy.report.results import Inputs, Measure, source

REPRODUCED, DIFFERS, NOT_RUN, NO_VALUE = "reproduced", "differs", "not run", "no published value"
NEEDS_CHECKPOINT = "needs the paper's checkpoint: profile lite or paper"
NO_STAND_IN = f"{NEEDS_CHECKPOINT}; nor does a checkpoint of ours stand for this model yet"
OF_ITS_MACHINE = (
    "a cost on the paper's machine (one RTX 3090), not comparable in seconds; its ratios are among the claims"
)


@dataclass(frozen=True)
class Cell:
    """One printed cell beside ours. ``ours`` may stand beside a cell that is not judged."""

    table: int
    model: str
    row: str
    column: str
    published: str
    number: float
    ours: Measure | None
    tolerance: float | None
    verdict: str
    reason: str

    @property
    def difference(self) -> float:
        return self.ours.value - self.number if self.ours else math.nan


def judge_cells(inputs: Inputs) -> list[Cell]:
    """One ``Cell`` for every row of data/published/adaptprune.csv, in its order."""
    return [_judge(inputs, r) for r in inputs.published.itertuples(index=False)]


def _judge(inputs: Inputs, printed) -> Cell:
    ours = _counterpart(inputs, printed)
    tolerance = None
    comparable = ours is not None and same_checkpoint(printed.model, ours.model) and inputs.profile != "miniature"
    if comparable and not math.isnan(printed.number):
        tolerance = inputs.tolerances.get(ours.benchmark, inputs.tolerances["default"])
        verdict, reason = judge_value(printed.number, ours, tolerance)
    else:
        verdict, reason = NOT_RUN, _why_not_run(inputs, printed, ours)
    return Cell(
        printed.table,
        printed.model,
        printed.row,
        printed.column,
        printed.value,
        printed.number,
        ours,
        tolerance,
        verdict,
        reason,
    )


def judge_value(published: float, ours: Measure, tolerance: float) -> tuple[str, str]:
    """Reproduced when ours is within the declared tolerance. An interval that is merely wide is no reproduction."""
    gap = abs(ours.value - published)
    if gap <= tolerance + 1e-9:  # 59.4 - 58.4 is more than 1 in binary
        return REPRODUCED, f"within {tolerance:g}"
    covered = ours.has_interval and ours.low <= published <= ours.high
    return DIFFERS, f"by more than {tolerance:g}" + (", though our interval includes the paper's value" * covered)


def _counterpart(inputs: Inputs, printed) -> Measure | None:
    place, model = LINKS[printed.table].place(printed.row, printed.column), inputs.results.model_for(printed.model)
    if place is None or model is None:
        return None
    row, benchmark = place
    for experiment, method in row.sources:
        found = inputs.results.cell(experiment, model, method, benchmark, row.keep)
        if found:
            return found
    return None


def _why_not_run(inputs: Inputs, printed, ours: Measure | None) -> str:
    if LINKS[printed.table].place(printed.row, printed.column) is None:
        return OF_ITS_MACHINE
    if printed.model not in inputs.models:
        return NO_STAND_IN
    if inputs.profile == "miniature" or (ours is not None and not same_checkpoint(printed.model, ours.model)):
        return NEEDS_CHECKPOINT
    if inputs.results.model_for(printed.model) is None:
        return f"{inputs.models[printed.model]} was not run"
    return "no result in this run"


def cells_frame(cells: list[Cell]) -> pd.DataFrame:
    """verdicts.csv: one row for each printed cell; ``ours_...`` are the names that our row of results.csv bears."""
    return pd.DataFrame(
        [
            {
                "table": c.table,
                "model": c.model,
                "row": c.row,
                "column": c.column,
                "published": c.published,
                **source(c.ours, "ours_"),
                "ours": _round(c.ours.value) if c.ours else "",
                "ci_low": _round(c.ours.low) if c.ours else "",
                "ci_high": _round(c.ours.high) if c.ours else "",
                "n": c.ours.n if c.ours and c.ours.n is not None else "",
                "difference": _round(c.difference),
                "tolerance": "" if c.tolerance is None else c.tolerance,
                "verdict": c.verdict,
                "reason": c.reason,
            }
            for c in cells
        ]
    )


def _round(value: float) -> float | str:
    return "" if math.isnan(value) else round(float(value), 4)
