"""The style of the report's charts, and how they are written: PNG for the pages, SVG beside them.

The same results give the same bytes. Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which
colour-blind readers can tell apart; every series also has a marker of its own.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

INK, GRID, SOFT = "#222222", "#dddddd", "#888888"
GREEN, BLUE, SKY, ORANGE, RED, PINK, GREY = (
    "#009E73",
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#777777",
)
METHOD_STYLE = {
    "fastv": (ORANGE, "s"),
    "adaptprune": (BLUE, "o"),
    "adaptprune_as_written": (SKY, "D"),
    "random": (GREY, "X"),
    "vtw": (PINK, "v"),
    "fitprune": (GREEN, "^"),
    "skip": (RED, "P"),
    "random3x3": (GREY, "d"),
    "maxpool3x3": (SKY, "h"),
    "avgpool3x3": (PINK, "<"),
    "last": (INK, "p"),
    "pyramiddrop": (GREEN, "^"),
    "visionzip": (PINK, "D"),
}
"""Colour and marker of each method."""
SPARE_STYLES = [(GREEN, "^"), (RED, "P"), (PINK, "v"), (SKY, "D")]

# Charts are drawn without pyplot: nothing is left open in a notebook that makes a report.
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
        "axes.edgecolor": SOFT,
        "axes.linewidth": 0.8,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
    }
)
"""Decorates a function that draws a chart."""


@dataclass(frozen=True)
class Chart:
    """A chart that was written to `<name>.png` and `<name>.svg`.

    Attributes:
        name: of its files.
        title: for readers.
        caption: what it shows.
        alt: what it looks like, for readers who do not see it.
    """

    name: str
    title: str
    caption: str
    alt: str


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG, without date or version, so that the same results give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=160, metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


def method_style(method: str, index: int = 0) -> tuple[str, str]:
    """Colour and marker of a method; of an unknown one, by its place in the chart."""
    return METHOD_STYLE.get(method) or SPARE_STYLES[index % len(SPARE_STYLES)]


def tight_layout() -> ConstrainedLayoutEngine:
    """A layout with little room between panels that show images."""
    return ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)


def row_axis(axis: Axes, labels: list[str], title: str) -> None:
    """Set up a panel with a row for each label, the first at the top."""
    axis.set_title(title, loc="left")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(axis="x", color=GRID, linewidth=0.7)
    axis.tick_params(axis="y", length=0)
    sns.despine(ax=axis, left=True)


def legend_below(figure: Figure, handles: list[Line2D], columns: int) -> None:
    """Put a legend below all panels."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
