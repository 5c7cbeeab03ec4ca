"""The style of the report's charts, and how they are written: as SVG, or as PNG where that is smaller.

The same results give the same bytes. Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which
colour-blind readers can tell apart; every series also has a marker of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

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
    "pyramiddrop": (RED, "d"),
    "visionzip": (PINK, "D"),
    "cdpruner": (ORANGE, "D"),
    "dart": (GREEN, "s"),
    "divprune": (RED, "p"),
    "fastervlm": (SKY, "v"),
    "holov": (SKY, ">"),
    "pooled": (INK, "X"),
    "prumergeplus": (RED, "<"),
    "scope": (BLUE, "*"),
    "sparsevlm": (ORANGE, "^"),
    "vispruner": (PINK, "h"),
}
"""Colour and marker of each method; no two methods share both."""
FONTS = b"'DejaVu Sans', Verdana, sans-serif"
"""Fonts of nearly the same widths, so that an SVG file's layout holds wherever it is opened."""
SHORT, FEW_PANELS = 30_000, 3
"""An SVG file of fewer bytes is not drawn as PNG, too; one of more panels is larger than PNG, and not drawn."""
DOTS, COLOURS = 150, 128
"""Dots an inch, and colours, of a PNG file."""
SPARE_STYLES = [(GREEN, "^"), (RED, "P"), (PINK, "v"), (SKY, "D")]

# Charts are drawn without pyplot: nothing is left open in a notebook that makes a report.
_STYLE = {
    **sns.axes_style("white"),
    "svg.hashsalt": "vtprune",
    "svg.fonttype": "none",
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


@dataclass
class Chart:
    """What a chart says in words, and how it is drawn.

    Attributes:
        name: of its file, without the ending.
        title: what it shows, or what is to be seen.
        caption: how to read it.
        alt: its message, for readers who do not see it.
        draw: makes the figure. It can be pickled: a function of a module, or a partial one.
        file: name of its file; "" until it is written.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    file: str = ""


@matplotlib.rc_context(_STYLE)
def write_chart(chart: Chart, folder: Path) -> str:
    """Draw a chart and write it to a folder that exists; returns the file's name.

    It is written as SVG, or as PNG where that is smaller. No date and no version gets in, so that the same results give
    the same bytes. An SVG file keeps its text as text.
    """
    figure = chart.draw()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # the layout is found once, not for each format
    pictures = any(axis.images for axis in figure.axes)
    svg = b"" if pictures or len(figure.axes) > FEW_PANELS else _svg(figure)
    png = b"" if 0 < len(svg) < SHORT else _png(figure)
    ending, drawn = ("png", png) if png and (not svg or len(png) < len(svg)) else ("svg", svg)
    file = f"{chart.name}.{ending}"
    (folder / file).write_bytes(drawn)
    return file


def _svg(figure: Figure) -> bytes:
    written = BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue().replace(b"'DejaVu Sans'", FONTS)


def _png(figure: Figure) -> bytes:
    """The figure in few colours, which looks the same and takes a third of the bytes."""
    written, reduced = BytesIO(), BytesIO()
    figure.savefig(written, format="png", dpi=DOTS, metadata={"Software": None})
    picture = Image.open(written).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


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
