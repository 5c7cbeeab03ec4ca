"""Draw which image tokens a method keeps: the image, with the dropped tokens faded to white."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
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


def draw_tokens(
    axis: Axes, image: Image.Image, kept: np.ndarray | None = None, fixed: np.ndarray | None = None
) -> None:
    """Draw an image whose dropped tokens are faded; kept tokens are outlined, fixed ones get a heavy frame.

    Args:
        kept: ``[height, width]`` bool over the grid of tokens; None for the bare image.
        fixed: the same shape.
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


def _frames(mask: np.ndarray, inset: float, **style) -> PatchCollection:
    cells = np.argwhere(mask)
    side = 1 - 2 * inset
    return PatchCollection([Rectangle((c + inset, r + inset), side, side) for r, c in cells], facecolor="none", **style)


@matplotlib.rc_context(STYLE)
def picture(image: Image.Image, shown: Sequence[tuple[str, Image.Image, np.ndarray]], path: Path) -> None:
    """Write a picture that shows an image and then, panel by panel, the tokens that were kept of it.

    Args:
        shown: for each grid its title, the image it is laid on and its ``[height, width]`` bool mask.
        path: where to write; the ending says in which format.
    """
    columns = min(PANELS_A_LINE, 1 + len(shown))
    lines = -(-(1 + len(shown)) // columns)
    # A strip of an image keeps its shape in a panel that has room for a title and ends on a page.
    tallest = max(part.height / part.width for part in (image, *(part for _, part, _ in shown)))
    side = 3.1
    figure = Figure(figsize=(side * columns, lines * (side * min(max(tallest, 0.25), 2.0) + 0.4)), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis, (title, part, mask) in zip(axes, [("image", image, None), *shown], strict=False):
        draw_tokens(axis, part, mask)
        axis.set_anchor("NW")
        axis.set_title(textwrap.fill(title, 42), loc="left")
    for axis in axes[1 + len(shown) :]:
        axis.remove()
    figure.savefig(path, dpi=160)
