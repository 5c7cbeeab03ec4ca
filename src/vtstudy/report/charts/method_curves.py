"""The one picture: how much of the unpruned score each method keeps, against the image tokens that stay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report import formatting
from vtstudy.report.charts.style import GREY, GRID, INK, METHOD_STYLE, SOFT, Chart, method_style
from vtstudy.report.method_table import MethodRow, MethodTable, budget_name
from vtstudy.report.published import PrintedNumbers
from vtstudy.report.table_links import KEEP, KEY_MODEL

FRONT = ("fastv", "adaptprune", "random", "fitprune", "pyramiddrop", "visionzip")
"""These methods have colours of their own; the papers are about them. Others are grey lines with labels."""
DASHED = ("random",)
"""Those in front whose colour is the grey of the others."""
ROOM = 0.036
"""The least distance between two labels, as a share of the axis."""


LEADERS = 3
"""How many methods the alternative text names at each budget."""


def method_curves(table: MethodTable, printed: PrintedNumbers, name: str, title: str) -> Chart:
    """A line for each method, labelled at its end; the papers' printed points hollow.

    Args:
        table: the methods.
        printed: the paper's numbers.
        name: what readers call our model.
        title: what is to be seen.
    """
    return Chart(
        "methods",
        title,
        f"{name[0].upper()}{name[1:]}. {formatting.counted(len(table.benchmarks), 'benchmark')}, {table.questions:,} "
        "questions for each method and budget; bars are intervals.",
        f"{title}. {_in_words(table)}",
        partial(_draw_method_curves, table, printed),
    )


def _draw_method_curves(table: MethodTable, printed: PrintedNumbers) -> Figure:
    figure = Figure(figsize=(8.6, 4.7), layout="constrained")
    axis = figure.subplots()
    places = {budget: place for place, budget in enumerate(table.budgets)}
    for order, row in enumerate(table.rows):
        _line(axis, row, places, order)
    points = _printed_points(axis, table, printed, places)
    axis.axhline(100, color=INK, linewidth=0.8, linestyle=":")
    ticks = [f"{formatting.percent(budget)}" for budget in table.budgets]
    axis.set_xticks(range(len(table.budgets)), ticks)
    axis.set_xlim(-0.15, len(table.budgets) - 1 + 0.95)
    axis.set(xlabel="image tokens kept", ylabel="% of the unpruned score, mean of the benchmarks")
    axis.grid(axis="y", color=GRID, linewidth=0.7)
    _labels(axis, table, places)
    sns.despine(ax=axis)
    if points:
        hollow = Line2D([], [], color=SOFT, marker="o", markerfacecolor="white", linestyle="none", markersize=7)
        axis.legend([hollow], [f"printed in the paper, {KEY_MODEL}"], loc="lower left", frameon=False)
    return figure


def _line(axis: Axes, row: MethodRow, places: dict[float, int], order: int) -> None:
    front = row.method in FRONT
    colour, marker = method_style(row.method, order) if front else (GREY, METHOD_STYLE.get(row.method, ("", "."))[1])
    budgets = [budget for budget in places if budget in row.scores]
    x = [places[budget] for budget in budgets]
    scores = [row.scores[budget] for budget in budgets]
    if front:
        for place, score in zip(x, scores, strict=True):
            if score.has_interval:
                axis.plot([place, place], [score.low, score.high], color=colour, linewidth=1.1, zorder=2)
    axis.plot(
        x,
        [score.value for score in scores],
        color=colour,
        marker=marker,
        markersize=5 if front else 3.5,
        linewidth=1.7 if front else 0.9,
        linestyle="--" if row.method in DASHED else "-",
        alpha=1 if front else 0.75,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=4 if front else 3,
    )


def _printed_points(
    axis: Axes, table: MethodTable, printed: PrintedNumbers, places: dict[float, int]
) -> dict[str, float]:
    """Draw the papers' printed means at the ratio of its tables; returns them."""
    if KEEP not in places:
        return {}
    points = {}
    for order, row in enumerate(table.rows):
        value = printed.retention(KEY_MODEL, row.method)
        if math.isnan(value):
            value = printed.retention(KEY_MODEL, row.method, 5)
        if math.isnan(value):
            continue
        points[row.method] = value
        colour, marker = method_style(row.method, order)
        colour = colour if row.method in FRONT else GREY
        axis.plot(
            places[KEEP],
            value,
            marker,
            color=colour,
            markersize=7,
            markerfacecolor="white",
            markeredgewidth=1.3,
            zorder=5,
        )
    return points


def _labels(axis: Axes, table: MethodTable, places: dict[float, int]) -> None:
    """A method's name at the end of its line, moved apart from the others."""
    last = table.budgets[-1]
    ended = sorted((row for row in table.rows if last in row.scores), key=lambda row: row.scores[last].value)
    low, high = axis.get_ylim()
    room = ROOM * (high - low)
    heights = spread([row.scores[last].value for row in ended], room)
    for row, height in zip(ended, heights, strict=True):
        front = row.method in FRONT
        colour = method_style(row.method)[0] if front else GREY
        axis.annotate(
            row.label,
            (places[last], row.scores[last].value),
            (places[last] + 0.1, height),
            va="center",
            fontsize=8.5 if front else 7.5,
            fontweight="bold" if front else "normal",
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
        )


def spread(heights: Iterable[float], room: float) -> list[float]:
    """Rising heights, moved as little as needed to lie at least `room` apart; groups stay centred."""
    groups: list[tuple[float, int]] = []
    for height in heights:
        middle, count = height, 1
        while groups and middle - (count - 1) * room / 2 < groups[-1][0] + (groups[-1][1] - 1) * room / 2 + room:
            other, others = groups.pop()
            middle = (middle * count + other * others) / (count + others)
            count += others
        groups.append((middle, count))
    return [middle + room * (place - (count - 1) / 2) for middle, count in groups for place in range(count)]


def _in_words(table: MethodTable) -> str:
    """The best methods at each budget, for readers who do not see the picture; the table beside it has the others."""
    sentences = []
    for budget in table.budgets:
        ranked = table.ranked(budget)[:LEADERS]
        listed = [f"{row.label} {formatting.number(row.scores[budget].value)} %" for row in ranked]
        sentences.append(f"With {budget_name(budget)} of the tokens: {', '.join(listed)}.")
    return " ".join(sentences)
