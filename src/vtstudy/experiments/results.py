"""Rows of results.csv: scores, paired differences, and the mean percentage of the unpruned scores, with intervals."""

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
    """The experiment's rows: for each benchmark its variants, then its pairs.

    A score has no interval if one of its strata shows a single image. (A limit may leave one pair of questions of a
    sub-task of MME.) Neither have the differences and the mean that contain such a score.

    Args:
        scores: by name of a variant, then by benchmark.
        chance: by benchmark.
        level: of the intervals, in percent.

    Raises:
        EvaluationError: if two variants did not answer the same questions.
    """
    names = list(experiment.variants)
    benchmarks = [*experiment.benchmarks, *(b for b in scores[BASELINE] if b not in experiment.benchmarks)]
    rows: list[Row] = []

    def add(method: str, benchmark: str, metric: str, value: float, n: int | None, draws: np.ndarray | None) -> None:
        ratio = None if method == "chance" else ratio_of(experiment, method, keep)
        rows.append(row_of(experiment.name, model, method, ratio, benchmark, metric, value, n, draws, level))

    def compare(benchmark: str, metric: str, point: np.ndarray, draws: np.ndarray, n: int) -> None:
        for column, method in enumerate(names):
            add(method, benchmark, metric, float(point[column]), n, draws[:, column])
        if benchmark in chance:
            add("chance", benchmark, metric, chance[benchmark], n, None)
        for pair in experiment.pairs:
            a, b = (names.index(part) for part in pair.split(" - "))
            add(pair, benchmark, f"{DIFFERENCE}{metric}", float(point[a] - point[b]), n, draws[:, a] - draws[:, b])

    base = names.index(BASELINE)
    points, percents, questions = [], [], 0
    for benchmark in benchmarks:
        by_variant = [scores[name][benchmark] for name in names]
        first = by_variant[0]
        if any(other.units != first.units or not np.array_equal(other.strata, first.strata) for other in by_variant):
            raise EvaluationError(
                f"{benchmark}: the variants did not answer the same questions, so their scores cannot be paired"
            )
        values = np.stack([one.values for one in by_variant], axis=1)
        point = estimate(values, first.strata)
        draws = bootstrap(values, first.strata, first.images, resamples=resamples, seed=seed, name=benchmark)
        compare(benchmark, first.metric, point, draws, first.questions)
        if benchmark in experiment.benchmarks:
            points.append(percent_of(point, point[base]))
            percents.append(percent_of(draws, draws[:, [base]]))
            questions += first.questions
    # A mean over one benchmark says nothing new, and there is no percentage of a baseline of 0.
    if len(points) > 1 and np.isfinite(points).all():
        compare(MEAN, PERCENT, np.mean(points, axis=0), np.mean(percents, axis=0), questions)
    return rows


def ratio_of(experiment: Experiment, method: str, keep: float) -> float | None:
    """The keep ratio of a variant or a difference "a - b": the ratio of the variants in it that are pruned.

    It is 1 if none is pruned, and None if the pruned ones take no ratio.
    """
    ratios = [experiment.variants[name].ratio(keep) for name in method.split(" - ")]
    pruned = [ratio for ratio in ratios if ratio != 1.0]
    if not pruned:
        return 1.0
    return min((ratio for ratio in pruned if ratio is not None), default=None)


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
