"""The verdicts on E-AdaPrune's published numbers.

No source states the model, the host method or the budget of a number. What fits them all is LLaVA-1.5-7B with
PyramidDrop and its own schedule: MM-Vet's 33.5 and 31.9 are 107.7 and 102.6 percent of LLaVA-1.5-7B's 31.1, and the
other scores lie so near to the unpruned model's that much less than that schedule's 270 tokens (mean over the layers)
is not likely. So the numbers are compared with this set-up, which is our assumption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from vtstudy.benchmarks import BENCHMARKS
from vtstudy.report import formatting
from vtstudy.report.eadaprune.data import SPECTRAL, SpectralData
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.published import load_published
from vtstudy.report.results import Measurement, rounded, row_names
from vtstudy.report.table_links import KEY_MODEL
from vtstudy.report.tolerances import Tolerance
from vtstudy.report.verdicts.printed_values import (
    DIFFERS,
    NOT_RUN,
    REPRODUCED,
    judge_value,
    needs_checkpoint,
    why_not_run,
)
from vtstudy.results_table import MEAN

NOTED = "no measurement"
HOST = "pyramiddrop"
KEEP = 0.125
"""The fraction of the image tokens that PyramidDrop's own schedule, a half after each quarter of the layers, leaves."""
SHAPES = ("576x1024", "576x4096")
"""Tokens x width of LLaVA-1.5-7B's image features, before and after the projector."""
NO_GPU = "neither its machine nor its matrix is stated, and no GPU's times are recorded here"


@dataclass(frozen=True)
class PublishedNumber:
    """A published number with its verdict, or the reason why there is none.

    Attributes:
        row: the method, as published.
        column: what the number is.
        value: the published text.
        source: where it stands.
        quantity: how ours is computed: `score`, `percent` (of the unpruned score), `gain` (spectral minus fixed
            budgets, in those percentage points), `average_gain`, `latency`, or `setup` for what is no measurement.
        convention: the prompt, part or metric that the number is of.
        ours: our measurement, in the published unit; None without one. It has the names of the row of results.csv that
            it is made from.
        tolerance: how far ours may be from it; None where it is not judged.
        verdict: on the number.
        reason: why.
    """

    row: str
    column: str
    value: str
    source: str
    quantity: str
    convention: str
    ours: Measurement | None
    tolerance: float | None
    verdict: str
    reason: str

    @property
    def secondary(self) -> bool:
        """Whether somebody else reports the number."""
        return self.source.startswith("secondary")

    @property
    def number(self) -> float:
        """The published number without its unit; NaN where there is none."""
        try:
            return float(self.value.removesuffix("%").removesuffix("ms"))
        except ValueError:
            return math.nan

    @property
    def ours_text(self) -> str:
        """Our measurement with its interval, as text."""
        return self.ours.text() if self.ours else formatting.NONE

    def record(self) -> dict[str, object]:
        """A row of verdicts_eadaprune.csv; the columns `ours_...` name our row of results.csv."""
        ours = self.ours
        return {
            "row": self.row,
            "column": self.column,
            "value": self.value,
            "source": self.source,
            "convention": self.convention,
            "quantity": self.quantity,
            **row_names(ours, "ours_"),
            "ours": rounded(ours.value) if ours else "",
            "ci_low": rounded(ours.low) if ours else "",
            "ci_high": rounded(ours.high) if ours else "",
            "n": ours.n if ours and ours.n is not None else "",
            "difference": rounded(ours.value - self.number) if ours else "",
            "tolerance": "" if self.tolerance is None else self.tolerance,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def judge_published(inputs: Inputs, data: SpectralData) -> list[PublishedNumber]:
    """The verdict on every row of data/published/eadaprune.csv, in its order."""
    rows = load_published(inputs.folders.published / "eadaprune.csv").itertuples(index=False)
    return [_judge(inputs, data, row) for row in rows]


def _judge(inputs: Inputs, data: SpectralData, row: Any) -> PublishedNumber:
    number = PublishedNumber(
        row.row, row.column, row.value, row.source, row.quantity, row.convention, None, None, NOT_RUN, ""
    )
    if number.quantity == "setup":
        return replace(number, verdict=NOTED, reason="describes the method or its setup")
    if number.quantity == "latency":
        return _judge_latency(data, number)
    if not inputs.is_papers(KEY_MODEL):
        judge = "; its task asks a GPT judge" if row.benchmark in BENCHMARKS and BENCHMARKS[row.benchmark].judge else ""
        return replace(number, reason=f"{needs_checkpoint(inputs, KEY_MODEL)}; its budget is not stated{judge}")
    if not data.keeps:
        return replace(number, reason="spectral budgets were not compared with fixed ones in this run")
    if number.quantity == "average_gain":
        return _judge_average_gain(inputs, data, number)
    return _judge_score(inputs, data, number, row.benchmark, row.method)


def _judge_score(
    inputs: Inputs, data: SpectralData, number: PublishedNumber, benchmark: str, method: str
) -> PublishedNumber:
    """A score, or one in percent of the unpruned model's."""
    if HOST not in data.hosts:
        return replace(number, reason=f"{method_label(HOST)} was not run with both kinds of budget")
    keep = min(data.keeps, key=lambda ratio: abs(math.log(ratio / KEEP)))
    find = data.difference if number.quantity == "gain" else data.score
    ours, unpruned = find("eadaprune", method, benchmark, keep), data.score("eadaprune", "baseline", benchmark)
    if ours is None or unpruned is None:
        why = why_not_run(inputs, KEY_MODEL, None, benchmark)
        return replace(number, reason=f"{benchmark_label(benchmark)}: {why}")
    tolerance = inputs.tolerances.of(benchmark, ours.n)
    if number.quantity != "score":
        if not unpruned.value:
            return replace(number, reason="the unpruned score is 0, so that there is no percentage of it")
        factor = 100 / unpruned.value
        ours = replace(ours, value=factor * ours.value, low=factor * ours.low, high=factor * ours.high)
        tolerance = replace(tolerance, value=round(factor * tolerance.value, 4))
    verdict, reason = judge_value(number.number, ours, tolerance)
    reason += f"; {_setup(data, method, keep, benchmark)}"
    return replace(number, ours=ours, tolerance=tolerance.value, verdict=verdict, reason=reason)


def _setup(data: SpectralData, method: str, keep: float, benchmark: str) -> str:
    """Model, host and budget that a number is compared with, in words."""
    pruned = method.partition(" - ")[0]
    text = f"assumed: {KEY_MODEL}, {method_label(HOST)}; {100 * keep:.3g} % of the tokens left"
    if "matched" in data.tables and data.counted(pruned, keep, benchmark):
        left, by_layer = data.tokens(pruned, keep, benchmark)
        text += f", {left:.0f} on average, {by_layer:.0f} as the mean over the layers"
    if not math.isclose(keep, KEEP, rel_tol=0.02):
        text += f"; no budget nearer to its schedule’s {100 * KEEP:g} % was run"
    return text


def _judge_average_gain(inputs: Inputs, data: SpectralData, number: PublishedNumber) -> PublishedNumber:
    """The largest gain of spectral over fixed budgets, of all hosts and budgets."""
    gains = [(host, keep, data.gain(host, MEAN, keep)) for host in data.hosts for keep in data.keeps]
    measured = [(host, keep, gain) for host, keep, gain in gains if gain]
    if not measured:
        return replace(number, reason="no mean over benchmarks was measured")
    host, keep, gain = max(measured, key=lambda entry: entry[2].value)
    tolerance = inputs.tolerances.average_gain
    verdict, reason = judge_value(number.number, gain, Tolerance(tolerance))
    reason += (
        f"; the largest of {formatting.counted(len(measured), 'comparison')}: "
        f"{method_label(host + SPECTRAL)}, {100 * keep:.3g} % of the tokens left"
    )
    return replace(number, ours=gain, tolerance=tolerance, verdict=verdict, reason=reason)


def _judge_latency(data: SpectralData, number: PublishedNumber) -> PublishedNumber:
    """The longest recorded time of the randomised route on a GPU, for one image."""
    if "latency" not in data.tables:
        return replace(number, reason=NO_GPU)
    rows = data.tables["latency"]
    rows = rows[(rows["source"] == "recorded") & (rows["route"] == "randomised") & rows["shape"].isin(SHAPES)]
    if rows.empty:
        return replace(number, reason=NO_GPU)
    slowest = rows.loc[rows["median_ms"].idxmax()]
    ours = _latency(slowest)
    verdict = REPRODUCED if ours.value <= number.number else DIFFERS
    shape = str(slowest["shape"]).replace("x", " × ")
    reason = f"the slowest of {formatting.counted(len(rows), 'matrix shape')}: {shape} on {slowest['device']}"
    return replace(number, ours=ours, tolerance=0.0, verdict=verdict, reason=reason)


def _latency(row: pd.Series) -> Measurement:
    return Measurement(
        "latency.csv",
        "",
        str(row["route"]),
        math.nan,
        str(row["shape"]),
        "median_ms",
        float(row["median_ms"]),
        None,
        float(row["quartile_low_ms"]),
        float(row["quartile_high_ms"]),
    )
