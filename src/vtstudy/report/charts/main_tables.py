"""Charts of the paper's tables: percent of the unpruned score, paired differences, the ablation."""

from __future__ import annotations

import math
from functools import partial

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report import formatting
from vtstudy.report.charts import messages
from vtstudy.report.charts.dot_plot import Dot, Panel, dot_plot, share_scale
from vtstudy.report.charts.style import (
    BLUE,
    GRID,
    INK,
    ORANGE,
    SOFT,
    Chart,
    legend_below,
    method_style,
    row_axis,
)
from vtstudy.report.differences import Comparison
from vtstudy.report.labels import benchmark_label, method_label, metric_label
from vtstudy.report.table_links import KEEP
from vtstudy.report.tables import PercentTable
from vtstudy.results_table import MEAN


def retention(percent: PercentTable, name: str, interval: float) -> Chart:
    """Percent of the unpruned score by benchmark: the paper's on the left, ours on the right."""
    where = "all models"
    if percent.table:
        where = f"Table {percent.table}, {percent.model} beside {percent.ours}"
    return Chart(
        name,
        f"How much of the unpruned score is left: {where}",
        f"Each model against its own unpruned score, at {100 * KEEP:g} % of the image tokens. "
        f"Bars: {interval:g} % intervals of ours; the paper prints none.",
        messages.of_percents(percent),
        partial(_draw_retention, percent),
    )


def _draw_retention(percent: PercentTable) -> Figure:
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in percent.numbers))
    height = max(0.36, 0.1 * len(percent.methods)) * len(benchmarks) + 1.7
    figure = Figure(figsize=(8.6, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, title in ((left, f"Paper, {percent.model}"), (right, f"Ours, {percent.ours}")):
        row_axis(axis, [_short_label(benchmark) for benchmark in benchmarks], title)
        axis.axvline(100, color=INK, linewidth=1)
        _draw_percents(axis, percent, benchmarks, ours=axis is right)
        axis.set_xlabel("percent of the unpruned score")
        if MEAN in benchmarks:
            axis.axhline(len(benchmarks) - 1.5, color=SOFT, linewidth=0.8)
    handles = []
    for place, method in enumerate(percent.methods):
        colour, marker = method_style(method, place)
        handles.append(
            Line2D([], [], color=colour, marker=marker, linewidth=1.2, markersize=6, label=method_label(method))
        )
    handles.append(Line2D([], [], color=INK, linewidth=1, label="Unpruned = 100 %"))
    lines = math.ceil(len(handles) / 5)
    legend_below(figure, handles, math.ceil(len(handles) / lines))
    return figure


def _draw_percents(axis: Axes, percent: PercentTable, benchmarks: list[str], *, ours: bool) -> None:
    methods = len(percent.methods)
    for place, method in enumerate(percent.methods):
        colour, marker = method_style(method, place)
        shift = min(0.17, 0.8 / methods) * (place - (methods - 1) / 2)
        for row, benchmark in enumerate(benchmarks):
            paper_value, our_value, low, high = percent.numbers[benchmark, method]
            value = our_value if ours else paper_value
            if math.isnan(value):
                continue
            if ours and not math.isnan(low):
                axis.plot([low, high], [row + shift] * 2, color=colour, linewidth=1.4, zorder=2)
            axis.plot(
                value,
                row + shift,
                marker,
                color=colour,
                markersize=5.5,
                markeredgecolor="white",
                markeredgewidth=0.6,
                zorder=3,
            )


def forest(compared: list[Comparison], name: str, title: str, interval: float, scaled: bool = True) -> Chart:
    """Paired differences with their intervals, one panel a pair.

    Args:
        compared: the pairs.
        name: of its files.
        title: for readers.
        interval: level of the intervals in percent.
        scaled: whether the differences are in percent of the unpruned score.
    """
    benchmarks = list(
        dict.fromkeys(difference.benchmark for comparison in compared for difference in comparison.differences)
    )
    benchmarks.sort(key=lambda benchmark: benchmark == MEAN)
    panels = [_panel(comparison, benchmarks) for comparison in compared]
    first = compared[0].differences[0]
    if scaled:
        units = "Scaled by the unpruned score of each benchmark, so that benchmarks share an axis."
    else:
        units = f"Scores are {metric_label(first.measurement.metric, first.benchmark)}."
    if len(panels) > 1:
        units += " All panels have one scale." if share_scale(panels) else " Each panel has a scale of its own."
    return Chart(
        name,
        title,
        f"Paired over the same questions; bars are {interval:g} % intervals. {units}",
        messages.of_comparisons(compared),
        partial(_draw_forest, panels, benchmarks, scaled),
    )


def _draw_forest(panels: list[Panel], benchmarks: list[str], scaled: bool) -> Figure:
    columns = len(panels)
    if columns > 5:
        columns = math.ceil(len(panels) / math.ceil(len(panels) / 4))
    lines = math.ceil(len(panels) / columns)
    names = 0.07 * max(len(benchmark_label(benchmark)) for benchmark in benchmarks)
    return dot_plot(
        panels,
        [_short_label(benchmark) for benchmark in benchmarks],
        size=(max(5.0, min(9.4, 0.4 + names + 2.3 * columns)), lines * (0.3 * len(benchmarks) + 0.9) + 0.5),
        columns=columns,
        xlabel="difference,\n% of the unpruned score" if scaled else "difference, points",
        rule=MEAN in benchmarks and len(benchmarks) > 1,
    )


def _panel(comparison: Comparison, benchmarks: list[str]) -> Panel:
    a, b = comparison.names
    at = f",{comparison.at}" if comparison.at else ""
    return Panel(
        f"{a}\n{formatting.MINUS} {b}{at}",
        [
            Dot(benchmarks.index(difference.benchmark), *difference.scaled, difference.sign)
            for difference in comparison.differences
        ],
    )


def ablation(percent: PercentTable, name: str, interval: float) -> Chart:
    """The four rows of the ablation, one panel a benchmark: the paper's dashed, ours solid."""
    methods = formatting.listed([method_label(method) for method in percent.methods])
    return Chart(
        name,
        f"What each cue of the ablation adds: Table {percent.table}, {percent.model} beside {percent.ours}",
        f"{methods}; each includes the ones before it. Band: {interval:g} % interval of ours. Axes start at different "
        "values.",
        messages.of_percents(percent),
        partial(_draw_ablation, percent),
    )


def _draw_ablation(percent: PercentTable) -> Figure:
    benchmarks = [benchmark for benchmark in dict.fromkeys(key[0] for key in percent.numbers) if benchmark != MEAN]
    columns = min(4, len(benchmarks))
    lines = math.ceil(len(benchmarks) / columns)
    figure = Figure(figsize=(8.6, 1.9 * lines + 0.7), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, squeeze=False)
    steps = range(len(percent.methods))
    for axis, benchmark in zip(axes.flat, benchmarks, strict=False):
        numbers = [percent.numbers[benchmark, method] for method in percent.methods]
        paper, ours, low, high = zip(*numbers, strict=True)
        axis.plot(steps, paper, "s--", color=ORANGE, markersize=5, markerfacecolor="white", linewidth=1.4)
        axis.plot(steps, ours, "o-", color=BLUE, markersize=5, linewidth=1.6)
        axis.fill_between(steps, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axis.set_title(benchmark_label(benchmark), loc="left")
        axis.set_xticks(list(steps), percent.methods)
        axis.grid(axis="y", color=GRID, linewidth=0.7)
        axis.margins(x=0.08)
        sns.despine(ax=axis)
    for axis in axes.flat[len(benchmarks) :]:
        axis.set_visible(False)
    figure.supylabel("percent of the unpruned score", fontsize=9)
    paper_label, our_label = f"Paper, {percent.model}", f"Ours, {percent.ours}"
    handles = [
        Line2D([], [], color=ORANGE, marker="s", linestyle="--", markerfacecolor="white", label=paper_label),
        Line2D([], [], color=BLUE, marker="o", label=our_label),
    ]
    legend_below(figure, handles, 2)
    return figure


def _short_label(benchmark: str) -> str:
    return benchmark_label(benchmark).split(",")[0]
