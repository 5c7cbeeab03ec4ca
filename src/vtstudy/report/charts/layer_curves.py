"""Scores against the layer K before which tokens are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report import formatting
from vtstudy.report.charts.style import GRID, INK, SOFT, Chart, legend_below, method_style
from vtstudy.report.labels import method_label
from vtstudy.report.results import Measurement

if TYPE_CHECKING:
    from vtstudy.report.layers import SweptModel

STEP = 0.09
"""Methods are drawn side by side, so far apart, so that their intervals can be told apart."""


def layer_curves(model: SweptModel, others: Sequence[SweptModel], title: str, published: int, interval: float) -> Chart:
    """A panel for each keep ratio, with a line for each method; other seeds dashed.

    Args:
        model: the main model.
        others: other seeds of it.
        title: what is to be seen.
        published: the K of the papers, which is marked.
        interval: level of the intervals in percent.
    """
    dashed = f" Dashed: {formatting.listed([other.title for other in others])}." if others else ""
    return Chart(
        "layers",
        title,
        f"Solid: {model.title}. Bars: {interval:g} % intervals over the images.{dashed} K is the layer before which "
        f"tokens are dropped, by the attention of the layer before it; the papers’ is {published}.",
        f"{title}. {_in_words(model)}",
        partial(_draw, model, list(others), published),
    )


def _draw(model: SweptModel, others: Sequence[SweptModel], published: int) -> Figure:
    keeps = model.keeps
    figure = Figure(figsize=(8.6, 3.3), layout="constrained")
    panels = figure.subplots(1, len(keeps), squeeze=False, sharey=True)[0]
    for axis, keep in zip(panels, keeps, strict=True):
        axis.axhline(100, color=INK, linewidth=0.8, linestyle=":")
        axis.axvspan(published - 0.5, published + 0.5, color=GRID, alpha=0.45, linewidth=0, zorder=0)
        for place, method in enumerate(model.methods):
            shift = (place - (len(model.methods) - 1) / 2) * STEP
            for other in others:
                _line(axis, method, other, keep, shift, dashed=True)
            _line(axis, method, model, keep, shift, dashed=False)
        axis.set_title(f"{formatting.percent(keep)} of the tokens kept", loc="left")
        axis.set_xticks(model.layers)
        axis.set_xlabel("layer K")
        axis.grid(axis="y", color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
    panels[0].set_ylabel("% of the unpruned score, mean")
    handles = [_handle(method) for method in model.methods]
    handles += [Line2D([], [], color=SOFT, linestyle="--", linewidth=1, label="another seed")] if others else []
    legend_below(figure, handles, len(handles))
    return figure


def _line(axis: Axes, method: str, model: SweptModel, keep: float, shift: float, *, dashed: bool) -> None:
    colour, marker = method_style(method)
    points: dict[int, Measurement] = {
        layer: score for layer in model.layers if (score := model.score(method, layer, keep)) is not None
    }
    x = [layer + shift for layer in points]
    if not dashed:
        for place, score in zip(x, points.values(), strict=True):
            if score.has_interval:
                axis.plot([place, place], [score.low, score.high], color=colour, linewidth=1.1)
    axis.plot(
        x,
        [score.value for score in points.values()],
        color=colour,
        marker="" if dashed else marker,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        linewidth=1 if dashed else 1.5,
        linestyle="--" if dashed else "-",
        zorder=2 if dashed else 3,
    )


def _handle(method: str) -> Line2D:
    colour, marker = method_style(method)
    return Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.5, label=method_label(method))


def _in_words(model: SweptModel) -> str:
    """Each method's lowest and highest score over the layers, at each keep ratio."""
    sentences = []
    for keep in model.keeps:
        parts = []
        for method in model.methods:
            scores = {layer: score.value for layer in model.layers if (score := model.score(method, layer, keep))}
            if scores:
                low, high = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
                parts.append(
                    f"{method_label(method)} from {formatting.number(scores[low])} at K = {low} to "
                    f"{formatting.number(scores[high])} at K = {high}"
                )
        sentences.append(f"{formatting.percent(keep)} kept: {'; '.join(parts)}.")
    return " ".join(sentences)
