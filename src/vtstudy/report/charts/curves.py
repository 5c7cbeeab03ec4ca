"""Figures 3 and 5: redundancy and scores against the share of pruned tokens."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report.charts import messages
from vtstudy.report.charts.style import GREEN, GRID, INK, METHOD_STYLE, Chart, legend_below
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.published import PrintedNumbers
from vtstudy.report.results import Measurement, Results
from vtstudy.report.table_links import KEEP, KEY_MODEL
from vtstudy.results_table import MEAN

METHODS = ("fastv", "adaptprune", "random")
ABLATION = 4
"""The table whose benchmarks are taken for those of Figure 5, which the paper does not name."""
REDUNDANCY = {
    "neighbour_similarity": "cosine similarity to the\nnearest kept token\n(image features)",
    "neighbour_key_similarity": "cosine similarity to the\nnearest kept token\n(keys)",
    "adjacency": "kept tokens next to\nanother kept one, %",
}


def ratio_curves(results: Results, printed: PrintedNumbers, model: str, name: str, interval: float) -> Chart:
    """Percent of the unpruned score at each pruned share, one panel a benchmark and one for the mean.

    Args:
        results: the measurements.
        printed: the paper's numbers, which are drawn hollow.
        model: ours, as results.csv has it.
        name: what readers call it.
        interval: level of the intervals in percent.
    """
    return Chart(
        "figure5",
        "Scores as more is pruned",
        f"Lines: {name}, with {interval:g} % intervals over the images. Hollow: the values of {KEY_MODEL} that the "
        "paper’s tables print; its figure prints none. Axes start at different values.",
        messages.of_series(results, "figure5", model, METHODS, MEAN, "% of the unpruned score"),
        partial(_draw_ratio_curves, results, printed, model),
    )


def _draw_ratio_curves(results: Results, printed: PrintedNumbers, model: str) -> Figure:
    benchmarks = [benchmark for benchmark in results.benchmarks("figure5", model) if benchmark != "mme_cognition"]
    figure, axes = _panels(len(benchmarks), 3, 2.05)
    for axis, benchmark in zip(axes.flat, benchmarks, strict=False):
        axis.axhline(100, color=GREEN, linewidth=1.6, linestyle="--")
        axis.set_title(benchmark_label(benchmark).split(",")[0], loc="left")
        unpruned = results.score("figure5", model, "baseline", benchmark)
        factor = 1.0 if benchmark == MEAN else 100 / unpruned.value if unpruned and unpruned.value else math.nan
        for method in METHODS:
            points = results.series("figure5", model, method, benchmark)
            _draw_line(axis, method, [point.scaled(factor) for point in points])
            _draw_printed(axis, method, printed, benchmark)
    _finish(axes, len(benchmarks), "image tokens pruned, %")
    figure.supylabel("% of the unpruned score", fontsize=9)
    more = [
        Line2D([], [], color=GREEN, linestyle="--", linewidth=1.6, label="Unpruned"),
        Line2D([], [], color=INK, marker="o", markerfacecolor="white", linestyle="none", label="printed in the paper"),
    ]
    legend_below(figure, [*_handles(), *more], 5)
    return figure


def _draw_printed(axis: Axes, method: str, printed: PrintedNumbers, benchmark: str) -> None:
    """The paper's printed percent of the unpruned score, where there is one."""
    value = printed.percent(KEY_MODEL, method, benchmark, ABLATION if benchmark == MEAN else None)
    if not math.isnan(value):
        colour, marker = METHOD_STYLE[method]
        axis.plot(100 * (1 - KEEP), value, marker, color=colour, markersize=6, markerfacecolor="white", zorder=5)


def redundancy(results: Results, model: str, name: str, interval: float) -> Chart:
    """One line of panels for each measure of redundancy, one column for each benchmark."""
    benchmarks = results.benchmarks("figure3", model)
    return Chart(
        name,
        "How redundant the kept tokens are",
        "Upper: similarity of each kept token to the kept token nearest to it, of the image features that enter "
        "the language model (no method selects by these) and of the keys (AdaptPrune's own yardstick). Lower: "
        f"kept tokens with another one among their eight neighbours. Bands: {interval:g} % intervals over images.",
        messages.of_series(
            results,
            "figure3",
            model,
            [f"{method} neighbour_similarity" for method in METHODS],
            benchmarks[0],
            "similarity to the nearest kept token",
        ),
        partial(_draw_redundancy, results, model, benchmarks),
    )


def _draw_redundancy(results: Results, model: str, benchmarks: list[str]) -> Figure:
    figure = Figure(figsize=(2.1 * len(benchmarks) + 0.9, 1.75 * len(REDUNDANCY) + 0.8), layout="constrained")
    axes = figure.subplots(len(REDUNDANCY), len(benchmarks), squeeze=False, sharey="row", sharex=True)
    for line, (metric, label) in zip(axes, REDUNDANCY.items(), strict=True):
        for axis, benchmark in zip(line, benchmarks, strict=True):
            for unpruned in results.series("figure3", model, f"none {metric}", benchmark):
                axis.axhline(unpruned.value, color=INK, linewidth=1, linestyle=":")
            for method in METHODS:
                _draw_line(axis, method, results.series("figure3", model, f"{method} {metric}", benchmark))
            if metric == next(iter(REDUNDANCY)):
                axis.set_title(benchmark_label(benchmark), loc="left")
        line[0].set_ylabel(label, fontsize=8)
    _finish(axes, axes.size, "image tokens pruned, %")
    everything = Line2D([], [], color=INK, linestyle=":", linewidth=1, label="All tokens")
    legend_below(figure, [*_handles(), everything], 4)
    return figure


def _draw_line(axis: Axes, method: str, points: list[Measurement]) -> None:
    colour, marker = METHOD_STYLE[method]
    x = [100 * (1 - point.keep) for point in points]
    axis.plot(
        x,
        [point.value for point in points],
        color=colour,
        marker=marker,
        markersize=4.5,
        linewidth=1.4,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )
    low, high = [point.low for point in points], [point.high for point in points]
    axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _handles() -> list[Line2D]:
    handles = []
    for method in METHODS:
        colour, marker = METHOD_STYLE[method]
        handles.append(
            Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.4, label=method_label(method))
        )
    return handles


def _panels(count: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
    lines = math.ceil(count / columns)
    figure = Figure(figsize=(8.6, height * lines + 0.8), layout="constrained")
    return figure, figure.subplots(lines, columns, squeeze=False, sharex=True)


def _finish(axes: np.ndarray, used: int, label: str) -> None:
    for number, axis in enumerate(axes.flat):
        axis.set_visible(number < used)
        axis.grid(axis="y", color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
        if number + axes.shape[1] >= used:  # nothing below it
            axis.set_xlabel(label)
            axis.tick_params(labelbottom=True)
