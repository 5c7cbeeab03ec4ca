"""The report's charts: PNG for the pages, SVG beside them, byte-identical from run to run.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), told apart by colour-blind
readers; every series also has a marker of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from vtstudy.report import fmt
from vtstudy.report.differences import HIGHER, LOWER, OPEN, Comparison
from vtstudy.report.labels import benchmark_label, method_label, metric_label
from vtstudy.report.published import KEEP
from vtstudy.report.tables import Percent

INK, GRID = "#222222", "#dddddd"
FLAT = 4  # panels whose largest values differ by more than this have scales of their own
STYLE = {
    "fastv": ("#E69F00", "s"),
    "adaptprune": ("#0072B2", "o"),
    "adaptprune_as_written": ("#56B4E9", "D"),
    "random": ("#777777", "X"),
    "vtw": ("#CC79A7", "v"),
    "fitprune": ("#009E73", "^"),
    "skip": ("#D55E00", "P"),
    "random3x3": ("#777777", "d"),
    "maxpool3x3": ("#56B4E9", "h"),
    "avgpool3x3": ("#CC79A7", "<"),
    "last": ("#222222", "p"),
}
SPARE = [("#009E73", "^"), ("#D55E00", "P"), ("#CC79A7", "v"), ("#56B4E9", "D")]
SIGN_STYLE = {HIGHER: ("#0072B2", "o"), LOWER: ("#D55E00", "s"), OPEN: ("#999999", "o")}
SIGN_LABEL = {HIGHER: "interval above zero", LOWER: "interval below zero", OPEN: "interval includes zero"}


@dataclass(frozen=True)
class Figure:
    """A chart written to ``figures/<name>.png`` and ``.svg``."""

    name: str
    title: str
    caption: str
    alt: str


# Figures are drawn without pyplot: nothing is left behind in a notebook that makes a report.
styled = matplotlib.rc_context(
    {
        **sns.axes_style("white"),
        "svg.hashsalt": "vtprune",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 9,
        "legend.fontsize": 8.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": "#888888",
        "axes.linewidth": 0.8,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
    }
)


def save(figure, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Neither date nor version in the files: the same results give the same bytes.
    figure.savefig(folder / f"{name}.png", dpi=160, metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


@styled
def retention(percent: Percent, folder: Path, name: str, interval: float) -> Figure:
    """Percent of the unpruned score by benchmark: the paper's on the left, ours on the right."""
    benchmarks = list(dict.fromkeys(b for b, _ in percent.numbers))
    methods = len(percent.methods)
    figure = Canvas(figsize=(8.6, max(0.36, 0.1 * methods) * len(benchmarks) + 1.7), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    titles = (f"Paper, {percent.model}", f"Ours, {percent.ours}")
    for side, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        _row_axis(axis, [benchmark_label(b).split(",")[0] for b in benchmarks], title)
        axis.axvline(100, color=INK, linewidth=1)
        for k, method in enumerate(percent.methods):
            colour, marker = _style(method, k)
            shift = min(0.17, 0.8 / methods) * (k - (methods - 1) / 2)
            for y, benchmark in enumerate(benchmarks):
                paper, ours, low, high = percent.numbers[benchmark, method]
                x = ours if side else paper
                if math.isnan(x):
                    continue
                if side and not math.isnan(low):
                    axis.plot([low, high], [y + shift] * 2, color=colour, linewidth=1.4, zorder=2)
                axis.plot(
                    x,
                    y + shift,
                    marker,
                    color=colour,
                    markersize=5.5,
                    markeredgecolor="white",
                    markeredgewidth=0.6,
                    zorder=3,
                )
        axis.set_xlabel("percent of the unpruned score")
        if "mean" in benchmarks:
            axis.axhline(len(benchmarks) - 1.5, color="#888888", linewidth=0.8)
    handles = [
        Line2D(
            [], [], color=_style(m, k)[0], marker=_style(m, k)[1], linewidth=1.2, markersize=6, label=method_label(m)
        )
        for k, m in enumerate(percent.methods)
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1, label="Unpruned = 100 %"))
    lines = math.ceil(len(handles) / 5)
    figure.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / lines), frameon=False)
    save(figure, folder, name)
    where = f"Table {percent.table}, {percent.model} beside {percent.ours}" if percent.table else "all models"
    return Figure(
        name,
        f"How much of the unpruned score is left: {where}",
        f"Each model against its own unpruned score, at {100 * KEEP:g} % of the image "
        f"tokens. Bars: {interval:g} % intervals of ours; the paper prints none.",
        f"Dot plot of the percent of the unpruned score for {fmt.names([method_label(m) for m in percent.methods])}",
    )


@styled
def forest(
    found: list[Comparison], folder: Path, name: str, title: str, interval: float, scaled: bool = True
) -> Figure:
    """Paired differences with their intervals, one panel a pair; on one scale, unless one would flatten another."""
    benchmarks = list(dict.fromkeys(d.benchmark for c in found for d in _all(c)))
    benchmarks.sort(key=lambda b: b == "mean")
    columns = len(found) if len(found) <= 5 else math.ceil(len(found) / math.ceil(len(found) / 4))
    lines = math.ceil(len(found) / columns)
    names = max(len(benchmark_label(b)) for b in benchmarks) * 0.07
    width = max(5.0, min(9.4, 0.4 + names + 2.3 * columns))
    figure = Canvas(figsize=(width, lines * (0.3 * len(benchmarks) + 0.9) + 0.5), layout="constrained")
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
    limits = [
        1.08 * max((abs(v) for d in _all(c) for v in d.scaled if not math.isnan(v)), default=1) or 1 for c in found
    ]
    alike = max(limits) <= FLAT * min(limits)
    signs = set()
    for axis, comparison, limit in zip(axes.flat, found, limits, strict=False):
        a, b = comparison.names
        _row_axis(
            axis,
            [benchmark_label(b).split(",")[0] for b in benchmarks],
            f"{a}\n{fmt.MINUS} {b}{comparison.at and ','}{comparison.at}",
        )
        axis.axvline(0, color=INK, linewidth=1)
        if "mean" in benchmarks and len(benchmarks) > 1:
            axis.axhline(len(benchmarks) - 1.5, color="#888888", linewidth=0.8)
        for d in _all(comparison):
            colour, marker = SIGN_STYLE[d.sign]
            signs.add(d.sign)
            y, (value, low, high) = benchmarks.index(d.benchmark), d.scaled
            if not math.isnan(low):
                axis.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2)
            axis.plot(
                value,
                y,
                marker,
                color=colour,
                markersize=5.5,
                zorder=3,
                markeredgewidth=1.2,
                markeredgecolor=colour,
                markerfacecolor="white" if d.sign == OPEN else colour,
            )
        limit = max(limits) if alike else limit
        axis.set_xlim(-limit, limit)
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("difference,\n% of the unpruned score" if scaled else "difference, points")
    handles = [
        Line2D(
            [],
            [],
            color=SIGN_STYLE[s][0],
            marker=SIGN_STYLE[s][1],
            linewidth=1.8,
            markersize=6,
            markerfacecolor="white" if s == OPEN else SIGN_STYLE[s][0],
            label=SIGN_LABEL[s],
        )
        for s in (HIGHER, OPEN, LOWER)
        if s in signs
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    save(figure, folder, name)
    one = next(d for c in found for d in _all(c))
    units = (
        "Scaled by the unpruned score of each benchmark, so that benchmarks share an axis."
        if scaled
        else f"Scores are {metric_label(one.measure.metric, one.benchmark)}."
    )
    scales = " All panels have one scale." if alike else " Each panel has a scale of its own."
    return Figure(
        name,
        title,
        f"Paired over the same questions; bars are {interval:g} % intervals. {units}{scales * (len(found) > 1)}",
        f"Forest plot of {fmt.names([c.label for c in found])}",
    )


@styled
def ablation(percent: Percent, folder: Path, name: str, interval: float) -> Figure:
    """The four rows of the ablation, one panel a benchmark: the paper's dashed, ours solid."""
    benchmarks = [b for b in dict.fromkeys(b for b, _ in percent.numbers) if b != "mean"]
    columns = min(4, len(benchmarks))
    lines = math.ceil(len(benchmarks) / columns)
    figure = Canvas(figsize=(8.6, 1.9 * lines + 0.7), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, squeeze=False)
    steps = range(len(percent.methods))
    for axis, benchmark in zip(axes.flat, benchmarks, strict=False):
        paper, ours, low, high = zip(*(percent.numbers[benchmark, m] for m in percent.methods), strict=True)
        axis.plot(steps, paper, "s--", color="#E69F00", markersize=5, markerfacecolor="white", linewidth=1.4)
        axis.plot(steps, ours, "o-", color="#0072B2", markersize=5, linewidth=1.6)
        axis.fill_between(steps, low, high, color="#0072B2", alpha=0.15, linewidth=0)
        axis.set_title(benchmark_label(benchmark), loc="left")
        axis.set_xticks(list(steps), percent.methods)
        axis.grid(axis="y", color=GRID, linewidth=0.7)
        axis.margins(x=0.08)
        sns.despine(ax=axis)
    for axis in axes.flat[len(benchmarks) :]:
        axis.set_visible(False)
    figure.supylabel("percent of the unpruned score", fontsize=9)
    handles = [
        Line2D(
            [],
            [],
            color="#E69F00",
            marker="s",
            linestyle="--",
            markerfacecolor="white",
            label=f"Paper, {percent.model}",
        ),
        Line2D([], [], color="#0072B2", marker="o", label=f"Ours, {percent.ours}"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    save(figure, folder, name)
    return Figure(
        name,
        f"What each cue of the ablation adds: Table {percent.table}, {percent.model} beside {percent.ours}",
        f"{fmt.names([method_label(m) for m in percent.methods])}; each includes the ones before it. Band: "
        f"{interval:g} % interval of ours. Axes start at different values.",
        "Line charts of the ablation's four rows by benchmark",
    )


def _row_axis(axis, labels: list[str], title: str) -> None:
    axis.set_title(title, loc="left")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(axis="x", color=GRID, linewidth=0.7)
    axis.tick_params(axis="y", length=0)
    sns.despine(ax=axis, left=True)


def _all(comparison: Comparison):
    return (*comparison.items, *((comparison.mean,) if comparison.mean else ()))


def _style(method: str, index: int) -> tuple[str, str]:
    return STYLE.get(method) or SPARE[index % len(SPARE)]
