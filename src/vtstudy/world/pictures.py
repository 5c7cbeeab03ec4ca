"""Sampling pictures: one function per kind of picture, each drawing from a `random.Random`."""

from collections.abc import Callable
from random import Random

from vtstudy.world.scene import CHARTS, GRID, QUALITIES, SCENES, Chart, Picture, Text, Thing
from vtstudy.world.sprites import ARROWS, COLORS, LANDMARKS, MOODS, PEOPLE, POSES, SHAPES, STYLES, TEXTURES, THINGS

NAMES = SHAPES + THINGS
# As in photographs, some things are more frequent than others, and some come together:
# POPE's "popular" and "adversarial" questions need both.
POPULAR = ("circle", "square", "star", "tree", "house", "car")
PARTNERS = {
    "fish": "boat",
    "bird": "tree",
    "house": "car",
    "cup": "key",
    "moon": "star",
    "circle": "ring",
    "square": "triangle",
    "heart": "flower",
}
PARTNERS |= {b: a for a, b in PARTNERS.items()} | {"cross": "circle"}

_CONSONANTS, _VOWELS = "BDFGKLMNPRSTVZ", "AEIOU"
FIELDS = ("name", "date", "city", "total", "page", "rate")
FOREIGN = {
    "ROJO": "red",
    "VERDE": "green",
    "AZUL": "blue",
    "ORO": "yellow",
    "NARANJA": "orange",
    "MORADO": "purple",
    "PARDO": "brown",
    "ROSA": "pink",
}


def word(rng: Random) -> str:
    """A made-up word of three or four letters, such as BAK or BAKO."""
    letters = [rng.choice(_CONSONANTS), rng.choice(_VOWELS), rng.choice(_CONSONANTS)]
    if rng.random() < 0.5:
        letters.append(rng.choice(_VOWELS))
    return "".join(letters)


def number(rng: Random) -> str:
    return str(rng.randint(10, 99) if rng.random() < 0.6 else rng.randint(100, 999))


class _Board:
    """Keeps track of the cells that are taken."""

    def __init__(self):
        self.taken: set[tuple[int, int]] = set()

    def place(self, rng: Random, height: int, width: int, margin: int = 0) -> tuple[int, int] | None:
        for _ in range(60):
            row, column = rng.randint(0, GRID - height), rng.randint(0, GRID - width)
            wanted = {
                (r, c)
                for r in range(row - margin, row + height + margin)
                for c in range(column - margin, column + width + margin)
            }
            if not wanted & self.taken:
                self.taken |= {(r, c) for r in range(row, row + height) for c in range(column, column + width)}
                return row, column
        return None


def _shift(rng: Random) -> tuple[int, int]:
    return rng.randint(-1, 1), rng.randint(-1, 1)


def _things(rng: Random, board: _Board, names: list[str], repeat_colors: bool = True) -> tuple[Thing, ...]:
    """Places one thing a name; where there is no room left, fewer."""
    colors = rng.sample(list(COLORS), len(COLORS))
    out = []
    for i, name in enumerate(names):
        cells = 3 if rng.random() < 0.4 else 2
        spot = board.place(rng, cells, cells)
        if spot is None:
            continue
        color = rng.choice(colors) if repeat_colors and rng.random() < 0.3 else colors[i % len(colors)]
        out.append(Thing(name, color, *spot, cells, rng.choice(TEXTURES), None, _shift(rng)))
    return tuple(out)


def _names(rng: Random, count: int) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        kind = rng.random()
        if names and kind < 0.25:
            pick = PARTNERS[rng.choice(names)]
        elif kind < 0.5:
            pick = rng.choice(POPULAR)
        else:
            pick = rng.choice(NAMES)
        if pick not in names or rng.random() < 0.15:
            names.append(pick)
    return names


def _background(rng: Random) -> str:
    return rng.choice(list(SCENES))


def _clutter(rng: Random) -> int:
    return rng.choice((0, 0, 10, 60))


def scene(rng: Random) -> Picture:
    """One to six objects, now and then up to nine (information-dense) or one alone (nearly empty)."""
    count = 1 if rng.random() < 0.1 else rng.randint(7, 9) if rng.random() < 0.12 else rng.randint(2, 6)
    things = _things(rng, _Board(), _names(rng, count))
    return Picture("scene", _background(rng), things, clutter=_clutter(rng), seed=rng.getrandbits(30))


def sign(rng: Random) -> Picture:
    """One to four signs with a word or number each, and a few objects."""
    board, texts = _Board(), []
    panels = rng.sample(list(COLORS), rng.choice((1, 2, 2, 3, 4)))
    for panel in panels:
        string = word(rng) if rng.random() < 0.6 else number(rng)
        spot = board.place(rng, 1, len(string), margin=1)
        if spot:
            texts.append(Text(string, *spot, panel))
    things = _things(rng, board, _names(rng, rng.randint(0, 3)))
    return Picture("sign", _background(rng), things, tuple(texts), clutter=_clutter(rng), seed=rng.getrandbits(30))


def chart(rng: Random) -> Picture:
    kind = rng.choice(CHARTS)
    count = rng.randint(2, 4 if kind == "pie" else 5)
    values = rng.sample(range(2 if kind == "pie" else 1, 10), count)
    return Picture("chart", "board", chart=Chart(kind, tuple(rng.sample(list(COLORS), count)), tuple(values)))


def page(rng: Random) -> Picture:
    """A document page: one to six lines, each a field's name and its value."""
    fields = rng.sample(FIELDS, rng.choice((1, 2, 3, 4, 5, 6)))
    rows = sorted(rng.sample(range(GRID // 2), len(fields)))
    texts = []
    for row, field in zip(rows, fields, strict=True):
        value = word(rng) if rng.random() < 0.5 else number(rng)
        texts.append(Text(f"{field.upper()} {value}", 2 * row, rng.randint(0, GRID - len(field) - len(value) - 1)))
    return Picture("page", "page", texts=tuple(texts))


def snapshot(rng: Random) -> Picture:
    """One object, as a blind person might photograph it: often blurry, dark or noisy."""
    board = _Board()
    name, cells = rng.choice(NAMES), rng.choice((2, 3))
    thing = Thing(
        name, rng.choice(list(COLORS)), *board.place(rng, cells, cells), cells, rng.choice(TEXTURES), None, _shift(rng)
    )
    quality = "clear" if rng.random() < 0.4 else rng.choice(QUALITIES[1:])
    return Picture(
        "snapshot", _background(rng), (thing,), quality=quality, clutter=_clutter(rng), seed=rng.getrandbits(30)
    )


def _single(kind: str, names: tuple[str, ...], cells=(3,), moods: bool = False) -> Callable[[Random], Picture]:
    def sample(rng: Random) -> Picture:
        board, side = _Board(), rng.choice(cells)
        mood = rng.choice(MOODS) if moods else None
        thing = Thing(
            rng.choice(names), rng.choice(list(COLORS)), *board.place(rng, side, side), side, "plain", mood, _shift(rng)
        )
        extra = _things(rng, board, [rng.choice(NAMES)]) if rng.random() < 0.3 else ()
        return Picture(kind, _background(rng), (thing, *extra), clutter=_clutter(rng), seed=rng.getrandbits(30))

    sample.__name__ = kind
    return sample


portrait = _single("portrait", PEOPLE, moods=True)
action = _single("action", POSES, (2, 3))
arrow = _single("arrow", ARROWS, (2, 3))
landmark = _single("landmark", LANDMARKS, (3, 4))
artwork = _single("artwork", STYLES, (3, 4))


def poster(rng: Random) -> Picture:
    """A large object with a title of plain ink above or below it."""
    title = word(rng)
    at_top = rng.random() < 0.5
    cells = rng.choice((3, 4))
    thing = Thing(
        rng.choice(NAMES), rng.choice(list(COLORS)), rng.randint(3, 5), rng.randint(1, 7), cells, rng.choice(TEXTURES)
    )
    text = Text(title, rng.randint(0, 1) if at_top else rng.randint(10, 11), rng.randint(0, GRID - len(title)))
    return Picture("poster", rng.choice(("board", "page")), (thing,), (text,))


def _written(kind: str, string: Callable[[Random], str]) -> Callable[[Random], Picture]:
    def sample(rng: Random) -> Picture:
        line = string(rng)
        text = Text(line, rng.randint(0, GRID - 1), rng.randint(0, GRID - len(line)))
        return Picture(kind, rng.choice(("board", "page")), texts=(text,))

    sample.__name__ = kind
    return sample


def _digits(rng: Random) -> tuple[int, int]:
    a = rng.randint(1, 8)
    return a, rng.randint(1, 9 - a)


sum_ = _written("sum", lambda rng: "{}+{}=".format(*_digits(rng)))
code = _written("code", lambda rng: "X={}+{}".format(*_digits(rng)))
foreign = _written("foreign", lambda rng: rng.choice(list(FOREIGN)))


def couple(rng: Random) -> Picture:
    """Two people: whether colour, size and pose agree says how they are related."""
    relation = rng.choice(("twins", "family", "teammates", "strangers"))
    color, pose, cells = rng.choice(list(COLORS)), rng.choice(POSES), rng.choice((2, 3))
    other_color = rng.choice([c for c in COLORS if c != color])
    other_pose = rng.choice([p for p in POSES if p != pose])
    second = {
        "twins": (pose, color, cells),
        "family": (pose, color, 5 - cells),
        "teammates": (other_pose, color, cells),
        "strangers": (pose, other_color, cells),
    }[relation]
    return _pair(rng, "couple", (pose, color, cells), second)


def pair(rng: Random) -> Picture:
    """Two living things (or one and its surroundings)."""
    first = rng.choice(("bird", "fish"))
    second = rng.choice(("tree", "flower", "fish") if first == "bird" else ("fish", "bird"))
    colors = rng.sample(list(COLORS), 2)
    return _pair(rng, "pair", (first, colors[0], rng.choice((2, 3))), (second, colors[1], rng.choice((2, 3))))


def worker(rng: Random) -> Picture:
    """A person beside the thing that their work is about."""
    colors = rng.sample(list(COLORS), 2)
    tool = rng.choice(("car", "boat", "flower", "house", "cup", "key"))
    return _pair(
        rng, "worker", (rng.choice(POSES), colors[0], rng.choice((2, 3))), (tool, colors[1], rng.choice((2, 3)))
    )


def _pair(rng: Random, kind: str, *specs: tuple[str, str, int]) -> Picture:
    board = _Board()
    things = tuple(
        Thing(name, color, *board.place(rng, cells, cells, margin=1), cells, "plain", None, _shift(rng))
        for name, color, cells in specs
    )
    return Picture(kind, _background(rng), things, clutter=_clutter(rng), seed=rng.getrandbits(30))


KINDS: dict[str, Callable[[Random], Picture]] = {
    f.__name__.rstrip("_"): f
    for f in (
        scene,
        sign,
        chart,
        page,
        snapshot,
        portrait,
        action,
        arrow,
        landmark,
        artwork,
        poster,
        sum_,
        code,
        foreign,
        couple,
        pair,
        worker,
    )
}


def sample(rng: Random, kind: str, *, held_out: bool) -> Picture:
    """A picture of `kind` from the evaluation's side of the split, or from the training's."""
    while True:
        picture = KINDS[kind](rng)
        if picture.held_out == held_out:
            return picture
