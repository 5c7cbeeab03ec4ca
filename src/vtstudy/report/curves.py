"""Figures 3 and 5: redundancy and scores against the share of pruned tokens."""

from __future__ import annotations

import math
from pathlib import Path

import seaborn as sns
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from vtstudy.report.figures import GRID, INK, STYLE, Figure, save, styled
from vtstudy.report.labels import benchmark_label, method_label, panel_label
from vtstudy.report.results import Measure, Results

METHODS = ("fastv", "adaptprune", "random")
REDUNDANCY = {
    "neighbour_similarity": "cosine similarity to the\nnearest kept token\n(image features)",
    "neighbour_key_similarity": "cosine similarity to the\nnearest kept token\n(keys)",
    "adjacency": "kept tokens next to\nanother kept one, %",
}


def series(
    results: Results, experiment: str, model: str, method: str, benchmark: str, metric: str | None = None
) -> list[Measure]:
    """The measurements at each kept fraction, most pruned last."""
    found = [
        m
        for m in results.measures
        if (m.experiment, m.model, m.method, m.benchmark) == (experiment, model, method, benchmark)
        and metric in (None, m.metric)
    ]
    return sorted(found, key=lambda m: -m.keep)


@styled
def ratio_curves(results: Results, model: str, folder: Path, name: str, interval: float) -> Figure:
    """Scores at each pruned share, one panel a benchmark and one for the mean; the unpruned line with its band."""
    benchmarks = [b for b in results.benchmarks("figure5", model) if b != "mme_cognition"]
    figure, axes = _panels(len(benchmarks), 3, 2.05)
    for axis, benchmark in zip(axes.flat, benchmarks, strict=False):
        whole = results.cell("figure5", model, "baseline", benchmark)
        axis.axhline(whole.value, color="#009E73", linewidth=1.6, linestyle="--")
        if whole.has_interval:
            axis.axhspan(whole.low, whole.high, color="#009E73", alpha=0.10, linewidth=0)
        for method in METHODS:
            _line(axis, method, series(results, "figure5", model, method, benchmark))
        axis.set_title(panel_label(benchmark, whole.metric), loc="left")
    _finish(axes, len(benchmarks), "image tokens pruned, %")
    figure.supylabel("score, in each panel's unit", fontsize=9)
    unpruned = Line2D([], [], color="#009E73", linestyle="--", linewidth=1.6, label="Unpruned")
    figure.legend(handles=[*_handles(), unpruned], loc="outside lower center", ncols=4, frameon=False)
    save(figure, folder, name)
    return Figure(
        name,
        "Scores at different pruning ratios",
        f"{model}; bands are {interval:g} % intervals over the images. Axes start at different values. The "
        "paper's figure prints no values to set beside these.",
        "Line charts of the score against the share of pruned tokens, by benchmark",
    )


@styled
def redundancy(results: Results, model: str, folder: Path, name: str, interval: float) -> Figure:
    """One line of panels for each measure of redundancy, one column for each benchmark."""
    benchmarks = results.benchmarks("figure3", model)
    figure = Canvas(figsize=(2.1 * len(benchmarks) + 0.9, 1.75 * len(REDUNDANCY) + 0.8), layout="constrained")
    axes = figure.subplots(len(REDUNDANCY), len(benchmarks), squeeze=False, sharey="row", sharex=True)
    for line, (metric, label) in zip(axes, REDUNDANCY.items(), strict=True):
        for axis, benchmark in zip(line, benchmarks, strict=True):
            for whole in series(results, "figure3", model, f"none {metric}", benchmark):
                axis.axhline(whole.value, color=INK, linewidth=1, linestyle=":")
            for method in METHODS:
                _line(axis, method, series(results, "figure3", model, f"{method} {metric}", benchmark))
            if metric == next(iter(REDUNDANCY)):
                axis.set_title(benchmark_label(benchmark), loc="left")
        line[0].set_ylabel(label, fontsize=8)
    _finish(axes, axes.size, "image tokens pruned, %")
    everything = Line2D([], [], color=INK, linestyle=":", linewidth=1, label="All tokens")
    figure.legend(handles=[*_handles(), everything], loc="outside lower center", ncols=4, frameon=False)
    save(figure, folder, name)
    return Figure(
        name,
        "How redundant the kept tokens are",
        "Upper: similarity of each kept token to the kept token nearest to it, of the image features that enter "
        "the language model (no method selects by these) and of the keys (AdaptPrune's own yardstick). Lower: "
        f"kept tokens with another one among their eight neighbours. Bands: {interval:g} % intervals over images.",
        "Line charts of the similarity and adjacency of kept tokens against the share of pruned tokens",
    )


def _line(axis, method: str, found: list[Measure]) -> None:
    colour, marker = STYLE[method]
    x = [100 * (1 - m.keep) for m in found]
    axis.plot(
        x,
        [m.value for m in found],
        color=colour,
        marker=marker,
        markersize=4.5,
        linewidth=1.4,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )
    axis.fill_between(x, [m.low for m in found], [m.high for m in found], color=colour, alpha=0.15, linewidth=0)


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=STYLE[m][0], marker=STYLE[m][1], markersize=5, linewidth=1.4, label=method_label(m))
        for m in METHODS
    ]


def _panels(count: int, columns: int, height: float):
    lines = math.ceil(count / columns)
    figure = Canvas(figsize=(8.6, height * lines + 0.8), layout="constrained")
    return figure, figure.subplots(lines, columns, squeeze=False, sharex=True)


def _finish(axes, used: int, label: str) -> None:
    for number, axis in enumerate(axes.flat):
        axis.set_visible(number < used)
        axis.grid(axis="y", color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
        if number + axes.shape[1] >= used:  # nothing below it
            axis.set_xlabel(label)
            axis.tick_params(labelbottom=True)
