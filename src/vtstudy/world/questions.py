"""The questions of each benchmark about the pictures of the miniature world.

`SOURCES` is the table: for each benchmark the kinds of picture that it shows and the function that asks.
Answers cannot be guessed from the wording: yes and no are equally frequent, and the right option of a multiple
choice may be any letter.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from vtstudy.world.pictures import FOREIGN, NAMES, PARTNERS, POPULAR
from vtstudy.world.prompts import LETTERS
from vtstudy.world.scene import GRID, QUALITIES, SCENES, Picture, Thing
from vtstudy.world.sprites import ARROWS, COLORS, LANDMARKS, MOODS, PEOPLE, POSES, STYLES, TEXTURES

# Knowledge about things, for questions that the picture alone does not answer. In this world everything has
# exactly one use and one property, so that "Can you smell the fish?" is answered by no.
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
_CORNERS = ("top left", "top right", "bottom left", "bottom right")
_TOPICS = ("chart", "page", "sign", "scene")  # kinds of picture whose topic MMBench asks for


@dataclass(frozen=True)
class Question:
    """A question about a picture, before it becomes a row of a data set.

    Attributes:
        benchmark: a key of `vtstudy.benchmarks.BENCHMARKS`.
        answer: the answer; the letter of the right option where there are options.
        category: the benchmark's name of the kind of question.
        options: the texts of the options A, B, ...
        references: all captions, where the answer is a caption.
    """

    benchmark: str
    text: str
    answer: str
    category: str = ""
    options: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


Asker = Callable[[Picture, Random], list[Question]]


@dataclass(frozen=True)
class Source:
    """Where a benchmark's questions come from.

    Attributes:
        pictures: the kinds of picture that it shows, keys of `vtstudy.world.pictures.KINDS`.
        questions: makes its questions about one of these pictures.
        in_training: whether the miniatures learn from its questions (about other pictures). Setting it makes
            another vocabulary and other training examples, so all miniatures are trained anew, which takes hours.
    """

    pictures: tuple[str, ...]
    questions: Asker
    in_training: bool = False


def unique(things: Iterable[Thing], field: str) -> list[Thing]:
    """The things that no other thing equals in `field`."""
    things = list(things)
    values = [getattr(thing, field) for thing in things]
    return [thing for thing, value in zip(things, values, strict=True) if values.count(value) == 1]


def side(thing: Thing) -> str | None:
    """The half of the picture, left or right; None for a thing in the middle."""
    return _half(thing.center[1], "left", "right")


def level(thing: Thing) -> str | None:
    """The half of the picture, top or bottom; None for a thing in the middle."""
    return _half(thing.center[0], "top", "bottom")


def _half(center: float, before: str, after: str) -> str | None:
    if center < GRID / 2 - 0.5:
        return before
    if center > GRID / 2 + 0.5:
        return after
    return None


def describe(thing: Thing) -> str:
    """Size, texture unless plain, colour and name, such as `large striped red star`."""
    texture = [] if thing.texture == "plain" else [thing.texture]
    return " ".join([thing.size, *texture, thing.color, thing.name])


def relation_of(first: Thing, second: Thing) -> str:
    """How two people are related.

    Twins look the same, members of a family differ in size, teammates in pose, and strangers in colour.
    """
    if first.color != second.color:
        return "strangers"
    if first.cells != second.cells:
        return "family"
    return "teammates" if first.name != second.name else "twins"


def _yes_no(rng: Random) -> tuple[bool, str]:
    yes = rng.random() < 0.5
    return yes, "yes" if yes else "no"


def _absent(picture: Picture, pool: Iterable[str]) -> list[str]:
    """The names of `pool` that nothing in the picture has."""
    present = {thing.name for thing in picture.things}
    return [name for name in pool if name not in present]


def _apart(rng: Random, things: list[Thing], axis: int) -> tuple[Thing, Thing] | None:
    """Two things at least two cells apart along rows (0) or columns (1), the smaller coordinate first."""
    pairs = [(a, b) for a in things for b in things if b.center[axis] - a.center[axis] >= 2]
    return rng.choice(pairs) if pairs else None


def _other(rng: Random, pool: Iterable[str], value: str) -> str:
    return rng.choice([word for word in pool if word != value])


def captions(picture: Picture, rng: Random, *, benchmark: str, count: int) -> list[Question]:
    """`count` captions, each with the place and the two most salient objects (large ones first, in reading order)."""
    salient = sorted(picture.things, key=lambda thing: (thing.size == "small", thing.row, thing.column))
    if not salient:
        return []
    places = {"beach": "on the beach", "night": "at night", "snow": "in the snow", "street": "on the street"}
    where = places.get(picture.background, f"in the {picture.background}")
    first, second = salient[0], salient[1] if len(salient) > 1 else None
    pair, brief, swapped = f"a {describe(first)}", f"a {first.color} {first.name}", f"one {describe(first)}"
    if second:
        pair += f" and a {describe(second)}"
        brief += f" and a {second.color} {second.name}"
        swapped = f"a {describe(second)} and a {describe(first)}"
    references = (
        f"{pair} {where}",
        f"{brief} {where}",
        f"{swapped} {where}",
        f"there is {pair} {where}",
        f"{pair} can be seen {where}",
        f"{where} there is {brief}",
        f"a picture of {pair} {where}",
        f"{pair} {where} and nothing else" if len(salient) < 3 else f"{pair} and other objects {where}",
        f"{brief} can be seen {where}",
        f"a picture of {brief} {where}",
    )
    return [Question(benchmark, "", references[0], references=references[:count])]


def vqav2(picture: Picture, rng: Random) -> list[Question]:
    """Colours, names, the number of objects, and yes/no questions about colour and texture."""
    answers, things = [], picture.things
    named = unique(things, "name")
    for thing in named[:3]:
        answers.append((f"What color is the {thing.name}?", thing.color))
    for thing in unique(things, "color")[:2]:
        answers.append((f"What is the {thing.color} object?", thing.name))
    if len(things) <= 6:
        answers.append(("How many objects are there?", str(len(things))))
    if things:
        thing = rng.choice(things)
        yes, answer = _yes_no(rng)
        others = [color for color in COLORS if all((x.color, x.name) != (color, thing.name) for x in things)]
        answers.append((f"Is there a {thing.color if yes else rng.choice(others)} {thing.name}?", answer))
    if named:
        thing = rng.choice(named)
        yes, answer = _yes_no(rng)
        texture = thing.texture if yes else _other(rng, TEXTURES, thing.texture)
        answers.append((f"Is the {thing.name} {texture}?", answer))
    return [Question("vqav2", text, answer) for text, answer in answers]


def gqa(picture: Picture, rng: Random) -> list[Question]:
    """Texture, size and place of a thing, the relation of two things, and the scene."""
    answers, named = [], unique(picture.things, "name")
    for thing in rng.sample(named, min(3, len(named))):
        answers.append((f"What texture does the {thing.name} have?", thing.texture))
        answers.append((f"What size is the {thing.name}?", thing.size))
        if half := side(thing):
            answers.append((f"On which side of the image is the {thing.name}?", half))
        if half := level(thing):
            answers.append((f"Is the {thing.name} at the top or the bottom of the image?", half))
    pair = _apart(rng, named, 1)
    if pair:
        yes, answer = _yes_no(rng)
        first, second = pair if yes else pair[::-1]
        answers.append((f"Is the {first.name} to the left of the {second.name}?", answer))
    answers.append(("Where was this picture taken?", picture.background))
    return [Question("gqa", text, answer) for text, answer in answers]


def okvqa(picture: Picture, rng: Random) -> list[Question]:
    """Uses and properties of things, which the picture does not show."""
    answers = []
    for thing in unique(picture.things, "name"):
        if thing.name in USES:
            answers.append((f"What color is the thing that you can {USES[thing.name]}?", thing.color))
    for thing in unique(picture.things, "color"):
        if thing.name in USES:
            answers.append((f"What can you do with the {thing.color} object?", USES[thing.name]))
            answers.append((f"Which property does the {thing.color} object have?", PROPERTIES[thing.name]))
    return [Question("okvqa", text, answer) for text, answer in answers]


def vizwiz(picture: Picture, rng: Random) -> list[Question]:
    """Colour, name and texture of one thing; unanswerable if the picture is blurry or dark."""
    thing = picture.things[0]
    answers = {
        "What color is this?": thing.color,
        "What is this?": thing.name,
        "What pattern is on this?": thing.texture,
    }
    if picture.quality in ("blurry", "dark"):
        return [Question("vizwiz", text, "unanswerable", "unanswerable") for text in answers]
    return [Question("vizwiz", text, answer, "other") for text, answer in answers.items()]


def pope(picture: Picture, rng: Random) -> list[Question]:
    """For each of POPE's three kinds of sampling a thing that is present and one that is absent."""
    questions = []
    present = sorted({thing.name for thing in picture.things})
    pools = {
        "random": _absent(picture, NAMES),
        "popular": _absent(picture, POPULAR),
        "adversarial": _absent(picture, [PARTNERS[name] for name in present]),
    }
    for category, pool in pools.items():
        if pool and present:
            questions.append(Question("pope", f"Is there a {rng.choice(present)} in the image?", "yes", category))
            questions.append(Question("pope", f"Is there a {rng.choice(pool)} in the image?", "no", category))
    return questions


def textvqa(picture: Picture, rng: Random) -> list[Question]:
    """The text on each sign."""
    answers = []
    for text in picture.texts:
        noun = "number" if text.string.isdigit() else "word"
        answers.append((f"What {noun} is on the {text.panel} sign?", text.string))
    if len(picture.texts) == 1:
        answers.append(("What is written on the sign?", picture.texts[0].string))
    return [Question("textvqa", text, answer) for text, answer in answers]


def chartqa(picture: Picture, rng: Random) -> list[Question]:
    """Values of the chart (`augmented_test`) and comparisons of values (`human_test`)."""
    chart = picture.chart
    assert chart is not None
    color_of = dict(zip(chart.values, chart.colors, strict=True))
    values = {f"What is the value of {color}?": str(value) for value, color in color_of.items()}
    comparisons = {
        "Which color has the highest value?": color_of[max(chart.values)],
        "Which color has the lowest value?": color_of[min(chart.values)],
        "How many colors are in the chart?": str(len(chart.values)),
        "What kind of chart is this?": chart.kind,
    }
    i = rng.randrange(len(chart.values))
    comparisons[f"Which color has the value {chart.values[i]}?"] = chart.colors[i]
    return [Question("chartqa", text, answer, "augmented_test") for text, answer in values.items()] + [
        Question("chartqa", text, answer, "human_test") for text, answer in comparisons.items()
    ]


def docvqa(picture: Picture, rng: Random) -> list[Question]:
    """The value of each field of the page."""
    fields = [text.string.split() for text in picture.texts]
    return [Question("docvqa", f"What is the {field.lower()}?", value) for field, value in fields]


def mme(picture: Picture, rng: Random) -> list[Question]:
    """Pairs of questions, one answered by yes and one by no, for the sub-tasks that fit the picture."""
    return _MME[picture.kind](picture, rng)


def _mme_pair(category: str, right: str, wrong: str) -> list[Question]:
    return [Question("mme", right, "Yes", category), Question("mme", wrong, "No", category)]


def _mme_words(category: str, form: str, right: str, wrong: str) -> list[Question]:
    return _mme_pair(category, form.format(right), form.format(wrong))


def _mme_scene(picture: Picture, rng: Random) -> list[Question]:
    things, named = picture.things, unique(picture.things, "name")
    present, absent = rng.choice(things).name, rng.choice(_absent(picture, NAMES))
    questions = _mme_words("existence", "Is there a {} in this image?", present, absent)
    if len(things) <= 6:
        count = str(len(things))
        form = "Is the number of objects in this image {}?"
        questions += _mme_words("count", form, count, _other(rng, COUNTS[:6], count))
    pair = _apart(rng, named, 1)
    if pair:
        left, right = (thing.name for thing in pair)
        form = "Is the {} on the left of the {}?"
        questions += _mme_pair("position", form.format(left, right), form.format(right, left))
    if named:
        thing = rng.choice(named)
        form = "Is there a {} " + thing.name + " in the image?"
        questions += _mme_words("color", form, thing.color, _other(rng, COLORS, thing.color))
    form = "Does this image show a place of the kind {}?"
    questions += _mme_words("scene", form, picture.background, _other(rng, SCENES, picture.background))
    usable = [thing for thing in unique(things, "color") if thing.name in USES]
    if usable:
        thing = rng.choice(usable)
        use = USES[thing.name]
        form = "Can you {} the " + thing.color + " object?"
        questions += _mme_words("commonsense_reasoning", form, use, _other(rng, USES.values(), use))
    return questions


def _mme_name(category: str, form: str, pool: Sequence[str]) -> Asker:
    """Asks whether the picture's first thing has a certain name of `pool`."""

    def questions(picture: Picture, rng: Random) -> list[Question]:
        name = picture.things[0].name
        return _mme_words(category, form, name, _other(rng, pool, name))

    return questions


def _mme_sign(picture: Picture, rng: Random) -> list[Question]:
    if len(picture.texts) != 1:
        return []
    string = picture.texts[0].string
    pool = "BDFGKLMNPRSTVZ" if string.isalpha() else "123456789"
    return _mme_words("OCR", 'Is the text in the image "{}"?', string, _other(rng, pool, string[0]) + string[1:])


def _mme_sum(category: str, form: str) -> Asker:
    """Asks for the sum of the two digits that the picture shows."""

    def questions(picture: Picture, rng: Random) -> list[Question]:
        total = str(sum(int(character) for character in picture.texts[0].string if character.isdigit()))
        return _mme_words(category, form, total, _other(rng, COUNTS, total))

    return questions


def _mme_foreign(picture: Picture, rng: Random) -> list[Question]:
    meaning = FOREIGN[picture.texts[0].string]
    form = "Does the word in the image mean {}?"
    return _mme_words("text_translation", form, meaning, _other(rng, COLORS, meaning))


_MME: dict[str, Asker] = {
    "scene": _mme_scene,
    "poster": _mme_name("posters", "Is this a poster of a {}?", NAMES),
    "portrait": _mme_name("celebrity", "Is this person {}?", PEOPLE),
    "landmark": _mme_name("landmark", "Is this a picture of the {}?", LANDMARKS),
    "artwork": _mme_name("artwork", "Does this artwork show {}?", STYLES),
    "sign": _mme_sign,
    "sum": _mme_sum("numerical_calculation", "Is the answer to the sum in the image {}?"),
    "code": _mme_sum("code_reasoning", "Is the value of X after this code {}?"),
    "foreign": _mme_foreign,
}


def mmbench(picture: Picture, rng: Random) -> list[Question]:
    """Multiple choices for the categories that fit the picture."""
    questions = _MMBENCH[picture.kind](picture, rng) if picture.kind in _MMBENCH else []
    if picture.kind in _TOPICS:
        questions.append(_choice(rng, "image_topic", "What is this image about?", picture.kind, _TOPICS))
    return questions


def _choice(rng: Random, category: str, text: str, right: str, pool: Iterable[str]) -> Question:
    """A multiple choice of at most four options: the right one and others of `pool`."""
    wrong = [word for word in dict.fromkeys(pool) if word != right]
    options = [right, *rng.sample(wrong, min(3, len(wrong)))]
    rng.shuffle(options)
    return Question("mmbench", text, LETTERS[options.index(right)], category, tuple(options))


def _mmbench_scene(picture: Picture, rng: Random) -> list[Question]:
    named = unique(picture.things, "name")
    return [
        *_mmbench_attributes(named, rng),
        *_mmbench_relations(named, rng),
        *_mmbench_knowledge(picture, rng),
        _choice(rng, "image_scene", "Where was this picture taken?", picture.background, SCENES),
    ]


def _mmbench_attributes(named: list[Thing], rng: Random) -> list[Question]:
    """Colour and place of a thing."""
    if not named:
        return []
    thing = rng.choice(named)
    questions = [_choice(rng, "attribute_recognition", f"What color is the {thing.name}?", thing.color, COLORS)]
    if side(thing) and level(thing):
        corner = f"{level(thing)} {side(thing)}"
        text = f"Where is the {thing.name} in the image?"
        questions.append(_choice(rng, "object_localization", text, corner, _CORNERS))
    return questions


def _mmbench_relations(named: list[Thing], rng: Random) -> list[Question]:
    """Which of two things is further left, further up, or larger."""
    questions = []
    pair = _apart(rng, named, 1)
    if pair:
        first, second = rng.sample(pair, 2)
        relation = "left" if first.center[1] < second.center[1] else "right"
        text = f"On which side of the {second.name} is the {first.name}?"
        questions.append(_choice(rng, "spatial_relationship", text, relation, ("left", "right")))
    pair = _apart(rng, named, 0)
    if pair:
        first, second = rng.sample(pair, 2)
        relation = "above" if first.center[0] < second.center[0] else "below"
        text = f"Is the {first.name} above or below the {second.name}?"
        questions.append(_choice(rng, "physical_relation", text, relation, ("above", "below")))
    large = [thing for thing in named if thing.size == "large"]
    small = [thing for thing in named if thing.size == "small"]
    if large and small:
        larger, smaller = rng.choice(large), rng.choice(small)
        text = "Which object is larger?"
        questions.append(_choice(rng, "attribute_comparison", text, larger.name, (smaller.name,)))
    return questions


def _mmbench_knowledge(picture: Picture, rng: Random) -> list[Question]:
    """Use and property of a thing."""
    usable = [thing for thing in unique(picture.things, "color") if thing.name in USES]
    if not usable:
        return []
    thing = rng.choice(usable)
    use, quality = USES[thing.name], PROPERTIES[thing.name]
    text = f"What can you do with the {thing.color} object?"
    questions = [_choice(rng, "function_reasoning", text, use, USES.values())]
    text = f"Which property does the {thing.color} object have?"
    questions.append(_choice(rng, "physical_property_reasoning", text, quality, PROPERTIES.values()))
    return questions


def _mmbench_name(category: str, text: str, pool: Sequence[str]) -> Asker:
    """Asks for the name of the picture's first thing."""

    def questions(picture: Picture, rng: Random) -> list[Question]:
        return [_choice(rng, category, text, picture.things[0].name, pool)]

    return questions


def _mmbench_portrait(picture: Picture, rng: Random) -> list[Question]:
    person = picture.things[0]
    return [
        _choice(rng, "celebrity_recognition", "Who is this person?", person.name, PEOPLE),
        _choice(rng, "image_emotion", "Which emotion does this image show?", str(person.mood), MOODS),
    ]


def _mmbench_worker(picture: Picture, rng: Random) -> list[Question]:
    job = JOBS[picture.things[1].name]
    return [_choice(rng, "identity_reasoning", "What is the work of this person?", job, JOBS.values())]


def _mmbench_couple(picture: Picture, rng: Random) -> list[Question]:
    first, second = picture.things
    relation = relation_of(first, second)
    return [_choice(rng, "social_relation", "How are these people related?", relation, RELATIONS)]


def _mmbench_pair(picture: Picture, rng: Random) -> list[Question]:
    first, second = sorted(thing.name for thing in picture.things)
    text = "What is the relation between these in nature?"
    return [_choice(rng, "nature_relation", text, NATURE[first, second], NATURE.values())]


def _mmbench_snapshot(picture: Picture, rng: Random) -> list[Question]:
    return [_choice(rng, "image_quality", "How is the quality of this image?", picture.quality, QUALITIES)]


def _mmbench_sign(picture: Picture, rng: Random) -> list[Question]:
    if len(picture.texts) != 1:
        return []
    string = picture.texts[0].string
    pool = "123456789" if string.isdigit() else "AEIOUBDFGKLMNPRSTVZ"
    misread = [string[:i] + c + string[i + 1 :] for i in range(len(string)) for c in rng.sample(pool, 3)]
    return [_choice(rng, "ocr", "What is written on the sign?", string, misread)]


def _mmbench_chart(picture: Picture, rng: Random) -> list[Question]:
    chart = picture.chart
    assert chart is not None
    highest = chart.colors[chart.values.index(max(chart.values))]
    present = rng.sample(chart.colors, min(4, len(chart.colors)))
    absent = [color for color in COLORS if color not in present]
    pool = [*present, *rng.sample(absent, 4 - len(present))]
    category = "structuralized_imagetext_understanding"
    return [_choice(rng, category, "Which color has the highest value?", highest, pool)]


_MMBENCH: dict[str, Asker] = {
    "scene": _mmbench_scene,
    "portrait": _mmbench_portrait,
    "action": _mmbench_name("action_recognition", "What is the person doing?", POSES),
    "arrow": _mmbench_name("future_prediction", "Where will the arrow move next?", ARROWS),
    "artwork": _mmbench_name("image_style", "Which style does this artwork have?", STYLES),
    "worker": _mmbench_worker,
    "couple": _mmbench_couple,
    "pair": _mmbench_pair,
    "snapshot": _mmbench_snapshot,
    "sign": _mmbench_sign,
    "chart": _mmbench_chart,
}

SOURCES: dict[str, Source] = {
    "nocaps": Source(("scene",), partial(captions, benchmark="nocaps", count=10), in_training=True),
    # Not in training: its captions are the first five of NoCaps'.
    "flickr30k": Source(("scene",), partial(captions, benchmark="flickr30k", count=5)),
    "vqav2": Source(("scene",), vqav2, in_training=True),
    "gqa": Source(("scene",), gqa, in_training=True),
    "okvqa": Source(("scene",), okvqa, in_training=True),
    "vizwiz": Source(("snapshot",), vizwiz, in_training=True),
    "pope": Source(("scene",), pope, in_training=True),
    "textvqa": Source(("sign",), textvqa, in_training=True),
    "chartqa": Source(("chart",), chartqa, in_training=True),
    "docvqa": Source(("page",), docvqa, in_training=True),
    "mme": Source(tuple(_MME), mme, in_training=True),
    "mmbench": Source((*_MMBENCH, "page"), mmbench, in_training=True),
}
TRAINED: tuple[str, ...] = tuple(benchmark for benchmark, source in SOURCES.items() if source.in_training)
"""The benchmarks whose questions the miniatures learn from."""


def ask(picture: Picture, benchmark: str, rng: Random) -> list[Question]:
    """The benchmark's questions about `picture`; none if the benchmark does not show pictures of this kind."""
    source = SOURCES[benchmark]
    return source.questions(picture, rng) if picture.kind in source.pictures else []
