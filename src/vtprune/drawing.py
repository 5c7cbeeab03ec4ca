"""Draw which image tokens a method keeps: the image, with the dropped tokens faded to white."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

INK = "#222222"
FIXED = "#D55E00"
"""Colour of the frames of fixed positions."""
PANELS_A_LINE = 5
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "text.color": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
}


class Panel(NamedTuple):
    """One grid of image tokens in a picture.

    Attributes:
        title: of the panel.
        image: the image that the grid lies on.
        kept: `[height, width]` bool, the grid cells whose token is kept; None for the image alone.
    """

    title: str
    image: Image.Image
    kept: NDArray[np.bool_] | None


def draw_tokens(
    axis: Axes, image: Image.Image, kept: NDArray[np.bool_] | None = None, fixed: NDArray[np.bool_] | None = None
) -> None:
    """Draw an image whose dropped tokens are faded. Kept tokens are outlined, fixed ones get a heavy frame.

    Args:
        axis: to draw on.
        image: the image.
        kept: `[height, width]` bool over the grid of tokens; None for the image alone.
        fixed: `[height, width]` bool.
    """
    height, width = (1, 1) if kept is None else kept.shape
    axis.imshow(image, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    if kept is not None:
        veil = np.ones((height, width, 4))
        veil[..., 3] = np.where(kept, 0.0, 0.84)
        axis.imshow(veil, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
        axis.add_collection(_frames(kept, 0.0, edgecolor=INK, linewidth=0.4))
        if fixed is not None and (fixed & kept).any():
            axis.add_collection(_frames(fixed & kept, 0.08, edgecolor=FIXED, linewidth=1.5))
    axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axis.set_box_aspect(image.height / image.width)


def _frames(mask: NDArray[np.bool_], inset: float, **style: Any) -> PatchCollection:
    cells = np.argwhere(mask)
    side = 1 - 2 * inset
    return PatchCollection([Rectangle((c + inset, r + inset), side, side) for r, c in cells], facecolor="none", **style)


@matplotlib.rc_context(STYLE)  # type: ignore[arg-type]  # matplotlib types the keys as literals
def picture(image: Image.Image, panels: Sequence[Panel], path: Path) -> None:
    """Write a picture that shows an image and then, panel by panel, the tokens that were kept of it.

    Args:
        image: the image.
        panels: at least one.
        path: where to write; the ending names the format.
    """
    panels = [Panel("image", image, None), *panels]
    columns = min(PANELS_A_LINE, len(panels))
    lines = -(-len(panels) // columns)
    # A very wide or tall image keeps its shape in a panel that has room for a title and fits on a page.
    tallest = max(panel.image.height / panel.image.width for panel in panels)
    side = 3.1
    figure = Figure(figsize=(side * columns, lines * (side * min(max(tallest, 0.25), 2.0) + 0.4)), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis, panel in zip(axes, panels, strict=False):
        draw_tokens(axis, panel.image, panel.kept)
        axis.set_anchor("NW")
        axis.set_title(textwrap.fill(panel.title, 42), loc="left")
    for axis in axes[len(panels) :]:
        axis.remove()
    figure.savefig(path, dpi=160)
