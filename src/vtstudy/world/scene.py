"""Pictures of the miniature world: their description, their pixels and the labels of their grid cells.

A picture is 96 x 96 pixels: a grid of 12 x 12 cells of 8 pixels. The cells are also the patches of LLaVA's
vision tower. A picture is described by plain data. The fingerprint of this description decides whether the
picture belongs to training or to evaluation.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vtstudy.world.sprites import COLORS, glyph, sprite

GRID = 12
CELL = 8
SIDE = GRID * CELL

SCENES = {  # name: (upper colour, lower colour); the horizon is in the middle
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
_DARK_INK, _WHITE = (20, 20, 20), (255, 255, 255)

# The groups of dense labels: in each group a cell has one word or none.
GROUPS = ("name", "color", "size", "texture", "mood", "part", "quality", "row", "column")


@dataclass(frozen=True)
class Thing:
    """A sprite: `row` and `column` are the cell of its upper left corner, `cells` is its side in cells."""

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
    """A line of characters, one in each cell: on a coloured panel, or in dark ink where `panel` is None."""

    string: str
    row: int
    column: int
    panel: str | None = None


@dataclass(frozen=True)
class Chart:
    """A chart with one coloured part for each value (1 to 9)."""

    kind: str
    colors: tuple[str, ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """The description of a picture.

    Attributes:
        kind: a key of `vtstudy.world.pictures.KINDS`.
        background: a key of `BACKGROUNDS`.
        quality: one of `QUALITIES`.
        clutter: number of grey specks, which no question asks about.
        seed: of the specks and of the noise.
    """

    kind: str
    background: str
    things: tuple[Thing, ...] = ()
    texts: tuple[Text, ...] = ()
    chart: Chart | None = None
    quality: str = "clear"
    clutter: int = 0
    seed: int = 0

    @property
    def fingerprint(self) -> str:
        """Digest of the picture's content, 16 hexadecimal digits.

        Pictures with equal pixels have equal fingerprints: the kind, the order of the things, and a seed
        that draws nothing do not count. The digest is computed from the description, because the last bit
        of a pixel may depend on a library's version, and the split must not.
        """
        content = replace(
            self,
            kind="",
            things=tuple(sorted(self.things, key=repr)),
            texts=tuple(sorted(self.texts, key=repr)),
            seed=self.seed if self.clutter or self.quality == "noisy" else 0,
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def held_out(self) -> bool:
        """Whether the picture belongs to evaluation (one in eight does); training never sees it then."""
        return int(self.fingerprint, 16) % 8 == 0

    def density(self) -> dict[str, int]:
        """How much the picture shows: numbers of objects, characters, chart parts and specks."""
        return {
            "objects": len(self.things),
            "characters": sum(len(t.string) for t in self.texts),
            "chart_parts": len(self.chart.values) if self.chart else 0,
            "clutter": self.clutter,
        }


def _chart_cells(chart: Chart) -> Iterator[tuple[int, int, str, str | None]]:
    """Yield `(row, column, colour, digit or None)` for the cells of bars and of line points, top down."""
    step = 2 if len(chart.values) <= 5 else 1
    for i, (color, value) in enumerate(zip(chart.colors, chart.values, strict=True)):
        column, top = 1 + step * i, 11 - value
        yield top - 1, column, color, str(value)
        for row in range(top, 11 if chart.kind == "bar" else top + 1):
            yield row, column, color, None


def _pie(chart: Chart) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """For each pixel the index of its slice, `[96, 96]` with -1 outside the pie; and the cell of each slice's digit."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5 - SIDE / 2
    radius = np.hypot(y, x)
    turn = (np.arctan2(x, -y) / (2 * np.pi)) % 1.0
    edges = np.cumsum((0, *chart.values)) / sum(chart.values)
    slices = np.searchsorted(edges, turn, side="right") - 1
    slices = np.where(radius < 5.5 * CELL, np.clip(slices, 0, len(chart.values) - 1), -1)
    digit_cells = []
    for start, end in pairwise(edges):
        angle = 2 * np.pi * (start + end) / 2
        digit_cells.append((int(GRID / 2 - 3.1 * np.cos(angle)), int(GRID / 2 + 3.1 * np.sin(angle))))
    return slices, digit_cells


def _cell(row: int, column: int) -> tuple[slice, slice]:
    """The pixels of a grid cell."""
    return slice(row * CELL, (row + 1) * CELL), slice(column * CELL, (column + 1) * CELL)


def render(picture: Picture) -> np.ndarray:
    """The picture's pixels, `[96, 96, 3]` uint8."""
    rng = np.random.default_rng(picture.seed)
    upper, lower = BACKGROUNDS[picture.background]
    canvas: np.ndarray = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    canvas[: SIDE // 2], canvas[SIDE // 2 :] = upper, lower
    for _ in range(picture.clutter):
        y, x = rng.integers(0, SIDE - 2, 2)
        canvas[y : y + 2, x : x + 2] = rng.integers(90, 200)
    if picture.chart and picture.chart.kind == "pie":
        _draw_pie(picture.chart, canvas)
    elif picture.chart:
        _draw_bars_or_line(picture.chart, canvas)
    for thing in picture.things:
        _draw_thing(thing, canvas)
    for text in picture.texts:
        _draw_text(text, canvas)
    if picture.quality == "blurry":
        canvas = _blurred(_blurred(canvas))
    elif picture.quality == "dark":
        canvas = canvas * 0.06
    elif picture.quality == "noisy":
        canvas = canvas + rng.normal(0, 28, canvas.shape)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _draw_thing(thing: Thing, canvas: np.ndarray) -> None:
    side = thing.cells * CELL
    rgba = sprite(thing.name, side, thing.color, thing.texture, thing.mood).astype(np.float32)
    y, x = thing.row * CELL + thing.shift[0], thing.column * CELL + thing.shift[1]
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + side, SIDE), min(x + side, SIDE)
    rgba = rgba[y0 - y : y1 - y, x0 - x : x1 - x]
    alpha = rgba[..., 3:] / 255
    canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - alpha) + rgba[..., :3] * alpha


def _draw_text(text: Text, canvas: np.ndarray) -> None:
    ink = _DARK_INK if text.panel in (None, "yellow", "pink", "orange") else _WHITE
    for i, character in enumerate(text.string):
        if character == " ":
            continue
        patch = canvas[_cell(text.row, text.column + i)]
        if text.panel:
            patch[:] = COLORS[text.panel]
        patch[glyph(character)] = ink


def _blurred(canvas: np.ndarray) -> np.ndarray:
    """A box filter, 9 pixels wide, over both axes."""
    padded = np.pad(canvas, ((4, 4), (4, 4), (0, 0)), mode="edge")
    sums = np.cumsum(np.pad(padded, ((1, 0), (0, 0), (0, 0))), axis=0)
    rows = (sums[9:] - sums[:-9]) / 9
    sums = np.cumsum(np.pad(rows, ((0, 0), (1, 0), (0, 0))), axis=1)
    return (sums[:, 9:] - sums[:, :-9]) / 9


def _draw_pie(chart: Chart, canvas: np.ndarray) -> None:
    slices, digit_cells = _pie(chart)
    for i, color in enumerate(chart.colors):
        canvas[slices == i] = COLORS[color]
    for (row, column), value in zip(digit_cells, chart.values, strict=True):
        patch = canvas[_cell(row, column)]
        patch[:] = _WHITE
        patch[glyph(str(value))] = _DARK_INK


def _draw_bars_or_line(chart: Chart, canvas: np.ndarray) -> None:
    canvas[11 * CELL : 11 * CELL + 1, CELL:] = 60  # the axis
    points = []
    for row, column, color, digit in _chart_cells(chart):
        patch = canvas[_cell(row, column)]
        if digit:
            patch[glyph(digit)] = _DARK_INK
        elif chart.kind == "bar":
            patch[:, 1:7] = COLORS[color]
        else:
            points.append((row * CELL + 4, column * CELL + 4))
            patch[1:7, 1:7] = COLORS[color]
    for (y0, x0), (y1, x1) in pairwise(points):
        steps = max(abs(y1 - y0), abs(x1 - x0)) + 1
        for t in np.linspace(0, 1, steps):
            y, x = round(y0 + t * (y1 - y0)), round(x0 + t * (x1 - x0))
            if np.ptp(canvas[y, x]) < 30:  # the line is never drawn over a point
                canvas[y, x] = 120


def dense_labels(picture: Picture) -> dict[str, np.ndarray]:
    """The words that describe each cell: by group, a `[12, 12]` array of words, `""` where a group has none.

    In a blurry or dark picture nothing can be recognised: its cells are labelled with their place and quality alone.
    """
    labels = {group: np.full((GRID, GRID), "", dtype=object) for group in GROUPS}
    labels["name"][:] = picture.background
    labels["quality"][:] = picture.quality
    for i in range(GRID):
        labels["row"][i], labels["column"][:, i] = f"row{i}", f"column{i}"
    if picture.chart and picture.chart.kind == "pie":
        _label_pie(picture.chart, labels)
    elif picture.chart:
        for row, column, color, digit in _chart_cells(picture.chart):
            labels["name"][row, column] = digit or picture.chart.kind
            labels["color"][row, column] = color
            labels["part"][row, column] = "head" if digit else "rest"
    for thing in picture.things:
        _label_thing(thing, labels)
    for text in picture.texts:
        _label_text(text, labels)
    if picture.quality in ("blurry", "dark"):  # nothing in it can be recognised
        for group in ("name", "color", "size", "texture", "mood", "part"):
            labels[group][:] = ""
    return labels


def _label_pie(chart: Chart, labels: dict[str, np.ndarray]) -> None:
    slices, digit_cells = _pie(chart)
    for row in range(GRID):
        for column in range(GRID):
            inside = slices[_cell(row, column)]
            counts = np.bincount(inside[inside >= 0], minlength=1)
            if counts.sum() > CELL * CELL / 2:
                labels["name"][row, column] = "pie"
                labels["color"][row, column] = chart.colors[int(counts.argmax())]
    for cell, color, value in zip(digit_cells, chart.colors, chart.values, strict=True):
        labels["name"][cell], labels["color"][cell], labels["part"][cell] = str(value), color, "head"


def _label_thing(thing: Thing, labels: dict[str, np.ndarray]) -> None:
    cells = (slice(thing.row, thing.row + thing.cells), slice(thing.column, thing.column + thing.cells))
    labels["name"][cells], labels["color"][cells] = thing.name, thing.color
    labels["size"][cells], labels["texture"][cells] = thing.size, thing.texture
    labels["part"][cells] = "rest"
    labels["part"][thing.row, thing.column] = "head"
    if thing.mood:
        labels["mood"][cells] = thing.mood


def _label_text(text: Text, labels: dict[str, np.ndarray]) -> None:
    starts_word = True
    for i, character in enumerate(text.string):
        cell = (text.row, text.column + i)
        if character != " ":
            labels["name"][cell] = character
            labels["color"][cell] = text.panel or ""
            labels["part"][cell] = "head" if starts_word else "rest"
        starts_word = character == " "
