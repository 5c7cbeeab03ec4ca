"""Small drawings (sprites) and an 8x8-pixel alphabet for the miniature world, drawn with Pillow."""

from collections.abc import Callable, Iterable
from functools import cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from vtprune.errors import UserError

COLORS = {
    "red": (214, 40, 40),
    "green": (44, 150, 60),
    "blue": (40, 90, 220),
    "yellow": (245, 205, 40),
    "orange": (245, 130, 30),
    "purple": (135, 50, 160),
    "brown": (120, 75, 40),
    "pink": (250, 150, 190),
}
TEXTURES = ("plain", "striped", "dotted")
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "moon")
THINGS = ("fish", "bird", "tree", "flower", "house", "car", "cup", "key", "boat")
POSES = ("running", "jumping", "sitting", "waving")
PEOPLE = ("Ann", "Bob", "Cleo", "Dan")
MOODS = ("happy", "sad", "angry", "calm")
ARROWS = ("left", "right", "up", "down")
LANDMARKS = ("tower", "bridge", "pyramid", "temple")
STYLES = ("stripes", "dots", "checks", "waves")

_SCALE = 8  # a sprite is drawn this much larger, then averaged down
_INK = (20, 20, 20)
_HOLE = (0, 0, 0, 0)
_SKIN = (250, 215, 180)
_TRUNK = (80, 50, 25)
_POLLEN = (250, 250, 220)
_STALK = (30, 110, 40)
_PAPER = (250, 245, 230)

Color = tuple[int, ...]
Point = tuple[float, float]


class _Pen:
    """Draws filled shapes on a square canvas; coordinates and widths are percent of its side.

    Attributes:
        color: the fill of shapes that name no other.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, side: int, color: Color):
        self._draw, self._unit, self.color = draw, side / 100, color

    def polygon(self, *points: Point) -> None:
        self._draw.polygon(self._scaled(points), fill=self.color)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Color | None = None) -> None:
        self._draw.ellipse(self._scaled(((x0, y0), (x1, y1))), fill=fill or self.color)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color | None = None) -> None:
        self._draw.rectangle(self._scaled(((x0, y0), (x1, y1))), fill=fill or self.color)

    def line(self, *points: Point, width: float = 9, fill: Color | None = None) -> None:
        self._draw.line(self._scaled(points), fill=fill or self.color, width=int(width * self._unit), joint="curve")

    def arc(
        self, box: tuple[float, float, float, float], start: float, end: float, width: float, fill: Color | None = None
    ) -> None:
        """Part of the oval that fits into `box`, from angle `start` to `end` in degrees, clockwise from the right."""
        x0, y0, x1, y1 = box
        scaled = self._scaled(((x0, y0), (x1, y1)))
        self._draw.arc(scaled, start, end, fill=fill or self.color, width=int(width * self._unit))

    def _scaled(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self._unit, y * self._unit) for x, y in points]


def _circle(pen: _Pen) -> None:
    pen.oval(6, 6, 94, 94)


def _square(pen: _Pen) -> None:
    pen.box(10, 10, 90, 90)


def _triangle(pen: _Pen) -> None:
    pen.polygon((50, 6), (96, 92), (4, 92))


def _star(pen: _Pen) -> None:
    points = []
    for i in range(10):
        radius = 50 if i % 2 == 0 else 20
        angle = -pi / 2 + 2 * pi * i / 10
        points.append((50 + radius * cos(angle), 54 + radius * sin(angle)))
    pen.polygon(*points)


def _heart(pen: _Pen) -> None:
    pen.oval(4, 10, 54, 58)
    pen.oval(46, 10, 96, 58)
    pen.polygon((8, 44), (92, 44), (50, 96))


def _cross(pen: _Pen) -> None:
    pen.box(36, 5, 64, 95)
    pen.box(5, 36, 95, 64)


def _ring(pen: _Pen) -> None:
    pen.oval(4, 4, 96, 96)
    pen.oval(30, 30, 70, 70, fill=_HOLE)


def _moon(pen: _Pen) -> None:
    pen.oval(8, 4, 96, 96)
    pen.oval(38, 0, 116, 84, fill=_HOLE)


def _fish(pen: _Pen) -> None:
    pen.oval(4, 24, 74, 76)
    pen.polygon((62, 50), (98, 20), (98, 80))
    pen.oval(18, 38, 28, 48, fill=_INK)


def _bird(pen: _Pen) -> None:
    pen.oval(28, 36, 84, 78)
    pen.oval(10, 16, 46, 50)
    pen.polygon((2, 34), (16, 28), (16, 42))
    pen.polygon((76, 50), (99, 26), (94, 66))
    pen.line((46, 76), (46, 96), width=6)
    pen.line((62, 76), (62, 96), width=6)
    pen.oval(20, 26, 28, 34, fill=_INK)


def _tree(pen: _Pen) -> None:
    pen.polygon((50, 2), (92, 66), (8, 66))
    pen.box(40, 66, 60, 98, fill=_TRUNK)


def _flower(pen: _Pen) -> None:
    for i in range(5):
        x, y = 50 + 26 * sin(2 * pi * i / 5), 34 - 24 * cos(2 * pi * i / 5)
        pen.oval(x - 16, y - 15, x + 16, y + 15)
    pen.oval(38, 22, 62, 46, fill=_POLLEN)
    pen.line((50, 58), (50, 98), width=7, fill=_STALK)


def _house(pen: _Pen) -> None:
    pen.polygon((50, 4), (96, 46), (4, 46))
    pen.box(14, 46, 86, 96)
    pen.box(40, 62, 60, 96, fill=_INK)


def _car(pen: _Pen) -> None:
    pen.box(4, 44, 96, 72)
    pen.polygon((22, 46), (34, 20), (70, 20), (82, 46))
    pen.oval(14, 60, 38, 88, fill=_INK)
    pen.oval(62, 60, 86, 88, fill=_INK)


def _cup(pen: _Pen) -> None:
    pen.polygon((10, 14), (70, 14), (60, 92), (20, 92))
    pen.arc((56, 26, 96, 68), 250, 110, width=9)


def _key(pen: _Pen) -> None:
    pen.oval(2, 30, 44, 72)
    pen.oval(15, 43, 31, 59, fill=_HOLE)
    pen.box(42, 45, 98, 57)
    pen.box(76, 55, 84, 76)
    pen.box(90, 55, 98, 76)


def _boat(pen: _Pen) -> None:
    pen.polygon((4, 66), (96, 66), (78, 94), (22, 94))
    pen.polygon((48, 4), (48, 60), (88, 60))
    pen.line((44, 4), (44, 66), width=6)


def _running(pen: _Pen) -> None:
    pen.oval(36, 2, 64, 30)
    pen.line((50, 28), (46, 60))
    pen.line((46, 60), (18, 76), (6, 96))
    pen.line((46, 60), (76, 74), (70, 97))
    pen.line((20, 52), (49, 38), (84, 48))


def _jumping(pen: _Pen) -> None:
    pen.oval(36, 2, 64, 30)
    pen.line((50, 28), (50, 62))
    pen.line((50, 62), (16, 86))
    pen.line((50, 62), (84, 86))
    pen.line((12, 8), (50, 38), (88, 8))


def _sitting(pen: _Pen) -> None:
    pen.oval(36, 2, 64, 30)
    pen.line((50, 28), (50, 66))
    pen.line((50, 66), (88, 66), (88, 97))
    pen.line((50, 42), (80, 52))
    pen.box(30, 70, 62, 97)


def _waving(pen: _Pen) -> None:
    pen.oval(36, 2, 64, 30)
    pen.line((50, 28), (50, 64))
    pen.line((50, 64), (36, 97))
    pen.line((50, 64), (64, 97))
    pen.line((50, 40), (20, 58))
    pen.line((50, 40), (82, 34), (92, 4))


def _ann(pen: _Pen) -> None:
    """Long hair."""
    pen.box(4, 30, 96, 96)
    pen.oval(4, 2, 96, 70)
    pen.oval(16, 18, 84, 90, fill=_SKIN)


def _bob(pen: _Pen) -> None:
    """A cap."""
    pen.box(0, 24, 100, 34)
    pen.oval(12, 0, 88, 60)
    pen.oval(16, 18, 84, 90, fill=_SKIN)


def _cleo(pen: _Pen) -> None:
    """A crown."""
    pen.polygon((8, 40), (4, 0), (28, 18), (50, 0), (72, 18), (96, 0), (92, 40))
    pen.oval(16, 18, 84, 90, fill=_SKIN)


def _dan(pen: _Pen) -> None:
    """A beard."""
    pen.oval(8, 34, 92, 100)
    pen.oval(16, 18, 84, 78, fill=_SKIN)
    pen.polygon((16, 60), (84, 60), (70, 98), (30, 98))


def _happy(pen: _Pen) -> None:
    pen.arc((30, 44, 70, 80), 20, 160, width=8, fill=_INK)


def _sad(pen: _Pen) -> None:
    pen.arc((30, 64, 70, 100), 200, 340, width=8, fill=_INK)


def _angry(pen: _Pen) -> None:
    pen.line((24, 28), (44, 40), fill=_INK, width=8)
    pen.line((76, 28), (56, 40), fill=_INK, width=8)
    pen.line((34, 72), (66, 72), fill=_INK, width=8)


def _calm(pen: _Pen) -> None:
    pen.line((34, 72), (66, 72), fill=_INK, width=8)


_ARROW = ((98, 50), (56, 8), (56, 34), (2, 34), (2, 66), (56, 66), (56, 92))  # to the right


def _right(pen: _Pen) -> None:
    pen.polygon(*_ARROW)


def _left(pen: _Pen) -> None:
    pen.polygon(*((100 - x, y) for x, y in _ARROW))


def _down(pen: _Pen) -> None:
    pen.polygon(*((y, x) for x, y in _ARROW))


def _up(pen: _Pen) -> None:
    pen.polygon(*((y, 100 - x) for x, y in _ARROW))


def _tower(pen: _Pen) -> None:
    pen.polygon((44, 2), (56, 2), (64, 60), (92, 98), (70, 98), (50, 70), (30, 98), (8, 98), (36, 60))


def _bridge(pen: _Pen) -> None:
    pen.box(0, 58, 100, 70)
    pen.box(18, 20, 28, 98)
    pen.box(72, 20, 82, 98)
    pen.arc((20, -20, 80, 62), 0, 180, width=6)


def _pyramid(pen: _Pen) -> None:
    pen.polygon((50, 10), (100, 96), (0, 96))
    pen.line((50, 10), (64, 96), width=4, fill=_INK)
    pen.line((25, 54), (75, 54), width=4, fill=_INK)


def _temple(pen: _Pen) -> None:
    pen.polygon((50, 4), (98, 34), (2, 34))
    pen.box(4, 86, 96, 98)
    for x in (10, 34, 58, 82):
        pen.box(x, 38, x + 9, 86)


def _frame(pen: _Pen) -> None:
    pen.box(0, 0, 100, 100, fill=_INK)
    pen.box(7, 7, 93, 93, fill=_PAPER)


def _stripes(pen: _Pen) -> None:
    _frame(pen)
    for x in range(13, 90, 20):
        pen.box(x, 7, x + 9, 93)


def _dots(pen: _Pen) -> None:
    _frame(pen)
    for x in range(14, 90, 26):
        for y in range(14, 90, 26):
            pen.oval(x, y, x + 18, y + 18)


def _checks(pen: _Pen) -> None:
    _frame(pen)
    for i in range(4):
        for j in range(4):
            if (i + j) % 2 == 0:
                pen.box(8 + 21 * i, 8 + 21 * j, 28 + 21 * i, 28 + 21 * j)


def _waves(pen: _Pen) -> None:
    _frame(pen)
    for y in (22, 46, 70):
        pen.line(*((x, y + 8 * sin(x / 7)) for x in range(9, 93, 3)), width=8)


_MOOD_DRAWERS: dict[str, Callable[[_Pen], None]] = {"happy": _happy, "sad": _sad, "angry": _angry, "calm": _calm}
_DRAWERS: dict[str, Callable[[_Pen], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": _ring,
    "moon": _moon,
    "fish": _fish,
    "bird": _bird,
    "tree": _tree,
    "flower": _flower,
    "house": _house,
    "car": _car,
    "cup": _cup,
    "key": _key,
    "boat": _boat,
    "running": _running,
    "jumping": _jumping,
    "sitting": _sitting,
    "waving": _waving,
    "Ann": _ann,
    "Bob": _bob,
    "Cleo": _cleo,
    "Dan": _dan,
    "left": _left,
    "right": _right,
    "up": _up,
    "down": _down,
    "tower": _tower,
    "bridge": _bridge,
    "pyramid": _pyramid,
    "temple": _temple,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "waves": _waves,
}


def _draw(pen: _Pen, name: str, mood: str | None) -> None:
    if name not in _DRAWERS:
        raise UserError(f"There is no sprite named {name!r}; choose from {', '.join(_DRAWERS)}.")
    _DRAWERS[name](pen)
    if name in PEOPLE:
        pen.oval(30, 38, 42, 50, fill=_INK)
        pen.oval(58, 38, 70, 50, fill=_INK)
        _MOOD_DRAWERS[mood or "calm"](pen)


def _texture_mask(side: int, texture: str) -> Image.Image:
    """Where stripes or dots are painted white: a grey image of `side` pixels, 255 in these places."""
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    if texture == "striped":
        for y in range(0, side, 5 * _SCALE):
            draw.rectangle([0, y, side, y + 2 * _SCALE - 1], fill=255)
    else:
        for y in range(0, side, 4 * _SCALE):
            for x in range(0, side, 4 * _SCALE):
                draw.ellipse([x + _SCALE, y + _SCALE, x + 3 * _SCALE, y + 3 * _SCALE], fill=255)
    return mask


@cache
def sprite(name: str, side: int, color: str, texture: str = "plain", mood: str | None = None) -> np.ndarray:
    """The drawing of `name`, `side` pixels wide and high, as `[side, side, 4]` uint8 RGBA.

    Raises:
        UserError: for a name that has no drawing.
    """
    big = side * _SCALE
    image = Image.new("RGBA", (big, big), _HOLE)
    _draw(_Pen(ImageDraw.Draw(image), big, COLORS[color]), name, mood)
    if texture != "plain":
        white = Image.new("RGBA", (big, big), (255, 255, 255, 255))
        white.putalpha(Image.fromarray(np.minimum(np.asarray(image)[..., 3], np.asarray(_texture_mask(big, texture)))))
        image.alpha_composite(white)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


# Classic 5x7 dot-matrix letters: five columns each, lowest bit at the top.
_FONT = {
    "A": "7E1111117E",
    "B": "7F49494936",
    "C": "3E41414122",
    "D": "7F4141413E",
    "E": "7F49494941",
    "F": "7F09090901",
    "G": "3E41415173",
    "H": "7F0808087F",
    "I": "00417F4100",
    "J": "2040413F01",
    "K": "7F08142241",
    "L": "7F40404040",
    "M": "7F021C027F",
    "N": "7F0408107F",
    "O": "3E4141413E",
    "P": "7F09090906",
    "Q": "3E4151215E",
    "R": "7F09192946",
    "S": "2649494932",
    "T": "03017F0103",
    "U": "3F4040403F",
    "V": "1F2040201F",
    "W": "3F4038403F",
    "X": "6314081463",
    "Y": "0304780403",
    "Z": "6159494D43",
    "0": "3E5149453E",
    "1": "00427F4000",
    "2": "7249494946",
    "3": "2141494D33",
    "4": "1814127F10",
    "5": "2745454539",
    "6": "3C4A494931",
    "7": "4121110907",
    "8": "3649494936",
    "9": "464949291E",
    "+": "08083E0808",
    "=": "1414141414",
}
CHARACTERS = tuple(_FONT)


@cache
def glyph(character: str) -> np.ndarray:
    """The bitmap of one upper-case letter, digit, `+` or `=`, as `[8, 8]` bool."""
    bitmap = np.zeros((8, 8), dtype=bool)
    for x, column in enumerate(bytes.fromhex(_FONT[character])):
        for y in range(7):
            bitmap[y, x + 1] = bool(column >> y & 1)
    return bitmap
