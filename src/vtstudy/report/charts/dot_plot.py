"""Dot plots of differences with their intervals: one panel beside another, a row for each benchmark or budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report.charts.style import BLUE, INK, RED, SOFT, legend_below, row_axis
from vtstudy.report.results import HIGHER, LOWER, OPEN

SIGN_STYLE = {HIGHER: (BLUE, "o"), OPEN: ("#999999", "o"), LOWER: (RED, "s")}
SIGN_LABEL = {HIGHER: "interval above zero", OPEN: "interval includes zero", LOWER: "interval below zero"}
FLAT = 4
"""Panels have scales of their own if their largest values differ by more than this factor."""


@dataclass(frozen=True)
class Dot:
    """A difference in a row of a panel.

    Attributes:
        row: number of the row, from the top.
        value: where the dot is.
        low: lower end of its interval; NaN for none.
        high: upper end.
        sign: on which side of zero the interval lies.
    """

    row: int
    value: float
    low: float
    high: float
    sign: str


@dataclass(frozen=True)
class Panel:
    """A panel of a dot plot."""

    title: str
    dots: list[Dot]

    @property
    def limit(self) -> float:
        """How far the axis reaches on both sides of zero."""
        ends = [abs(end) for dot in self.dots for end in (dot.value, dot.low, dot.high) if not math.isnan(end)]
        return 1.08 * max(ends, default=1.0) or 1.0


def dot_plot(
    panels: Sequence[Panel],
    rows: list[str],
    *,
    size: tuple[float, float],
    columns: int,
    xlabel: str,
    ylabel: str = "",
    rule: bool = False,
) -> Figure:
    """Draw panels that share their rows, and their scale unless one panel would flatten another.

    Args:
        panels: one or more.
        rows: labels of the rows.
        size: of the figure in inches.
        columns: how many panels stand side by side.
        xlabel: label of the horizontal axes.
        ylabel: label of the vertical axis.
        rule: whether a line sets the last row apart.
    """
    figure = Figure(figsize=size, layout="constrained")
    lines = math.ceil(len(panels) / columns)
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
    alike = share_scale(panels)
    widest = max(panel.limit for panel in panels)
    for axis, panel in zip(axes.flat, panels, strict=False):
        row_axis(axis, rows, panel.title)
        axis.axvline(0, color=INK, linewidth=1)
        if rule:
            axis.axhline(len(rows) - 1.5, color=SOFT, linewidth=0.8)
        for dot in panel.dots:
            draw_dot(axis, dot)
        limit = widest if alike else panel.limit
        axis.set_xlim(-limit, limit)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel(xlabel)
    if ylabel:
        axes[0, 0].set_ylabel(ylabel)
    sign_legend(figure, (dot.sign for panel in panels for dot in panel.dots))
    return figure


def share_scale(panels: Sequence[Panel]) -> bool:
    """Whether all panels can have one scale without flattening one of them."""
    limits = [panel.limit for panel in panels]
    return max(limits) <= FLAT * min(limits)


def draw_dot(axis: Axes, dot: Dot) -> None:
    """Draw a dot with its interval; it is hollow where the interval includes zero."""
    colour, marker = SIGN_STYLE[dot.sign]
    if not math.isnan(dot.low):
        ends = [dot.low, dot.high]
        axis.plot(ends, [dot.row] * 2, color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2)
    axis.plot(
        dot.value,
        dot.row,
        marker,
        color=colour,
        markersize=5.5,
        zorder=3,
        markeredgewidth=1.2,
        markeredgecolor=colour,
        markerfacecolor=_fill(dot.sign),
    )


def sign_legend(figure: Figure, signs: Iterable[str]) -> None:
    """Explain the signs that a figure shows."""
    shown = set(signs)
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            linewidth=1.8,
            markersize=6,
            markerfacecolor=_fill(sign),
            label=SIGN_LABEL[sign],
        )
        for sign, (colour, marker) in SIGN_STYLE.items()
        if sign in shown
    ]
    legend_below(figure, handles, 3)


def _fill(sign: str) -> str:
    return "white" if sign == OPEN else SIGN_STYLE[sign][0]
