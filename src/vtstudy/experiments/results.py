"""Rows of results.csv: scores, paired differences, and the mean of percents, with intervals."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vtstudy.evaluation.bootstrap import bootstrap, estimate, interval, percent_of
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.scoring import Scores
from vtstudy.experiments.files import write
from vtstudy.experiments.spec import BASELINE, Experiment
from vtstudy.results_table import COLUMNS, DIFFERENCE, MEAN, PERCENT, to_csv

Row = dict[str, Any]
"""A row of results.csv by column."""


def rows_of(
    experiment: Experiment,
    model: str,
    keep: float,
    scores: Mapping[str, Mapping[str, Scores]],
    chance: Mapping[str, float],
    *,
    resamples: int,
    seed: int,
    level: float = 95.0,
) -> list[Row]:
    """The experiment's rows in a fixed order: benchmark by benchmark its methods, then its pairs.

    A score one of whose strata shows a single image has no interval (a limit may leave one pair of questions
    of a sub-task of MME), and neither have its differences and the mean that it is part of.

    Args:
        scores: by name of a variant, then by benchmark.
        chance: by benchmark.
        level: of the intervals, in percent.

    Raises:
        EvaluationError: if two cells did not answer the same questions.
    """
    names = list(experiment.variants)
    benchmarks = [*experiment.benchmarks, *(b for b in scores[BASELINE] if b not in experiment.benchmarks)]
    found: list[Row] = []

    def add(method: str, benchmark: str, metric: str, value: float, n: int | None, draws: np.ndarray | None) -> None:
        # A difference has the ratio of what is pruned in it.
        ratios = (
            {None}
            if method == "chance"
            else {experiment.variants[part].ratio(keep) for part in method.split(" - ")} - {1.0}
        )
        ratio = min(ratios - {None}, default=None) if ratios else 1.0
        found.append(row_of(experiment.name, model, method, ratio, benchmark, metric, value, n, draws, level))

    def compare(benchmark: str, metric: str, point: np.ndarray, draws: np.ndarray, n: int) -> None:
        for column, method in enumerate(names):
            add(method, benchmark, metric, float(point[column]), n, draws[:, column])
        if benchmark in chance:
            add("chance", benchmark, metric, chance[benchmark], n, None)
        for pair in experiment.pairs:
            a, b = (names.index(part) for part in pair.split(" - "))
            add(pair, benchmark, f"{DIFFERENCE}{metric}", float(point[a] - point[b]), n, draws[:, a] - draws[:, b])

    base = names.index(BASELINE)
    points, percents, asked = [], [], 0
    for benchmark in benchmarks:
        cells = [scores[name][benchmark] for name in names]
        first = cells[0]
        if any(cell.units != first.units or not np.array_equal(cell.strata, first.strata) for cell in cells):
            raise EvaluationError(f"{benchmark}: the cells did not answer the same questions, so they cannot be paired")
        values = np.stack([cell.values for cell in cells], axis=1)
        point = estimate(values, first.strata)
        draws = bootstrap(values, first.strata, first.images, resamples=resamples, seed=seed, name=benchmark)
        compare(benchmark, first.metric, point, draws, first.questions)
        if benchmark in experiment.benchmarks:
            points.append(percent_of(point, point[base]))
            percents.append(percent_of(draws, draws[:, [base]]))
            asked += first.questions
    # A mean over one benchmark says nothing new; and where the baseline is 0 there is no percent of it.
    if len(points) > 1 and np.isfinite(points).all():
        compare(MEAN, PERCENT, np.mean(points, axis=0), np.mean(percents, axis=0), asked)
    return found


def row_of(
    experiment: str,
    model: str,
    method: str,
    keep: float | None,
    benchmark: str,
    metric: str,
    value: float,
    n: int | None,
    draws: np.ndarray | None,
    level: float = 95.0,
) -> Row:
    """One row of results.csv; ``draws`` are the ``[resamples]`` values of its bootstrap, None for no interval."""
    low, high = (math.nan, math.nan) if draws is None else interval(draws, level)
    return dict(zip(COLUMNS, (experiment, model, method, keep, benchmark, metric, value, n, low, high), strict=True))


def write_results(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows of results.csv to a file; returns its path."""
    return write(path, to_csv(pd.DataFrame(list(rows), columns=list(COLUMNS))))
