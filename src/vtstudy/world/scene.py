"""The miniature world: what a picture holds, its pixels, and the dense labels of its patches.

A picture is 96 x 96 pixels, a grid of 12 x 12 cells of 8 pixels, which are also the vision
tower's patches. Everything in it is plain data; its fingerprint, which is the same for pictures
that show the same, decides on which side of the split it may be used.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from vtstudy.world.sprites import COLORS, TEXTURES, glyph, sprite

GRID = 12
CELL = 8
SIDE = GRID * CELL

SCENES = {  # name: (upper colour, lower colour), the horizon in the middle
    "park": ((185, 222, 250), (170, 215, 150)),
    "beach": ((160, 215, 245), (240, 225, 175)),
    "night": ((60, 65, 105), (85, 90, 110)),
    "room": ((235, 225, 215), (200, 180, 160)),
    "snow": ((205, 215, 230), (248, 250, 253)),
    "street": ((215, 220, 225), (160, 162, 168)),
}
SURFACES = {"page": ((252, 252, 248),) * 2, "board": ((225, 232, 240),) * 2}
BACKGROUNDS = SCENES | SURFACES
QUALITIES = ("clear", "blurry", "dark", "noisy")
CHARTS = ("bar", "line", "pie")

# The groups of dense labels: in each, a patch has one word or none.
GROUPS = ("name", "color", "size", "texture", "mood", "part", "quality", "row", "column")


@dataclass(frozen=True)
class Thing:
    """A sprite; `row` and `column` are the cell of its upper left corner, `cells` its side."""

    name: str
    color: str
    row: int
    column: int
    cells: int = 2
    texture: str = "plain"
    mood: str | None = None
    shift: tuple[int, int] = (0, 0)  # pixels, down and right

    @property
    def size(self) -> str:
        return "large" if self.cells > 2 else "small"

    @property
    def center(self) -> tuple[float, float]:
        return self.row + self.cells / 2, self.column + self.cells / 2


@dataclass(frozen=True)
class Text:
    """A line of characters, one a cell; on a coloured panel, or plain ink where `panel` is None."""

    string: str
    row: int
    column: int
    panel: str | None = None


@dataclass(frozen=True)
class Chart:
    """A chart with one coloured part a value (1 to 9)."""

    kind: str
    colors: tuple[str, ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    kind: str
    background: str
    things: tuple[Thing, ...] = ()
    texts: tuple[Text, ...] = ()
    chart: Chart | None = None
    quality: str = "clear"
    clutter: int = 0  # grey specks, which no question asks about
    seed: int = 0  # of the specks and the noise

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of what the picture shows.

        Two pictures with the same pixels have the same one: neither the kind that a picture was
        drawn as, nor the order of what is in it, nor a seed that draws nothing is part of it.
        It is taken of the description, not of the pixels, whose last bit may depend on a library's
        version: the split must not.
        """
        shown = replace(
            self,
            kind="",
            things=tuple(sorted(self.things, key=repr)),
            texts=tuple(sorted(self.texts, key=repr)),
            seed=self.seed if self.clutter or self.quality == "noisy" else 0,
        )
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]

    @property
    def held_out(self) -> bool:
        """Whether the picture belongs to evaluation (one in eight); training never sees those."""
        return int(self.fingerprint, 16) % 8 == 0

    def density(self) -> dict[str, int]:
        """How much the picture holds: counts of objects, characters, chart parts and specks."""
        return {
            "objects": len(self.things),
            "characters": sum(len(t.string) for t in self.texts),
            "chart_parts": len(self.chart.values) if self.chart else 0,
            "clutter": self.clutter,
        }


def _chart_cells(chart: Chart):
    """Yields `(row, column, colour, digit or None)` for the cells of bars and line points, top down."""
    step = 2 if len(chart.values) <= 5 else 1
    for i, (color, value) in enumerate(zip(chart.colors, chart.values, strict=True)):
        column, top = 1 + step * i, 11 - value
        yield top - 1, column, color, str(value)
        for row in range(top, 11 if chart.kind == "bar" else top + 1):
            yield row, column, color, None


def _pie(chart: Chart):
    """The pie's slice index for each pixel, -1 outside, and the cell of each slice's digit."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5 - SIDE / 2
    radius = np.hypot(y, x)
    turn = (np.arctan2(x, -y) / (2 * np.pi)) % 1.0
    edges = np.cumsum((0,) + chart.values) / sum(chart.values)
    which = np.searchsorted(edges, turn, side="right") - 1
    which = np.where(radius < 5.5 * CELL, np.clip(which, 0, len(chart.values) - 1), -1)
    cells = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        angle = 2 * np.pi * (a + b) / 2
        cells.append((int(GRID / 2 - 3.1 * np.cos(angle)), int(GRID / 2 + 3.1 * np.sin(angle))))
    return which, cells


def _cell(row: int, column: int) -> tuple[slice, slice]:
    return slice(row * CELL, (row + 1) * CELL), slice(column * CELL, (column + 1) * CELL)


def render(picture: Picture) -> np.ndarray:
    """The pixels, `[96, 96, 3]` uint8."""
    rng = np.random.default_rng(picture.seed)
    upper, lower = BACKGROUNDS[picture.background]
    canvas = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    canvas[: SIDE // 2], canvas[SIDE // 2 :] = upper, lower
    for _ in range(picture.clutter):
        y, x = rng.integers(0, SIDE - 2, 2)
        canvas[y : y + 2, x : x + 2] = rng.integers(90, 200)
    if picture.chart:
        _render_chart(picture.chart, canvas)
    for thing in picture.things:
        side = thing.cells * CELL
        rgba = sprite(thing.name, side, thing.color, thing.texture, thing.mood).astype(np.float32)
        y, x = thing.row * CELL + thing.shift[0], thing.column * CELL + thing.shift[1]
        y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + side, SIDE), min(x + side, SIDE)
        rgba = rgba[y0 - y : y1 - y, x0 - x : x1 - x]
        alpha = rgba[..., 3:] / 255
        canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - alpha) + rgba[..., :3] * alpha
    for text in picture.texts:
        for i, character in enumerate(text.string):
            if character == " ":
                continue
            patch = canvas[_cell(text.row, text.column + i)]
            if text.panel:
                patch[:] = COLORS[text.panel]
            ink = (20, 20, 20) if text.panel in (None, "yellow", "pink", "orange") else (255, 255, 255)
            patch[glyph(character)] = ink
    if picture.quality == "blurry":
        for _ in range(2):  # two box filters, 9 pixels wide
            padded = np.pad(canvas, ((4, 4), (4, 4), (0, 0)), mode="edge")
            sums = np.cumsum(np.pad(padded, ((1, 0), (0, 0), (0, 0))), axis=0)
            rows = (sums[9:] - sums[:-9]) / 9
            sums = np.cumsum(np.pad(rows, ((0, 0), (1, 0), (0, 0))), axis=1)
            canvas = (sums[:, 9:] - sums[:, :-9]) / 9
    elif picture.quality == "dark":
        canvas = canvas * 0.06
    elif picture.quality == "noisy":
        canvas = canvas + rng.normal(0, 28, canvas.shape)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _render_chart(chart: Chart, canvas: np.ndarray) -> None:
    if chart.kind == "pie":
        which, cells = _pie(chart)
        for i, color in enumerate(chart.colors):
            canvas[which == i] = COLORS[color]
        for (row, column), value in zip(cells, chart.values, strict=True):
            patch = canvas[_cell(row, column)]
            patch[:] = (255, 255, 255)
            patch[glyph(str(value))] = (20, 20, 20)
        return
    canvas[11 * CELL : 11 * CELL + 1, CELL:] = 60  # the axis
    points = []
    for row, column, color, digit in _chart_cells(chart):
        patch = canvas[_cell(row, column)]
        if digit:
            patch[glyph(digit)] = (20, 20, 20)
        elif chart.kind == "bar":
            patch[:, 1:7] = COLORS[color]
        else:
            points.append((row * CELL + 4, column * CELL + 4))
            patch[1:7, 1:7] = COLORS[color]
    for (y0, x0), (y1, x1) in zip(points, points[1:], strict=False):
        steps = max(abs(y1 - y0), abs(x1 - x0)) + 1
        for t in np.linspace(0, 1, steps):
            y, x = round(y0 + t * (y1 - y0)), round(x0 + t * (x1 - x0))
            if np.ptp(canvas[y, x]) < 30:  # never over a point
                canvas[y, x] = 120


def dense_labels(picture: Picture) -> dict[str, np.ndarray]:
    """What each patch shows: group -> `[12, 12]` array of words, ``""`` where the group says nothing."""
    out = {group: np.full((GRID, GRID), "", dtype=object) for group in GROUPS}
    out["name"][:] = picture.background
    out["quality"][:] = picture.quality
    for i in range(GRID):
        out["row"][i], out["column"][:, i] = f"row{i}", f"column{i}"
    if picture.chart and picture.chart.kind == "pie":
        which, cells = _pie(picture.chart)
        for row in range(GRID):
            for column in range(GRID):
                inside = which[_cell(row, column)]
                counts = np.bincount(inside[inside >= 0], minlength=1)
                if counts.sum() > CELL * CELL / 2:
                    out["name"][row, column] = "pie"
                    out["color"][row, column] = picture.chart.colors[int(counts.argmax())]
        for (row, column), color, value in zip(cells, picture.chart.colors, picture.chart.values, strict=True):
            out["name"][row, column], out["color"][row, column], out["part"][row, column] = str(value), color, "head"
    elif picture.chart:
        for row, column, color, digit in _chart_cells(picture.chart):
            out["name"][row, column] = digit or picture.chart.kind
            out["color"][row, column] = color
            out["part"][row, column] = "head" if digit else "rest"
    for thing in picture.things:
        where = (slice(thing.row, thing.row + thing.cells), slice(thing.column, thing.column + thing.cells))
        out["name"][where], out["color"][where] = thing.name, thing.color
        out["size"][where], out["texture"][where] = thing.size, thing.texture
        out["part"][where] = "rest"
        out["part"][thing.row, thing.column] = "head"
        if thing.mood:
            out["mood"][where] = thing.mood
    for text in picture.texts:
        start = True
        for i, character in enumerate(text.string):
            cell = (text.row, text.column + i)
            if character != " ":
                out["name"][cell] = character
                out["color"][cell] = text.panel or ""
                out["part"][cell] = "head" if start else "rest"
            start = character == " "
    if picture.quality in ("blurry", "dark"):  # nothing in it can be told
        for group in ("name", "color", "size", "texture", "mood", "part"):
            out[group][:] = ""
    return out


__all__ = ["BACKGROUNDS", "CELL", "CHARTS", "GRID", "GROUPS", "QUALITIES", "SCENES", "SIDE", "TEXTURES"]
__all__ += ["Chart", "Picture", "Text", "Thing", "dense_labels", "render"]
