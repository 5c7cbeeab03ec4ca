"""Random pictures of the miniature world: one function for each kind of picture."""

from collections.abc import Callable
from random import Random

from vtstudy.world.scene import CHARTS, GRID, QUALITIES, SCENES, Chart, Picture, Text, Thing
from vtstudy.world.sprites import ARROWS, COLORS, LANDMARKS, MOODS, PEOPLE, POSES, SHAPES, STYLES, TEXTURES, THINGS

NAMES = SHAPES + THINGS
# As in photographs, some things are more frequent than others, and some appear together. POPE's "popular"
# and "adversarial" questions need both.
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
    """A number of two or three digits."""
    return str(rng.randint(10, 99) if rng.random() < 0.6 else rng.randint(100, 999))


class _Board:
    """The grid of a picture, with the cells that are taken."""

    def __init__(self) -> None:
        self.taken: set[tuple[int, int]] = set()

    def place(self, rng: Random, height: int, width: int, margin: int = 0) -> tuple[int, int] | None:
        """Take a free rectangle and return its upper left cell; None if 60 random places were not free.

        Args:
            margin: how many cells around the rectangle must be free too.
        """
        for _ in range(60):
            row, column = rng.randint(0, GRID - height), rng.randint(0, GRID - width)
            needed = {
                (r, c)
                for r in range(row - margin, row + height + margin)
                for c in range(column - margin, column + width + margin)
            }
            if not needed & self.taken:
                self.taken |= {(r, c) for r in range(row, row + height) for c in range(column, column + width)}
                return row, column
        return None


def _shift(rng: Random) -> tuple[int, int]:
    return rng.randint(-1, 1), rng.randint(-1, 1)


def _things(rng: Random, board: _Board, names: list[str], repeat_colors: bool = True) -> tuple[Thing, ...]:
    """Place one thing for each name; a name for which there is no room is left out."""
    colors = rng.sample(list(COLORS), len(COLORS))
    things = []
    for i, name in enumerate(names):
        cells = 3 if rng.random() < 0.4 else 2
        corner = board.place(rng, cells, cells)
        if corner is None:
            continue
        color = rng.choice(colors) if repeat_colors and rng.random() < 0.3 else colors[i % len(colors)]
        things.append(Thing(name, color, *corner, cells, rng.choice(TEXTURES), None, _shift(rng)))
    return tuple(things)


def _names(rng: Random, count: int) -> list[str]:
    """Names of things, popular ones and partners of earlier ones more often than others."""
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
    """Two to six objects; one in ten pictures has a single object, and nearly as many have seven to nine."""
    if rng.random() < 0.1:
        count = 1
    elif rng.random() < 0.12:
        count = rng.randint(7, 9)
    else:
        count = rng.randint(2, 6)
    things = _things(rng, _Board(), _names(rng, count))
    return Picture("scene", _background(rng), things, clutter=_clutter(rng), seed=rng.getrandbits(30))


def sign(rng: Random) -> Picture:
    """One to four signs with a word or a number each, and up to three objects."""
    board = _Board()
    texts: list[Text] = []
    panels = rng.sample(list(COLORS), rng.choice((1, 2, 2, 3, 4)))
    for panel in panels:
        string = word(rng) if rng.random() < 0.6 else number(rng)
        corner = board.place(rng, 1, len(string), margin=1)
        if corner:
            texts.append(Text(string, *corner, panel))
    things = _things(rng, board, _names(rng, rng.randint(0, 3)))
    return Picture("sign", _background(rng), things, tuple(texts), clutter=_clutter(rng), seed=rng.getrandbits(30))


def chart(rng: Random) -> Picture:
    """A bar, line or pie chart of two to five values."""
    kind = rng.choice(CHARTS)
    count = rng.randint(2, 4 if kind == "pie" else 5)
    values = rng.sample(range(2 if kind == "pie" else 1, 10), count)
    return Picture("chart", "board", chart=Chart(kind, tuple(rng.sample(list(COLORS), count)), tuple(values)))


def page(rng: Random) -> Picture:
    """A page of a document: one to six lines, each with a field's name and its value."""
    fields = rng.sample(FIELDS, rng.choice((1, 2, 3, 4, 5, 6)))
    rows = sorted(rng.sample(range(GRID // 2), len(fields)))
    texts = []
    for row, field in zip(rows, fields, strict=True):
        value = word(rng) if rng.random() < 0.5 else number(rng)
        texts.append(Text(f"{field.upper()} {value}", 2 * row, rng.randint(0, GRID - len(field) - len(value) - 1)))
    return Picture("page", "page", texts=tuple(texts))


def snapshot(rng: Random) -> Picture:
    """One object, as a blind person might photograph it: often blurry, dark or noisy."""
    name, cells = rng.choice(NAMES), rng.choice((2, 3))
    color = rng.choice(list(COLORS))
    row, column = _free_corner(rng, _Board(), cells)
    thing = Thing(name, color, row, column, cells, rng.choice(TEXTURES), None, _shift(rng))
    quality = "clear" if rng.random() < 0.4 else rng.choice(QUALITIES[1:])
    return Picture(
        "snapshot", _background(rng), (thing,), quality=quality, clutter=_clutter(rng), seed=rng.getrandbits(30)
    )


def _free_corner(rng: Random, board: _Board, cells: int, margin: int = 0) -> tuple[int, int]:
    """A corner for a square on a board that surely has room for it."""
    corner = board.place(rng, cells, cells, margin)
    assert corner is not None
    return corner


def _one_thing(
    kind: str, names: tuple[str, ...], cells: tuple[int, ...] = (3,), moods: bool = False
) -> Callable[[Random], Picture]:
    """A kind of picture with one plain thing of these names and, in three of ten, a second one of any name."""

    def draw(rng: Random) -> Picture:
        board, side = _Board(), rng.choice(cells)
        mood = rng.choice(MOODS) if moods else None
        name, color = rng.choice(names), rng.choice(list(COLORS))
        row, column = _free_corner(rng, board, side)
        thing = Thing(name, color, row, column, side, "plain", mood, _shift(rng))
        extra = _things(rng, board, [rng.choice(NAMES)]) if rng.random() < 0.3 else ()
        return Picture(kind, _background(rng), (thing, *extra), clutter=_clutter(rng), seed=rng.getrandbits(30))

    return draw


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


def _one_line(kind: str, line: str, rng: Random) -> Picture:
    text = Text(line, rng.randint(0, GRID - 1), rng.randint(0, GRID - len(line)))
    return Picture(kind, rng.choice(("board", "page")), texts=(text,))


def _summands(rng: Random) -> tuple[int, int]:
    """Two digits whose sum is at most 9."""
    first = rng.randint(1, 8)
    return first, rng.randint(1, 9 - first)


def written_sum(rng: Random) -> Picture:
    """A sum to calculate, such as `3+4=`."""
    first, second = _summands(rng)
    return _one_line("sum", f"{first}+{second}=", rng)


def code(rng: Random) -> Picture:
    """A line of a program, such as `X=3+4`."""
    first, second = _summands(rng)
    return _one_line("code", f"X={first}+{second}", rng)


def foreign(rng: Random) -> Picture:
    """The name of a colour in another language."""
    return _one_line("foreign", rng.choice(list(FOREIGN)), rng)


def couple(rng: Random) -> Picture:
    """Two people, who are related by their colours, sizes and poses (`vtstudy.world.questions.relation_of`)."""
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
    return _two_things(rng, "couple", (pose, color, cells), second)


def pair(rng: Random) -> Picture:
    """A bird or a fish, and another living thing."""
    first = rng.choice(("bird", "fish"))
    second = rng.choice(("tree", "flower", "fish") if first == "bird" else ("fish", "bird"))
    colors = rng.sample(list(COLORS), 2)
    return _two_things(rng, "pair", (first, colors[0], rng.choice((2, 3))), (second, colors[1], rng.choice((2, 3))))


def worker(rng: Random) -> Picture:
    """A person beside a thing that their job needs."""
    colors = rng.sample(list(COLORS), 2)
    tool = rng.choice(("car", "boat", "flower", "house", "cup", "key"))
    return _two_things(
        rng, "worker", (rng.choice(POSES), colors[0], rng.choice((2, 3))), (tool, colors[1], rng.choice((2, 3)))
    )


def _two_things(rng: Random, kind: str, *specs: tuple[str, str, int]) -> Picture:
    """Plain things with a free cell between them, from `(name, colour, cells)` of each."""
    board = _Board()
    things = []
    for name, color, cells in specs:
        row, column = _free_corner(rng, board, cells, margin=1)
        things.append(Thing(name, color, row, column, cells, "plain", None, _shift(rng)))
    return Picture(kind, _background(rng), tuple(things), clutter=_clutter(rng), seed=rng.getrandbits(30))


KINDS: dict[str, Callable[[Random], Picture]] = {
    "scene": scene,
    "sign": sign,
    "chart": chart,
    "page": page,
    "snapshot": snapshot,
    "portrait": _one_thing("portrait", PEOPLE, moods=True),
    "action": _one_thing("action", POSES, (2, 3)),
    "arrow": _one_thing("arrow", ARROWS, (2, 3)),
    "landmark": _one_thing("landmark", LANDMARKS, (3, 4)),
    "artwork": _one_thing("artwork", STYLES, (3, 4)),
    "poster": poster,
    "sum": written_sum,
    "code": code,
    "foreign": foreign,
    "couple": couple,
    "pair": pair,
    "worker": worker,
}


def sample(rng: Random, kind: str, *, held_out: bool) -> Picture:
    """A random picture of `kind`, for evaluation if `held_out`, otherwise for training."""
    while True:
        picture = KINDS[kind](rng)
        if picture.held_out == held_out:
            return picture
