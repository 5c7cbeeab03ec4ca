"""Training examples and loss of the language model: questions about a picture, packed into one sequence.

The sequence has the image once, then a block for each question. A block sees the image and itself alone (mask), and
its positions are those of a prompt with this question alone. So each question is trained as it is evaluated, and
the image is processed once for all of them.

Beside the benchmarks' questions there are dense targets. *Lists* name everything in the picture. *Tables* give
words in each row and ask what the picture shows of them ("star" is answered by "red large"). *Checks* are tables
that are answered by yes or no; so is each option of a multiple choice. They are needed because answers of one bit
teach too little about how to find a thing in the picture. Nothing is learnt from tables before the model can read a
picture at all, so lists come first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vtstudy.training.tower import draw_kind, pixels
from vtstudy.training.training_loop import Loss
from vtstudy.world.pictures import FOREIGN, NAMES, PARTNERS, sample
from vtstudy.world.prompts import LETTERS, TEMPLATE, prompt, with_options
from vtstudy.world.questions import COUNTS, TRAINED, USES, Question, ask, level, side, unique
from vtstudy.world.scene import GRID, SCENES, Picture, Thing, render
from vtstudy.world.sprites import ARROWS, COLORS, LANDMARKS, MOODS, PEOPLE, POSES, STYLES, TEXTURES

LENGTH = 400
"""Tokens of a packed sequence, with padding."""
_IMAGE_TOKENS = GRID * GRID
# The kinds of target tokens, each with its weight in the loss and a line in the learning curve.
KINDS = (
    ("answers", 1.0),
    ("yes_no", 2.0),
    ("letters", 2.0),
    ("lists", 1.0),
    ("tables", 1.0),
    ("checks", 0.7),
    ("ends", 0.3),
)
_KIND = {name: i for i, (name, _) in enumerate(KINDS)}
_LIST = "list"  # the `benchmark` of a question that asks for a list
_PAD = {
    "ids": 0,
    "block": -1,
    "position": 0,
    "target": -100,
    "kind": 0,
}  # the columns of a sequence, with their padding
_ORDERS = {
    "name": "{0.name} {0.color} {0.size} {0.texture}",
    "color": "{0.color} {0.name} {0.texture} {0.size}",
    "position": "row{0.row} column{0.column} {0.size} {0.color} {0.name}",
}
_FIELDS = ("color", "name", "size", "texture", "side", "position")


@dataclass(frozen=True)
class Table:
    """A dense target: each row gives some words and asks for the words that belong to them.

    Attributes:
        rows: pairs of the words that are given and the words to be answered.
    """

    title: str
    rows: tuple[tuple[str, str], ...]


def lists(picture: Picture, rng: Random) -> list[Question]:
    """Questions for everything in the picture: its things in two of three orders, and its texts or values."""
    questions = []
    things = sorted(picture.things, key=lambda thing: (thing.row, thing.column))
    if things:
        for order in rng.sample(list(_ORDERS), 2):
            questions.append(_list_of(f"List objects by {order}", (_ORDERS[order].format(thing) for thing in things)))
    pairs = _written_pairs(picture)
    if pairs:
        title = "List values" if picture.chart else "List signs"
        questions.append(_list_of(title, (f"{key} {value}" for key, value in pairs)))
    elif picture.texts:
        questions.append(_list_of("List lines", (text.string for text in picture.texts)))
    return questions


def _list_of(title: str, entries: Iterable[str]) -> Question:
    return Question(_LIST, title, " , ".join(entries))


def _written_pairs(picture: Picture) -> list[tuple[str, str]]:
    """What is written on signs, pages and charts, such as ("red", "BAKO"), ("date", "17") or ("blue", "4")."""
    if picture.chart:
        return [(color, str(value)) for color, value in zip(picture.chart.colors, picture.chart.values, strict=True)]
    if picture.kind == "page":
        return [(field.lower(), value) for field, value in (text.string.split() for text in picture.texts)]
    signs = sorted(picture.texts, key=lambda text: (text.row, text.column))
    return [(text.panel, text.string) for text in signs if text.panel]


def _pool(thing: Thing) -> tuple[str, ...]:
    """The names of things of the same sort."""
    return next(pool for pool in (NAMES, PEOPLE, POSES, ARROWS, LANDMARKS, STYLES) if thing.name in pool)


def _value(thing: Thing, field: str) -> str:
    if field == "side":
        return side(thing) or "nothing"
    if field == "position":
        return level(thing) or "nothing"
    return getattr(thing, field)


def tables(picture: Picture, rng: Random) -> list[Table]:
    """Tables of what is written, in one of both directions, and of the things by name, colour or use."""
    made = []
    pairs = _written_pairs(picture)
    if pairs:
        title = "Tell values"
        if rng.random() < 0.5:
            title, pairs = "Tell name", [(value, key) for key, value in pairs]
        made.append(Table(title, tuple(rng.sample(pairs, len(pairs)))))
    if picture.things:
        table = _table_of_things(picture.things, rng)
        if table.rows:
            made.append(table)
    return made


def _table_of_things(things: Sequence[Thing], rng: Random) -> Table:
    """One to three fields of things that are named, and "nothing" for things that are absent."""
    by = rng.choice(("name", "name", "color", "objects"))
    if by == "name":
        keyed, pool = {thing.name: thing for thing in unique(things, "name")}, _pool(things[0])
    elif by == "color":
        keyed, pool = {thing.color: thing for thing in unique(things, "color")}, tuple(COLORS)
    else:
        keyed = {USES[thing.name]: thing for thing in unique(things, "name") if thing.name in USES}
        pool = tuple(USES.values())
    present = {word for thing in things for word in (thing.name, thing.color, USES.get(thing.name))}
    absent = [word for word in pool if word not in present]
    fields = rng.sample([field for field in _FIELDS if field != by], rng.choice((1, 2, 2, 3)))
    rows = [(word, " ".join(_value(thing, field) for field in fields)) for word, thing in keyed.items()]
    rows = rng.sample(rows, min(5, len(rows)))
    rows += [(word, "nothing") for word in rng.sample(absent, min(2, len(absent)))]
    rng.shuffle(rows)
    return Table(f"Tell {' '.join(fields)} by {by}", tuple(rows))


def checks(picture: Picture, rng: Random) -> list[Table]:
    """Tables of statements about the picture, each to be answered by yes or no."""
    made = []
    if picture.things:
        made += _checks_of_things(picture, rng)
    if picture.background in SCENES:
        made.append(_check(rng, "places", [picture.background], _without(SCENES, picture.background)))
    if picture.kind in ("sum", "code"):
        total = str(sum(int(character) for character in picture.texts[0].string if character.isdigit()))
        made.append(_check(rng, "values", [total], _without(COUNTS, total)))
    if picture.kind == "foreign":
        meaning = FOREIGN[picture.texts[0].string]
        made.append(_check(rng, "color", [meaning], _without(COLORS, meaning)))
    elif picture.kind == "sign":
        strings = [text.string for text in picture.texts]
        misread = [rng.choice("123456789" if s.isdigit() else "BDFGKLMNPRSTVZ") + s[1:] for s in strings]
        made.append(_check(rng, "signs", strings, [string for string in misread if string not in strings]))
    return [table for table in made if table.rows]


def _checks_of_things(picture: Picture, rng: Random) -> list[Table]:
    things = picture.things
    # Lists and dictionaries, not sets: their order must be the same in every process.
    names = list(dict.fromkeys(thing.name for thing in things))
    partners = [PARTNERS[name] for name in names if name in PARTNERS]
    absent = [name for name in (*_pool(things[0]), *partners) if name not in names]
    made = [_check(rng, "things", names, absent, 6), _check_of_attribute(things, rng)]
    named = unique(things, "name")
    is_left_of = {
        f"{a.name} {b.name}": a.center[1] < b.center[1]
        for a in named
        for b in named
        if abs(a.center[1] - b.center[1]) >= 2
    }
    if is_left_of:
        right = [pair for pair, is_so in is_left_of.items() if is_so]
        made.append(_check(rng, "left", right, [pair for pair, is_so in is_left_of.items() if not is_so]))
    mood = things[0].mood
    if mood:
        made.append(_check(rng, "position", [mood], _without(MOODS, mood)))
    if picture.kind == "scene" and len(things) <= 6:
        count = str(len(things))
        made.append(_check(rng, "objects", [count], _without(COUNTS[:6], count)))
    return made


def _check_of_attribute(things: Sequence[Thing], rng: Random) -> Table:
    """Whether things have a colour, texture or size; wrong values are mostly those of other things."""
    field, values = rng.choice(
        (("color", tuple(COLORS)), ("color", tuple(COLORS)), ("texture", TEXTURES), ("size", ("small", "large")))
    )
    right = list(dict.fromkeys(f"{getattr(thing, field)} {thing.name}" for thing in things))
    wrong = []
    for thing in things:
        for value in dict.fromkeys([*(getattr(other, field) for other in things), rng.choice(values)]):
            wrong.append(f"{value} {thing.name}")
    return _check(rng, f"{field} things", right, [words for words in wrong if words not in right], 5)


def _check(rng: Random, title: str, right: Sequence[str], wrong: Sequence[str], most: int = 4) -> Table:
    """At most `most` right statements, and about as many wrong ones."""
    right, wrong = list(dict.fromkeys(right)), list(dict.fromkeys(wrong))
    right = rng.sample(right, min(most, len(right)))
    rows = [(words, "yes") for words in right]
    if wrong:
        candidates = [words for words in wrong if words not in right]
        rows += [(words, "no") for words in rng.sample(candidates, min(max(2, len(right)), len(wrong)))]
    rng.shuffle(rows)
    return Table(f"Check {title}", tuple(rows))


def _without(words: Iterable[str], word: str) -> list[str]:
    return [other for other in words if other != word]


@lru_cache(maxsize=100_000)
def _tokens(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


class _Sequence:
    """A packed sequence, to which blocks are added.

    Attributes:
        columns: for each token `ids`, `block`, `position`, `target` and `kind` (`packed_questions`).
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        head, self._turn = TEMPLATE.split("{text}")
        before, after = head.split("{image}")
        ids = [
            *tokenizer(before).input_ids,
            *[tokenizer.convert_tokens_to_ids("<image>")] * _IMAGE_TOKENS,
            *self.tokens(after),
        ]
        self._start = len(ids)  # the position of each block's first token
        self.columns: dict[str, list[int]] = {
            "ids": ids,
            "block": [0] * len(ids),
            "position": list(range(len(ids))),
            "target": [-100] * len(ids),
            "kind": [0] * len(ids),
        }
        self._blocks = 0

    def tokens(self, text: str) -> list[int]:
        return _tokens(self.tokenizer, text)

    def add(self, parts: Sequence[tuple[list[int], str | None]], marks: dict[int, int] | None = None) -> None:
        """Add a block, unless the sequence is too long for it.

        Args:
            parts: token ids and the kind of target that they are; None for ids that are no targets.
            marks: further targets: by index in the block, the token that should follow.
        """
        ids = [t for tokens, _ in parts for t in tokens]
        kinds = [kind for tokens, kind in parts for _ in tokens]
        length = len(ids) - 1  # the last token is a target, and nothing follows it
        if len(self.columns["ids"]) + length > LENGTH:
            return
        self._blocks += 1
        target = [t if kind else -100 for t, kind in zip(ids[1:], kinds[1:], strict=True)]
        kind = [_KIND[kind] if kind else 0 for kind in kinds[1:]]
        for index, token in (marks or {}).items():
            target[index], kind[index] = token, _KIND["checks"]
        new = {
            "ids": ids[:-1],
            "block": [self._blocks] * length,
            "position": list(range(self._start, self._start + length)),
            "target": target,
            "kind": kind,
        }
        for key, values in new.items():
            self.columns[key] += values

    def add_table(self, table: Table) -> None:
        parts: list[tuple[list[int], str | None]] = [(self.tokens(table.title + self._turn), None)]
        for words, answer in table.rows:
            kind = "checks" if answer in ("yes", "no") else "tables"
            parts += [(self.tokens(words), None), (self.tokens(answer), kind)]
        self.add(parts)

    def add_question(self, q: Question) -> None:
        text = q.text if q.benchmark == _LIST else prompt(q.benchmark, q.text, q.options)
        answer = q.answer.lower() if q.answer in ("Yes", "No") else q.answer  # the tasks accept both
        if q.options:
            kind = "letters"
        elif q.benchmark == _LIST:
            kind = "lists"
        else:
            kind = "yes_no" if answer in ("yes", "no") else "answers"
        parts = [
            (self.tokens(text + self._turn), None),
            (self.tokens(answer), kind),
            ([self.tokenizer.eos_token_id], "ends"),
        ]
        self.add(parts, self._marks(q))

    def _marks(self, q: Question) -> dict[int, int]:
        """At each option's last token the target yes or no: whether the option is right."""
        ends = [len(self.tokens(with_options(q.text, q.options[: i + 1]))) - 1 for i in range(len(q.options))]
        yes, no = self.tokenizer.convert_tokens_to_ids(["yes", "no"])
        return {end: yes if letter == q.answer else no for end, letter in zip(ends, LETTERS, strict=False)}


def packed_questions(rng: Random, step: int, tokenizer: Any, tables_from: int) -> tuple[Tensor, dict[str, list[int]]]:
    """The pixels of a training picture, and a packed sequence of questions about it.

    Before step `tables_from` the sequence has all lists and no tables; later it has tables, and half of the lists.

    Returns:
        The pixels, and for each token its `ids`, `block` (0 for the image and the text around it), `position`,
        `target` (the token that should follow, -100 for none) and `kind` (of the target, an index of `KINDS`).
    """
    # Scenes carry half of all benchmarks, and their questions are learnt last.
    picture = sample(rng, "scene" if rng.random() < 0.25 else draw_kind(rng), held_out=False)
    sequence = _Sequence(tokenizer)
    list_questions = lists(picture, rng)
    questions = [q for benchmark in TRAINED for q in ask(picture, benchmark, rng)]
    rng.shuffle(questions)
    dense: list[Table] = []
    if step < tables_from:
        questions = list_questions + questions
    else:
        dense = [table for table in (*checks(picture, rng), *tables(picture, rng)) if rng.random() < 0.7]
        questions = [q for q in list_questions if rng.random() < 0.5] + questions
    for table in dense:
        sequence.add_table(table)
    for q in questions:
        sequence.add_question(q)
    if step >= tables_from:
        for table in (*checks(picture, rng), *tables(picture, rng)):  # these fill the sequence
            sequence.add_table(table)
    return pixels(render(picture)), sequence.columns


def collate(examples: Sequence[tuple[Tensor, dict[str, list[int]]]]) -> dict[str, Tensor]:
    """A batch, padded on the right to `LENGTH`: the decoder is compiled for one shape."""
    batch = {}
    for column, padding in _PAD.items():
        rows = [sequence[column] for _, sequence in examples]
        batch[column] = torch.tensor([row + [padding] * (LENGTH - len(row)) for row in rows])
    batch["pixels"] = torch.stack([image for image, _ in examples])
    return batch


def block_mask(block: Tensor) -> Tensor:
    """Which tokens each token may see, `[b, 1, n, n]` bool, from their block numbers `[b, n]`."""
    query, key = block[:, :, None], block[:, None, :]
    causal = torch.ones(block.shape[1], block.shape[1], dtype=torch.bool, device=block.device).tril()
    return (causal & ((key == 0) | (key == query)))[:, None]


def answer_loss(model: Any, features: Tensor, batch: dict[str, Tensor]) -> Loss:
    """Cross-entropy of the target tokens, weighted by `KINDS`, and the accuracy of each kind.

    Args:
        features: the image tokens that enter the language model, `[b, n, width]`.
    """
    decoder = model.model.language_model
    embeddings = decoder.embed_tokens(batch["ids"])
    start = int((batch["ids"][0] == model.config.image_token_id).nonzero()[0])
    embeddings = torch.cat(
        [embeddings[:, :start], features.to(embeddings.dtype), embeddings[:, start + features.shape[1] :]], dim=1
    )
    hidden = decoder(
        inputs_embeds=embeddings,
        attention_mask=block_mask(batch["block"]),
        position_ids=batch["position"],
        use_cache=False,
    ).last_hidden_state
    has_target = batch["target"] != -100
    logits, target = model.lm_head(hidden[has_target]).float(), batch["target"][has_target]
    kind = batch["kind"][has_target]
    losses = F.cross_entropy(logits, target, reduction="none")
    weight = torch.tensor([weight for _, weight in KINDS], device=kind.device)[kind]
    right = (logits.argmax(-1) == target).float()
    figures = {name: right[kind == i].mean().item() for i, (name, _) in enumerate(KINDS) if (kind == i).any()}
    return (losses * weight).sum() / weight.sum(), figures
