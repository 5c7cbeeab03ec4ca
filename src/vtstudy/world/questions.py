"""What can be asked about a picture: for each benchmark a function `(picture, rng) -> [Question]`.

Questions are drawn so that an answer cannot be guessed from the words: yes and no alternate,
and the right option stands anywhere. `QUESTIONS` names the functions by benchmark.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from vtstudy.world.pictures import FOREIGN, NAMES, PARTNERS, POPULAR
from vtstudy.world.prompts import LETTERS
from vtstudy.world.scene import GRID, SCENES, Picture, Thing
from vtstudy.world.sprites import COLORS, LANDMARKS, MOODS, PEOPLE, POSES, STYLES, TEXTURES

# What is known about things, for questions which the picture alone does not answer. This is true
# by decree: every thing has one use and one property, so that "Can you smell the fish?" is a no.
USES = {
    "fish": "cook",
    "bird": "hear",
    "tree": "climb",
    "flower": "smell",
    "house": "enter",
    "car": "drive",
    "cup": "drink",
    "key": "unlock",
    "boat": "sail",
}
PROPERTIES = {
    "fish": "wet",
    "bird": "light",
    "tree": "wooden",
    "flower": "soft",
    "house": "heavy",
    "car": "fast",
    "cup": "fragile",
    "key": "metal",
    "boat": "floating",
}
JOBS = {"car": "driver", "boat": "sailor", "flower": "gardener", "house": "builder", "cup": "waiter", "key": "guard"}
NATURE = {
    ("bird", "tree"): "shelter",
    ("bird", "flower"): "pollination",
    ("bird", "fish"): "predation",
    ("fish", "fish"): "competition",
}
RELATIONS = ("twins", "family", "teammates", "strangers")
COUNTS = tuple(str(i) for i in range(1, 10))


@dataclass(frozen=True)
class Question:
    benchmark: str
    text: str
    answer: str
    category: str = ""
    options: tuple[str, ...] = ()  # then `answer` is a letter
    references: tuple[str, ...] = ()  # of a caption


def _yes_no(rng: Random) -> tuple[bool, str]:
    yes = rng.random() < 0.5
    return yes, "yes" if yes else "no"


def unique(things: tuple[Thing, ...], field: str) -> list[Thing]:
    values = [getattr(t, field) for t in things]
    return [t for t in things if values.count(getattr(t, field)) == 1]


def _absent(picture: Picture, pool, field: str = "name") -> list[str]:
    present = {getattr(t, field) for t in picture.things}
    return [x for x in pool if x not in present]


def side(thing: Thing) -> str | None:
    """Left or right half; None where the thing stands across the middle."""
    column = thing.center[1]
    return "left" if column < GRID / 2 - 0.5 else "right" if column > GRID / 2 + 0.5 else None


def level(thing: Thing) -> str | None:
    row = thing.center[0]
    return "top" if row < GRID / 2 - 0.5 else "bottom" if row > GRID / 2 + 0.5 else None


def _apart(rng: Random, things: list[Thing], axis: int) -> tuple[Thing, Thing] | None:
    """Two things clearly apart along rows (0) or columns (1), the smaller coordinate first."""
    pairs = [(a, b) for a in things for b in things if b.center[axis] - a.center[axis] >= 2]
    return rng.choice(pairs) if pairs else None


def vqav2(picture: Picture, rng: Random) -> list[Question]:
    out, things = [], picture.things
    named = unique(things, "name")
    for t in named[:3]:
        out.append((f"What color is the {t.name}?", t.color))
    for t in unique(things, "color")[:2]:
        out.append((f"What is the {t.color} object?", t.name))
    if len(things) <= 6:
        out.append(("How many objects are there?", str(len(things))))
    if things:
        t = rng.choice(things)
        yes, answer = _yes_no(rng)
        others = [c for c in COLORS if all((x.color, x.name) != (c, t.name) for x in things)]
        out.append((f"Is there a {t.color if yes else rng.choice(others)} {t.name}?", answer))
    if named:
        t = rng.choice(named)
        yes, answer = _yes_no(rng)
        texture = t.texture if yes else rng.choice([x for x in TEXTURES if x != t.texture])
        out.append((f"Is the {t.name} {texture}?", answer))
    return [Question("vqav2", q, a) for q, a in out]


def gqa(picture: Picture, rng: Random) -> list[Question]:
    out, named = [], unique(picture.things, "name")
    for t in rng.sample(named, min(3, len(named))):
        out.append((f"What texture does the {t.name} have?", t.texture))
        out.append((f"What size is the {t.name}?", t.size))
        if side(t):
            out.append((f"On which side of the image is the {t.name}?", side(t)))
        if level(t):
            out.append((f"Is the {t.name} at the top or the bottom of the image?", level(t)))
    pair = _apart(rng, named, 1)
    if pair:
        yes, answer = _yes_no(rng)
        a, b = pair if yes else pair[::-1]
        out.append((f"Is the {a.name} to the left of the {b.name}?", answer))
    out.append(("Where was this picture taken?", picture.background))
    return [Question("gqa", q, a) for q, a in out]


def okvqa(picture: Picture, rng: Random) -> list[Question]:
    out = []
    for t in unique(picture.things, "name"):
        if t.name in USES:
            out.append((f"What color is the thing that you can {USES[t.name]}?", t.color))
    for t in unique(picture.things, "color"):
        if t.name in USES:
            out.append((f"What can you do with the {t.color} object?", USES[t.name]))
            out.append((f"Which property does the {t.color} object have?", PROPERTIES[t.name]))
    return [Question("okvqa", q, a) for q, a in out]


def vizwiz(picture: Picture, rng: Random) -> list[Question]:
    t = picture.things[0]
    lost = picture.quality in ("blurry", "dark")
    asked = {"What color is this?": t.color, "What is this?": t.name, "What pattern is on this?": t.texture}
    return [
        Question("vizwiz", q, "unanswerable" if lost else a, "unanswerable" if lost else "other")
        for q, a in asked.items()
    ]


def pope(picture: Picture, rng: Random) -> list[Question]:
    """One present thing, and absent ones drawn as POPE does: at random, popular, co-occurring."""
    out = []
    present = sorted({t.name for t in picture.things})
    pools = {
        "random": _absent(picture, NAMES),
        "popular": _absent(picture, POPULAR),
        "adversarial": _absent(picture, [PARTNERS[name] for name in present]),
    }
    for category, pool in pools.items():
        if pool and present:
            out.append(Question("pope", f"Is there a {rng.choice(present)} in the image?", "yes", category))
            out.append(Question("pope", f"Is there a {rng.choice(pool)} in the image?", "no", category))
    return out


def textvqa(picture: Picture, rng: Random) -> list[Question]:
    out = []
    for text in picture.texts:
        sort = "number" if text.string.isdigit() else "word"
        out.append((f"What {sort} is on the {text.panel} sign?", text.string))
    if len(picture.texts) == 1:
        out.append(("What is written on the sign?", picture.texts[0].string))
    return [Question("textvqa", q, a) for q, a in out]


def chartqa(picture: Picture, rng: Random) -> list[Question]:
    c = picture.chart
    by_value = dict(zip(c.values, c.colors, strict=True))
    out = [Question("chartqa", f"What is the value of {color}?", str(v), "augmented") for v, color in by_value.items()]
    human = {
        "Which color has the highest value?": by_value[max(c.values)],
        "Which color has the lowest value?": by_value[min(c.values)],
        "How many colors are in the chart?": str(len(c.values)),
        "What kind of chart is this?": c.kind,
    }
    i = rng.randrange(len(c.values))
    human[f"Which color has the value {c.values[i]}?"] = c.colors[i]
    return out + [Question("chartqa", q, a, "human") for q, a in human.items()]


def docvqa(picture: Picture, rng: Random) -> list[Question]:
    fields = [t.string.split() for t in picture.texts]
    return [Question("docvqa", f"What is the {field.lower()}?", value) for field, value in fields]


def describe(thing: Thing) -> str:
    return " ".join([thing.size, *([thing.texture] if thing.texture != "plain" else []), thing.color, thing.name])


def captions(picture: Picture, rng: Random) -> list[Question]:
    """The two most salient objects (large before small, then in reading order) and the place."""
    order = sorted(picture.things, key=lambda t: (t.size == "small", t.row, t.column))
    if not order:
        return []
    place = {"beach": "on the beach", "night": "at night", "snow": "in the snow", "street": "on the street"}
    where = place.get(picture.background, f"in the {picture.background}")
    first, second = order[0], order[1] if len(order) > 1 else None
    pair = f"a {describe(first)}" + (f" and a {describe(second)}" if second else "")
    brief = f"a {first.color} {first.name}" + (f" and a {second.color} {second.name}" if second else "")
    swapped = f"a {describe(second)} and a {describe(first)}" if second else f"one {describe(first)}"
    references = (
        f"{pair} {where}",
        f"{brief} {where}",
        f"{swapped} {where}",
        f"there is {pair} {where}",
        f"{pair} can be seen {where}",
        f"{where} there is {brief}",
        f"a picture of {pair} {where}",
        f"{pair} {where} and nothing else" if len(order) < 3 else f"{pair} and other objects {where}",
        f"{brief} can be seen {where}",
        f"a picture of {brief} {where}",
    )
    return [Question(b, "", references[0], references=references[:n]) for b, n in (("nocaps", 10), ("flickr30k", 5))]


def _mme(category: str, text: str, yes: bool) -> Question:
    return Question("mme", f"{text}", "Yes" if yes else "No", category)


def mme(picture: Picture, rng: Random) -> list[Question]:
    """Pairs of questions with the answers yes and no, as MME asks, for the sub-tasks that fit the picture."""
    out: list[Question] = []

    def both(category: str, form: str, right: str, wrong: str) -> None:
        out.extend([_mme(category, form.format(right), True), _mme(category, form.format(wrong), False)])

    def other(pool, value) -> str:
        return rng.choice([x for x in pool if x != value])

    things, kind = picture.things, picture.kind
    first = things[0] if things else None
    if kind == "scene":
        both("existence", "Is there a {} in this image?", rng.choice(things).name, rng.choice(_absent(picture, NAMES)))
        if len(things) <= 6:
            both(
                "count",
                "Is the number of objects in this image {}?",
                str(len(things)),
                other(COUNTS[:6], str(len(things))),
            )
        pair = _apart(rng, unique(things, "name"), 1)
        if pair:
            a, b = (t.name for t in pair)
            out += [
                _mme("position", f"Is the {a} on the left of the {b}?", True),
                _mme("position", f"Is the {b} on the left of the {a}?", False),
            ]
        named = unique(things, "name")
        if named:
            t = rng.choice(named)
            both("color", "Is there a {} " + t.name + " in the image?", t.color, other(COLORS, t.color))
        both(
            "scene",
            "Does this image show a place of the kind {}?",
            picture.background,
            other(SCENES, picture.background),
        )
        usable = [t for t in unique(things, "color") if t.name in USES]
        if usable:
            t = rng.choice(usable)
            both(
                "commonsense_reasoning",
                "Can you {} the " + t.color + " object?",
                USES[t.name],
                other(USES.values(), USES[t.name]),
            )
    elif kind == "poster":
        both("posters", "Is this a poster of a {}?", first.name, other(NAMES, first.name))
    elif kind == "portrait":
        both("celebrity", "Is this person {}?", first.name, other(PEOPLE, first.name))
    elif kind == "landmark":
        both("landmark", "Is this a picture of the {}?", first.name, other(LANDMARKS, first.name))
    elif kind == "artwork":
        both("artwork", "Does this artwork show {}?", first.name, other(STYLES, first.name))
    elif kind == "sign" and len(picture.texts) == 1:
        string = picture.texts[0].string
        pool = "BDFGKLMNPRSTVZ" if string.isalpha() else "123456789"
        changed = rng.choice([c for c in pool if c != string[0]]) + string[1:]
        both("OCR", 'Is the text in the image "{}"?', string, changed)
    elif kind == "sum":
        a, b = int(picture.texts[0].string[0]), int(picture.texts[0].string[2])
        both(
            "numerical_calculation", "Is the answer to the sum in the image {}?", str(a + b), other(COUNTS, str(a + b))
        )
    elif kind == "code":
        a, b = int(picture.texts[0].string[2]), int(picture.texts[0].string[4])
        both("code_reasoning", "Is the value of X after this code {}?", str(a + b), other(COUNTS, str(a + b)))
    elif kind == "foreign":
        right = FOREIGN[picture.texts[0].string]
        both("text_translation", "Does the word in the image mean {}?", right, other(COLORS, right))
    return out


def mmbench(picture: Picture, rng: Random) -> list[Question]:
    out: list[Question] = []

    def choose(category: str, text: str, right: str, pool, count: int = 4) -> None:
        wrong = [x for x in dict.fromkeys(pool) if x != right]
        options = [right, *rng.sample(wrong, min(count - 1, len(wrong)))]  # two where the pool has only two
        rng.shuffle(options)
        out.append(Question("mmbench", text, LETTERS[options.index(right)], category, tuple(options)))

    things, kind = picture.things, picture.kind
    first = things[0] if things else None
    if kind == "scene":
        named, colored = unique(things, "name"), unique(things, "color")
        if named:
            t = rng.choice(named)
            choose("attribute_recognition", f"What color is the {t.name}?", t.color, COLORS)
            if side(t) and level(t):
                corners = [f"{a} {b}" for a in ("top", "bottom") for b in ("left", "right")]
                choose("object_localization", f"Where is the {t.name} in the image?", f"{level(t)} {side(t)}", corners)
        pair = _apart(rng, named, 1)
        if pair:
            a, b = rng.sample(pair, 2)
            relation = "left" if a.center[1] < b.center[1] else "right"
            choose(
                "spatial_relationship", f"On which side of the {b.name} is the {a.name}?", relation, ("left", "right")
            )
        pair = _apart(rng, named, 0)
        if pair:
            a, b = rng.sample(pair, 2)
            relation = "above" if a.center[0] < b.center[0] else "below"
            choose("physical_relation", f"Is the {a.name} above or below the {b.name}?", relation, ("above", "below"))
        large, small = [t for t in named if t.size == "large"], [t for t in named if t.size == "small"]
        if large and small:
            a, b = rng.choice(large), rng.choice(small)
            choose("attribute_comparison", "Which object is larger?", a.name, (b.name,))
        usable = [t for t in colored if t.name in USES]
        if usable:
            t = rng.choice(usable)
            choose("function_reasoning", f"What can you do with the {t.color} object?", USES[t.name], USES.values())
            choose(
                "physical_property_reasoning",
                f"Which property does the {t.color} object have?",
                PROPERTIES[t.name],
                PROPERTIES.values(),
            )
        choose("image_scene", "Where was this picture taken?", picture.background, SCENES)
    elif kind == "portrait":
        choose("celebrity_recognition", "Who is this person?", first.name, PEOPLE)
        choose("image_emotion", "Which emotion does this image show?", first.mood, MOODS)
    elif kind == "action":
        choose("action_recognition", "What is the person doing?", first.name, POSES)
    elif kind == "arrow":
        choose("future_prediction", "Where will the arrow move next?", first.name, ("left", "right", "up", "down"))
    elif kind == "artwork":
        choose("image_style", "Which style does this artwork have?", first.name, STYLES)
    elif kind == "worker":
        choose("identity_reasoning", "What is the work of this person?", JOBS[things[1].name], JOBS.values())
    elif kind == "couple":
        choose("social_relation", "How are these people related?", relation_of(*things), RELATIONS)
    elif kind == "pair":
        names = tuple(sorted(t.name for t in things))
        choose("nature_relation", "What is the relation between these in nature?", NATURE[names], NATURE.values())
    elif kind == "snapshot":
        choose(
            "image_quality", "How is the quality of this image?", picture.quality, ("clear", "blurry", "dark", "noisy")
        )
    elif kind == "sign" and len(picture.texts) == 1:
        text = picture.texts[0].string
        pool = "123456789" if text.isdigit() else "AEIOUBDFGKLMNPRSTVZ"
        others = [text[:i] + c + text[i + 1 :] for i in range(len(text)) for c in rng.sample(pool, 3)]
        choose("ocr", "What is written on the sign?", text, others)
    elif kind == "chart":
        c = picture.chart
        high = c.colors[c.values.index(max(c.values))]
        present = rng.sample(c.colors, min(4, len(c.colors)))
        pool = [*present, *rng.sample([x for x in COLORS if x not in present], 4 - len(present))]
        choose("structuralized_imagetext_understanding", "Which color has the highest value?", high, pool)
    if kind in ("chart", "page", "sign", "scene"):
        choose("image_topic", "What is this image about?", kind, ("chart", "page", "sign", "scene"))
    return out


def relation_of(a: Thing, b: Thing) -> str:
    """Twins agree in everything; family differ in size; teammates in pose; strangers in colour."""
    if a.color != b.color:
        return "strangers"
    if a.cells != b.cells:
        return "family"
    return "teammates" if a.name != b.name else "twins"


# Which kinds of picture each benchmark shows.
SOURCES: dict[str, tuple[str, ...]] = {
    "nocaps": ("scene",),
    "flickr30k": ("scene",),
    "vqav2": ("scene",),
    "gqa": ("scene",),
    "okvqa": ("scene",),
    "vizwiz": ("snapshot",),
    "pope": ("scene",),
    "textvqa": ("sign",),
    "chartqa": ("chart",),
    "docvqa": ("page",),
    "mme": ("scene", "poster", "portrait", "landmark", "artwork", "sign", "sum", "code", "foreign"),
    "mmbench": (
        "scene",
        "portrait",
        "action",
        "arrow",
        "artwork",
        "worker",
        "couple",
        "pair",
        "snapshot",
        "sign",
        "chart",
        "page",
    ),
}
QUESTIONS: dict[str, Callable[[Picture, Random], list[Question]]] = {
    "nocaps": captions,
    "flickr30k": captions,
    "vqav2": vqav2,
    "gqa": gqa,
    "okvqa": okvqa,
    "vizwiz": vizwiz,
    "pope": pope,
    "textvqa": textvqa,
    "chartqa": chartqa,
    "docvqa": docvqa,
    "mme": mme,
    "mmbench": mmbench,
}


def ask(picture: Picture, benchmark: str, rng: Random) -> list[Question]:
    """The questions of `benchmark` about `picture`; none where it shows no such pictures."""
    if picture.kind not in SOURCES[benchmark]:
        return []
    return [q for q in QUESTIONS[benchmark](picture, rng) if q.benchmark == benchmark]
