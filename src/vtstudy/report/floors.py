"""Between which limits a benchmark can tell methods apart: its floors, and the end of its scale."""

from __future__ import annotations

import math

from vtstudy.report.results import Measurement, Results
from vtstudy.report.table_links import MAIN_TABLES
from vtstudy.results_table import DIFFERENCE, MEAN

LEAST, MOST = 0.10, 0.97
"""A benchmark is neither at the floor nor saturated between these shares of its scale."""
_CIDER = "CIDEr"
_SCALES = {"mme": 2000.0, "mme_cognition": 800.0}


def scale_of(benchmark: str, metric: str) -> float | None:
    """The highest possible score; None for CIDEr, which has no end."""
    if _CIDER in metric:
        return None
    return 200.0 if benchmark.startswith("mme/") else _SCALES.get(benchmark, 100.0)


def floor_of(results: Results, experiment: str, model: str, benchmark: str) -> float:
    """What the model scores without looking: with a blank image, or by the best constant answer; -inf if unknown."""
    floors = [-math.inf]
    for method in ("blind", "chance"):
        for name in (experiment, *MAIN_TABLES):
            if found := results.score(name, model, method, benchmark):
                floors.append(found.value)
                break
    return max(floors)


def why_untestable(
    results: Results, experiment: str, model: str, pair: str, benchmark: str, keep: float, difference: Measurement
) -> str:
    """Why two methods cannot be compared on a benchmark, whatever they do; "" if they can.

    Only their levels decide, never their difference: they answer alike, both are at the end of the scale, or neither
    is clearly above what the model scores without looking.
    """
    if difference.low == difference.high == 0:
        return "both answer alike"
    if benchmark == MEAN:
        return ""
    unpruned = results.score(experiment, model, "baseline", benchmark) or results.score(
        "table1", model, "baseline", benchmark
    )
    if not unpruned or unpruned.metric != difference.metric.removeprefix(DIFFERENCE):
        return ""
    floor = floor_of(results, experiment, model, benchmark)
    if _low(unpruned) <= floor:
        return "the unpruned model is not clearly above the blank image or chance"
    scores = [results.score(experiment, model, name, benchmark, keep) for name in pair.split(" - ")]
    if not all(scores):
        return ""
    if all(_low(score) <= floor for score in scores):
        return "neither method is clearly above the blank image or chance"
    scale = scale_of(benchmark, unpruned.metric)
    if scale and all(score.value >= MOST * scale for score in scores):
        return "both methods are at the end of the scale"
    return ""


def _low(score: Measurement) -> float:
    return score.low if score.has_interval else score.value
