"""What charts say, in words: the alternative texts for readers who do not see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vtstudy.report import formatting
from vtstudy.report.differences import Comparison
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.results import HIGHER, LOWER, Measurement, Results
from vtstudy.report.tables import PercentTable
from vtstudy.results_table import MEAN

_VERTICAL, _HORIZONTAL = ("top", "middle", "bottom"), ("left", "centre", "right")


def of_percents(percent: PercentTable) -> str:
    """The mean, or each model's, of every method: the paper's, then ours."""
    names = list(dict.fromkeys(name for name, _ in percent.numbers))
    parts = []
    for row in [MEAN] if MEAN in names else names:
        numbers = {method_label(method): percent.numbers[row, method] for method in percent.methods}
        paper = [
            f"{label} {formatting.number(values[0])}" for label, values in numbers.items() if values[0] == values[0]
        ]
        ours = [f"{label} {formatting.number(values[1])}" for label, values in numbers.items()]
        of_paper = percent.model if row == MEAN else row
        parts.append(f"{of_paper} in the paper: {', '.join(paper)}; {percent.ours}: {', '.join(ours)}")
    return f"Mean percent of the unpruned score. {'. '.join(parts)}."


def of_comparisons(compared: Sequence[Comparison]) -> str:
    """On how many benchmarks the interval of each pair lies on which side of zero."""
    parts = [
        f"{comparison.label} lies above zero on {formatting.how_many(comparison.count(HIGHER))} and below on "
        f"{formatting.how_many(comparison.count(LOWER))} of {len(comparison.items)}"
        for comparison in compared
    ]
    return f"{'; '.join(parts)}."


def of_gains(gains: Iterable[Measurement]) -> str:
    """On which side of zero gains lie, and from which to which they go."""
    found = list(gains)
    if not found:
        return "No gains were measured."
    values = [gain.value for gain in found]
    up, down = (formatting.how_many(sum(gain.side == side for gain in found)) for side in (HIGHER, LOWER))
    return (
        f"Of {formatting.counted(len(found), 'difference')}, {up} above zero and {down} below; they go from "
        f"{formatting.signed(min(values))} to {formatting.signed(max(values))}."
    )


def of_maps(maps: dict[tuple[str, int], np.ndarray], benchmarks: Sequence[str]) -> str:
    """In which part of the image the mean map of each benchmark is brightest."""
    parts = []
    for benchmark in benchmarks:
        mean = np.mean([grid for (name, _), grid in maps.items() if name == benchmark], axis=0)
        row, column = np.unravel_index(int(mean.argmax()), mean.shape)
        height, width = mean.shape
        place = f"{_VERTICAL[3 * int(row) // height]} {_HORIZONTAL[3 * int(column) // width]}"
        parts.append(
            f"{benchmark_label(benchmark)}: most attention, {formatting.number(float(mean.max()))} times an even "
            f"spread, falls on the {place}"
        )
    return f"{'; '.join(parts)}."


def of_series(results: Results, experiment: str, model: str, methods: Sequence[str], benchmark: str, unit: str) -> str:
    """The first and the last value of each method's line."""
    parts = []
    for method in methods:
        points = results.series(experiment, model, method, benchmark)
        if points:
            ends = [
                f"{formatting.number(point.value, 2 if point.value < 2 else 1)} at {formatting.percent(1 - point.keep)}"
                for point in (points[0], points[-1])
            ]
            parts.append(f"{method_label(method)} from {ends[0]} pruned to {ends[1]}")
    where = "mean" if benchmark == MEAN else benchmark_label(benchmark)
    return f"{where[0].upper()}{where[1:]}, {unit}: {'; '.join(parts)}." if parts else f"{where}: not measured."
