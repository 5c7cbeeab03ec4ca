"""Figures 3 and 5: redundancy and scores against the share of pruned tokens."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report.charts.style import GREEN, GRID, INK, METHOD_STYLE, Chart, legend_below, save, styled
from vtstudy.report.labels import benchmark_label, method_label, panel_label
from vtstudy.report.results import Measurement, Results

METHODS = ("fastv", "adaptprune", "random")
REDUNDANCY = {
    "neighbour_similarity": "cosine similarity to the\nnearest kept token\n(image features)",
    "neighbour_key_similarity": "cosine similarity to the\nnearest kept token\n(keys)",
    "adjacency": "kept tokens next to\nanother kept one, %",
}


@styled
def ratio_curves(results: Results, model: str, folder: Path, name: str, interval: float) -> Chart:
    """Scores at each pruned share, one panel a benchmark and one for the mean; the unpruned line with its band."""
    benchmarks = [name for name in results.benchmarks("figure5", model) if name != "mme_cognition"]
    figure, axes = _panels(len(benchmarks), 3, 2.05)
    for axis, benchmark in zip(axes.flat, benchmarks, strict=False):
        unpruned = results.score("figure5", model, "baseline", benchmark)
        if unpruned:
            axis.axhline(unpruned.value, color=GREEN, linewidth=1.6, linestyle="--")
            axis.set_title(panel_label(benchmark, unpruned.metric), loc="left")
            if unpruned.has_interval:
                axis.axhspan(unpruned.low, unpruned.high, color=GREEN, alpha=0.10, linewidth=0)
        for method in METHODS:
            _draw_line(axis, method, results.series("figure5", model, method, benchmark))
    _finish(axes, len(benchmarks), "image tokens pruned, %")
    figure.supylabel("score, in each panel's unit", fontsize=9)
    unpruned_handle = Line2D([], [], color=GREEN, linestyle="--", linewidth=1.6, label="Unpruned")
    legend_below(figure, [*_handles(), unpruned_handle], 4)
    file = save(figure, folder, name)
    return Chart(
        name,
        "Scores at different pruning ratios",
        f"{model}; bands are {interval:g} % intervals over the images. Axes start at different values. The "
        "paper's figure prints no values to set beside these.",
        "Line charts of the score against the share of pruned tokens, by benchmark",
        file=file,
    )


@styled
def redundancy(results: Results, model: str, folder: Path, name: str, interval: float) -> Chart:
    """One line of panels for each measure of redundancy, one column for each benchmark."""
    benchmarks = results.benchmarks("figure3", model)
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
    file = save(figure, folder, name)
    return Chart(
        name,
        "How redundant the kept tokens are",
        "Upper: similarity of each kept token to the kept token nearest to it, of the image features that enter "
        "the language model (no method selects by these) and of the keys (AdaptPrune's own yardstick). Lower: "
        f"kept tokens with another one among their eight neighbours. Bands: {interval:g} % intervals over images.",
        "Line charts of the similarity and adjacency of kept tokens against the share of pruned tokens",
        file=file,
    )


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
