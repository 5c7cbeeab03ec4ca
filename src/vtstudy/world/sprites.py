"""Small drawings (sprites) and an 8x8-pixel alphabet for the miniature world, drawn with Pillow."""

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

_SCALE = 8  # drawn this much larger, then averaged down
_INK = (20, 20, 20)


def _polygon(cx, cy, radius, points, inner=None, turn=-pi / 2):
    count = points * (2 if inner else 1)
    radii = [radius, inner] if inner else [radius]
    return [
        (
            cx + radii[i % len(radii)] * cos(turn + 2 * pi * i / count),
            cy + radii[i % len(radii)] * sin(turn + 2 * pi * i / count),
        )
        for i in range(count)
    ]


def _draw(draw: ImageDraw.ImageDraw, name: str, c: tuple[int, int, int], mood: str | None) -> None:
    """Draws `name` on a 100 x 100 canvas (coordinates are percent)."""

    def poly(*points):
        draw.polygon([(x * _U, y * _U) for x, y in points], fill=c)

    def oval(x0, y0, x1, y1, fill=c):
        draw.ellipse([x0 * _U, y0 * _U, x1 * _U, y1 * _U], fill=fill)

    def box(x0, y0, x1, y1, fill=c):
        draw.rectangle([x0 * _U, y0 * _U, x1 * _U, y1 * _U], fill=fill)

    def line(*points, width=9, fill=c):
        draw.line([(x * _U, y * _U) for x, y in points], fill=fill, width=int(width * _U), joint="curve")

    _U = draw.im.size[0] / 100
    if name == "circle":
        oval(6, 6, 94, 94)
    elif name == "square":
        box(10, 10, 90, 90)
    elif name == "triangle":
        poly((50, 6), (96, 92), (4, 92))
    elif name == "star":
        poly(*_polygon(50, 54, 50, 5, inner=20))
    elif name == "heart":
        oval(4, 10, 54, 58), oval(46, 10, 96, 58), poly((8, 44), (92, 44), (50, 96))
    elif name == "cross":
        box(36, 5, 64, 95), box(5, 36, 95, 64)
    elif name == "ring":
        oval(4, 4, 96, 96), oval(30, 30, 70, 70, fill=(0, 0, 0, 0))
    elif name == "moon":
        oval(8, 4, 96, 96), oval(38, 0, 116, 84, fill=(0, 0, 0, 0))
    elif name == "fish":
        oval(4, 24, 74, 76), poly((62, 50), (98, 20), (98, 80)), oval(18, 38, 28, 48, fill=_INK)
    elif name == "bird":
        (
            oval(28, 36, 84, 78),
            oval(10, 16, 46, 50),
            poly((2, 34), (16, 28), (16, 42)),
            poly((76, 50), (99, 26), (94, 66)),
        )
        line((46, 76), (46, 96), width=6), line((62, 76), (62, 96), width=6), oval(20, 26, 28, 34, fill=_INK)
    elif name == "tree":
        poly((50, 2), (92, 66), (8, 66)), box(40, 66, 60, 98, fill=(80, 50, 25))
    elif name == "flower":
        for i in range(5):
            x, y = 50 + 26 * sin(2 * pi * i / 5), 34 - 24 * cos(2 * pi * i / 5)
            oval(x - 16, y - 15, x + 16, y + 15)
        oval(38, 22, 62, 46, fill=(250, 250, 220)), line((50, 58), (50, 98), width=7, fill=(30, 110, 40))
    elif name == "house":
        poly((50, 4), (96, 46), (4, 46)), box(14, 46, 86, 96), box(40, 62, 60, 96, fill=_INK)
    elif name == "car":
        box(4, 44, 96, 72), poly((22, 46), (34, 20), (70, 20), (82, 46))
        oval(14, 60, 38, 88, fill=_INK), oval(62, 60, 86, 88, fill=_INK)
    elif name == "cup":
        (
            poly((10, 14), (70, 14), (60, 92), (20, 92)),
            draw.arc([56 * _U, 26 * _U, 96 * _U, 68 * _U], 250, 110, fill=c, width=int(9 * _U)),
        )
    elif name == "key":
        (
            oval(2, 30, 44, 72),
            oval(15, 43, 31, 59, fill=(0, 0, 0, 0)),
            box(42, 45, 98, 57),
            box(76, 55, 84, 76),
            box(90, 55, 98, 76),
        )
    elif name == "boat":
        poly((4, 66), (96, 66), (78, 94), (22, 94)), poly((48, 4), (48, 60), (88, 60)), line((44, 4), (44, 66), width=6)
    elif name in POSES:
        oval(36, 2, 64, 30)
        if name == "running":
            (
                line((50, 28), (46, 60)),
                line((46, 60), (18, 76), (6, 96)),
                line((46, 60), (76, 74), (70, 97)),
                line((20, 52), (49, 38), (84, 48)),
            )
        elif name == "jumping":
            (
                line((50, 28), (50, 62)),
                line((50, 62), (16, 86)),
                line((50, 62), (84, 86)),
                line((12, 8), (50, 38), (88, 8)),
            )
        elif name == "sitting":
            line((50, 28), (50, 66)), line((50, 66), (88, 66), (88, 97)), line((50, 42), (80, 52)), box(30, 70, 62, 97)
        else:
            (
                line((50, 28), (50, 64)),
                line((50, 64), (36, 97)),
                line((50, 64), (64, 97)),
                line((50, 40), (20, 58)),
                line((50, 40), (82, 34), (92, 4)),
            )
    elif name in PEOPLE:
        skin = (250, 215, 180)
        if name == "Ann":  # long hair
            box(4, 30, 96, 96), oval(4, 2, 96, 70)
        elif name == "Bob":  # a cap
            box(0, 24, 100, 34), oval(12, 0, 88, 60)
        elif name == "Cleo":  # a crown
            poly((8, 40), (4, 0), (28, 18), (50, 0), (72, 18), (96, 0), (92, 40))
        else:  # a beard
            oval(8, 34, 92, 100)
        oval(16, 18, 84, 90 if name != "Dan" else 78, fill=skin)
        if name == "Dan":
            poly((16, 60), (84, 60), (70, 98), (30, 98))
        oval(30, 38, 42, 50, fill=_INK), oval(58, 38, 70, 50, fill=_INK)
        if mood == "happy":
            draw.arc([30 * _U, 44 * _U, 70 * _U, 80 * _U], 20, 160, fill=_INK, width=int(8 * _U))
        elif mood == "sad":
            draw.arc([30 * _U, 64 * _U, 70 * _U, 100 * _U], 200, 340, fill=_INK, width=int(8 * _U))
        elif mood == "angry":
            (
                line((24, 28), (44, 40), fill=_INK, width=8),
                line((76, 28), (56, 40), fill=_INK, width=8),
                line((34, 72), (66, 72), fill=_INK, width=8),
            )
        else:
            line((34, 72), (66, 72), fill=_INK, width=8)
    elif name in ARROWS:
        points = {"right": [(98, 50), (56, 8), (56, 34), (2, 34), (2, 66), (56, 66), (56, 92)]}
        points["left"] = [(100 - x, y) for x, y in points["right"]]
        points["down"] = [(y, x) for x, y in points["right"]]
        points["up"] = [(y, 100 - x) for x, y in points["right"]]
        poly(*points[name])
    elif name == "tower":
        poly((44, 2), (56, 2), (64, 60), (92, 98), (70, 98), (50, 70), (30, 98), (8, 98), (36, 60))
    elif name == "bridge":
        (
            box(0, 58, 100, 70),
            box(18, 20, 28, 98),
            box(72, 20, 82, 98),
            draw.arc([20 * _U, -20 * _U, 80 * _U, 62 * _U], 0, 180, fill=c, width=int(6 * _U)),
        )
    elif name == "pyramid":
        (
            poly((50, 10), (100, 96), (0, 96)),
            line((50, 10), (64, 96), width=4, fill=_INK),
            line((25, 54), (75, 54), width=4, fill=_INK),
        )
    elif name == "temple":
        poly((50, 4), (98, 34), (2, 34)), box(4, 86, 96, 98)
        for x in (10, 34, 58, 82):
            box(x, 38, x + 9, 86)
    elif name in STYLES:
        box(0, 0, 100, 100, fill=_INK), box(7, 7, 93, 93, fill=(250, 245, 230))
        if name == "stripes":
            for x in range(13, 90, 20):
                box(x, 7, x + 9, 93)
        elif name == "dots":
            for x in range(14, 90, 26):
                for y in range(14, 90, 26):
                    oval(x, y, x + 18, y + 18)
        elif name == "checks":
            for i in range(4):
                for j in range(4):
                    if (i + j) % 2 == 0:
                        box(8 + 21 * i, 8 + 21 * j, 28 + 21 * i, 28 + 21 * j)
        else:
            for y in (22, 46, 70):
                line(*[(x, y + 8 * sin(x / 7)) for x in range(9, 93, 3)], width=8)
    else:
        raise UserError(f"there is no sprite named {name!r}")


@cache
def sprite(name: str, side: int, color: str, texture: str = "plain", mood: str | None = None) -> np.ndarray:
    """The drawing of `name` as `[side, side, 4]` uint8 RGBA."""
    big = side * _SCALE
    image = Image.new("RGBA", (big, big), (0, 0, 0, 0))
    _draw(ImageDraw.Draw(image), name, COLORS[color], mood)
    if texture != "plain":
        veil = Image.new("L", (big, big), 0)
        draw = ImageDraw.Draw(veil)
        if texture == "striped":
            for y in range(0, big, 5 * _SCALE):
                draw.rectangle([0, y, big, y + 2 * _SCALE - 1], fill=255)
        else:
            for y in range(0, big, 4 * _SCALE):
                for x in range(0, big, 4 * _SCALE):
                    draw.ellipse([x + _SCALE, y + _SCALE, x + 3 * _SCALE, y + 3 * _SCALE], fill=255)
        white = Image.new("RGBA", (big, big), (255, 255, 255, 255))
        white.putalpha(Image.fromarray(np.minimum(np.asarray(image)[..., 3], np.asarray(veil))))
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
    """An 8x8 boolean bitmap of one upper-case letter, digit, ``+`` or ``=``."""
    columns = bytes.fromhex(_FONT[character])
    out = np.zeros((8, 8), dtype=bool)
    for x, column in enumerate(columns):
        for y in range(7):
            out[y, x + 1] = bool(column >> y & 1)
    return out
