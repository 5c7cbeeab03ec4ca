"""Stage two of training: the language model learns to answer, with the tower frozen.

A picture's questions are packed into one sequence: the image once, then a block a question,
which sees the image and itself alone (mask) and stands where it would stand by itself
(positions). So each question is trained exactly as it will be evaluated, and the image is
computed once for all of them.

Beside the benchmarks' questions there are dense targets, which teach what all of them build on:
*lists* of everything in the picture; *tables*, whose rows give words and ask what the picture
shows of them ("star" -> "red large", or whether there is one); and a yes or no after each option
of a multiple choice. One-bit answers alone teach too little to learn looking for a thing from;
and nothing is learnt from tables before the model can read a picture at all, so that lists
come first.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from vtstudy.training.tower import draw_kind, pixels
from vtstudy.world.pictures import FOREIGN, NAMES, PARTNERS, sample
from vtstudy.world.prompts import LETTERS, TEMPLATE, prompt, with_options
from vtstudy.world.questions import COUNTS, TRAINED, USES, Question, ask, level, side, unique
from vtstudy.world.scene import GRID, SCENES, Picture, Thing, render
from vtstudy.world.sprites import ARROWS, COLORS, LANDMARKS, MOODS, PEOPLE, POSES, STYLES, TEXTURES

LENGTH = 400  # of a packed sequence, padding included
_IMAGE_TOKENS = GRID * GRID
# What a target is, for the learning curve: (name, weight in the loss).
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


@dataclass(frozen=True)
class Table:
    """A dense target: each row gives some words and asks for those that follow them."""

    title: str
    rows: tuple[tuple[str, str], ...]  # (given, told)


def _written(picture: Picture) -> list[tuple[str, str]]:
    """What a sign, page or chart says as pairs, such as ("red", "BAKO") or ("date", "17")."""
    if picture.chart:
        return [(c, str(v)) for c, v in zip(picture.chart.colors, picture.chart.values, strict=True)]
    if picture.kind == "page":
        return [(field.lower(), value) for field, value in (t.string.split() for t in picture.texts)]
    return [(t.panel, t.string) for t in sorted(picture.texts, key=lambda t: (t.row, t.column)) if t.panel]


def lists(picture: Picture, rng: Random) -> list[Question]:
    """Everything in the picture: its objects in one of several orders, its writing, its values."""
    out = []
    things = sorted(picture.things, key=lambda t: (t.row, t.column))
    forms = {
        "name": "{0.name} {0.color} {0.size} {0.texture}",
        "color": "{0.color} {0.name} {0.texture} {0.size}",
        "position": "row{0.row} column{0.column} {0.size} {0.color} {0.name}",
    }
    for order in rng.sample(list(forms), 2) if things else ():
        out.append(Question("list", f"List objects by {order}", " , ".join(forms[order].format(t) for t in things)))
    pairs = _written(picture)
    if pairs:
        out.append(
            Question("list", "List values" if picture.chart else "List signs", " , ".join(f"{a} {b}" for a, b in pairs))
        )
    elif picture.texts:
        out.append(Question("list", "List lines", " , ".join(t.string for t in picture.texts)))
    return out


def _pool(thing: Thing) -> tuple[str, ...]:
    """The names that `thing` could have had."""
    return next(pool for pool in (NAMES, PEOPLE, POSES, ARROWS, LANDMARKS, STYLES) if thing.name in pool)


def _told(thing: Thing, field: str) -> str:
    return (
        {"side": side, "position": level}[field](thing) or "nothing"
        if field in ("side", "position")
        else getattr(thing, field)
    )


def tables(picture: Picture, rng: Random) -> list[Table]:
    """By name, by colour or by use: what there is of each; and the pairs that are written, both ways."""
    out = []
    pairs = _written(picture)
    if pairs:
        back = rng.random() < 0.5
        out.append(
            Table(
                "Tell name" if back else "Tell values",
                tuple(rng.sample([p[::-1] if back else p for p in pairs], len(pairs))),
            )
        )
    if picture.things:
        by = rng.choice(("name", "name", "color", "objects"))
        found = {
            t.name if by == "name" else t.color if by == "color" else USES[t.name]: t
            for t in unique(picture.things, "color" if by == "color" else "name")
            if by != "objects" or t.name in USES
        }
        pool = {"name": _pool(picture.things[0]), "color": tuple(COLORS), "objects": tuple(USES.values())}[by]
        taken = (
            {t.name for t in picture.things}
            | {t.color for t in picture.things}
            | {USES.get(t.name) for t in picture.things}
        )
        absent = [w for w in pool if w not in taken]
        fields = rng.sample(
            [f for f in ("color", "name", "size", "texture", "side", "position") if f != by], rng.choice((1, 2, 2, 3))
        )
        rows = [(word, " ".join(_told(t, f) for f in fields)) for word, t in found.items()]
        rows = rng.sample(rows, min(5, len(rows))) + [(w, "nothing") for w in rng.sample(absent, min(2, len(absent)))]
        rng.shuffle(rows)
        if rows:
            out.append(Table(f"Tell {' '.join(fields)} by {by}", tuple(rows)))
    return out


def checks(picture: Picture, rng: Random) -> list[Table]:
    """Words that are so and words that are not, each to be told a yes or a no."""
    out = []

    def check(title: str, right, wrong, most: int = 4) -> None:
        right, wrong = (list(dict.fromkeys(words)) for words in (right, wrong))
        right = rng.sample(right, min(most, len(right)))
        rows = [(w, "yes") for w in right]
        rows += (
            [(w, "no") for w in rng.sample([w for w in wrong if w not in right], min(max(2, len(right)), len(wrong)))]
            if wrong
            else []
        )
        rng.shuffle(rows)
        out.append(Table(f"Check {title}", tuple(rows)))

    things = picture.things
    if things:
        names = dict.fromkeys(t.name for t in things)
        pool = [n for n in (*_pool(things[0]), *(PARTNERS[n] for n in names if n in PARTNERS)) if n not in names]
        check("things", names, pool, 6)
        field, values = rng.choice(
            (("color", tuple(COLORS)), ("color", tuple(COLORS)), ("texture", TEXTURES), ("size", ("small", "large")))
        )
        so = dict.fromkeys(f"{getattr(t, field)} {t.name}" for t in things)
        near = [
            f"{v} {t.name}"
            for t in things
            for v in dict.fromkeys([*(getattr(o, field) for o in things), rng.choice(values)])
        ]
        check(f"{field} things", so, [w for w in near if w not in so], 5)
        named = unique(things, "name")
        apart = {
            f"{a.name} {b.name}": a.center[1] < b.center[1]
            for a in named
            for b in named
            if abs(a.center[1] - b.center[1]) >= 2
        }
        if apart:
            check("left", [pair for pair, so in apart.items() if so], [pair for pair, so in apart.items() if not so])
        if things[0].mood:
            check("position", [things[0].mood], [m for m in MOODS if m != things[0].mood])
        if picture.kind == "scene" and len(things) <= 6:
            check("objects", [str(len(things))], [c for c in COUNTS[:6] if c != str(len(things))])
    if picture.background in SCENES:
        check("places", [picture.background], [s for s in SCENES if s != picture.background])
    if picture.kind in ("sum", "code"):
        digits = [int(c) for c in picture.texts[0].string if c.isdigit()]
        check("values", [str(sum(digits))], [c for c in COUNTS if c != str(sum(digits))])
    if picture.kind == "foreign":
        check("color", [FOREIGN[picture.texts[0].string]], [c for c in COLORS if c != FOREIGN[picture.texts[0].string]])
    elif picture.kind == "sign":
        strings = [t.string for t in picture.texts]
        changed = [rng.choice("123456789" if s.isdigit() else "BDFGKLMNPRSTVZ") + s[1:] for s in strings]
        check("signs", strings, [s for s in changed if s not in strings])
    return [table for table in out if table.rows]


@lru_cache(maxsize=100_000)
def _tokens(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


class _Sequence:
    """One packed sequence as it is put together."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        head, self.turn = TEMPLATE.split("{text}")
        before, after = head.split("{image}")
        ids = [
            *tokenizer(before).input_ids,
            *[tokenizer.convert_tokens_to_ids("<image>")] * _IMAGE_TOKENS,
            *self.tokens(after),
        ]
        self.shared = len(ids)
        self.columns = {
            "ids": ids,
            "block": [0] * len(ids),
            "position": list(range(len(ids))),
            "target": [-100] * len(ids),
            "kind": [0] * len(ids),
        }
        self.number = 0

    def tokens(self, text: str) -> list[int]:
        return _tokens(self.tokenizer, text)

    def add(self, parts: list[tuple[list[int], str | None]], marks: dict[int, int] | None = None) -> None:
        """A block of `(tokens, kind)`, the kind None where they are given; left out where it does not fit."""
        ids = [t for tokens, _ in parts for t in tokens]
        kinds = [kind for tokens, kind in parts for _ in tokens]
        length = len(ids) - 1  # the last token is told, and tells nothing
        if len(self.columns["ids"]) + length > LENGTH:
            return
        self.number += 1
        target = [t if kind else -100 for t, kind in zip(ids[1:], kinds[1:], strict=True)]
        kind = [_KIND[kind] if kind else 0 for kind in kinds[1:]]
        for place, token in (marks or {}).items():
            target[place], kind[place] = token, _KIND["checks"]
        new = {
            "ids": ids[:-1],
            "block": [self.number] * length,
            "position": range(self.shared, self.shared + length),
            "target": target,
            "kind": kind,
        }
        for key, values in new.items():
            self.columns[key] += values

    def table(self, table: Table) -> None:
        parts = [(self.tokens(table.title + self.turn), None)]
        for given, told in table.rows:
            parts += [(self.tokens(given), None), (self.tokens(told), "checks" if told in ("yes", "no") else "tables")]
        self.add(parts)

    def question(self, q: Question) -> None:
        text = self.tokens((q.text if q.benchmark == "list" else prompt(q.benchmark, q.text, q.options)) + self.turn)
        answer = q.answer.lower() if q.answer in ("Yes", "No") else q.answer  # the tasks read both alike
        kind = (
            "letters"
            if q.options
            else "lists"
            if q.benchmark == "list"
            else "yes_no"
            if answer in ("yes", "no")
            else "answers"
        )
        self.add([(text, None), (self.tokens(answer), kind), ([self.tokenizer.eos_token_id], "ends")], self._marks(q))

    def _marks(self, q: Question) -> dict[int, int]:
        """At each option's last token, whether it is the right one."""
        ends = [len(self.tokens(with_options(q.text, q.options[: i + 1]))) - 1 for i in range(len(q.options))]
        yes, no = self.tokenizer.convert_tokens_to_ids(["yes", "no"])
        return {end: yes if letter == q.answer else no for end, letter in zip(ends, LETTERS, strict=False)}


def packed_questions(rng: Random, step: int, tokenizer, tables_from: int) -> tuple[Tensor, dict[str, list[int]]]:
    """A picture of the training's side of the split and its packed questions: ids, block numbers
    (0 is the image's), positions, targets and what kind each target is.

    Before step `tables_from` every picture is listed and there are no tables; from then on there
    are tables, and half of the lists.
    """
    # Scenes carry half of all benchmarks, and their questions are learnt last.
    picture = sample(rng, "scene" if rng.random() < 0.25 else draw_kind(rng), held_out=False)
    sequence = _Sequence(tokenizer)
    listed = lists(picture, rng)
    questions = [q for benchmark in TRAINED for q in ask(picture, benchmark, rng)]
    rng.shuffle(questions)
    if step < tables_from:
        dense = []
        questions = listed + questions
    else:
        dense = [table for table in (*checks(picture, rng), *tables(picture, rng)) if rng.random() < 0.7]
        questions = [q for q in listed if rng.random() < 0.5] + questions
    for table in dense:
        sequence.table(table)
    for q in questions:
        sequence.question(q)
    if step >= tables_from:
        for table in (*checks(picture, rng), *tables(picture, rng)):  # where there is room left
            sequence.table(table)
    return pixels(render(picture)), sequence.columns


def collate(batch) -> dict[str, Tensor]:
    """Pads every sequence on the right to one length, so that the decoder is compiled for one shape."""
    fill = {"ids": 0, "block": -1, "position": 0, "target": -100, "kind": 0}
    out = {
        key: torch.tensor([s[key] + [value] * (LENGTH - len(s[key])) for _, s in batch]) for key, value in fill.items()
    }
    out["pixels"] = torch.stack([image for image, _ in batch])
    return out


def block_mask(block: Tensor) -> Tensor:
    """`[batch, length]` block numbers -> boolean `[batch, 1, length, length]`: what each token may see."""
    query, key = block[:, :, None], block[:, None, :]
    causal = torch.ones(block.shape[1], block.shape[1], dtype=torch.bool, device=block.device).tril()
    return (causal & ((key == 0) | (key == query)))[:, None]


def answer_loss(model, features: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the answers' tokens given image `features` `[batch, 144, width]`.

    Returns the loss, weighted by `KINDS`, and the share of right tokens of each kind.
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
    said = batch["target"] != -100
    logits, target, kind = model.lm_head(hidden[said]).float(), batch["target"][said], batch["kind"][said]
    losses = F.cross_entropy(logits, target, reduction="none")
    weight = torch.tensor([weight for _, weight in KINDS], device=kind.device)[kind]
    right = (logits.argmax(-1) == target).float()
    figures = {name: right[kind == i].mean().item() for i, (name, _) in enumerate(KINDS) if (kind == i).any()}
    return (losses * weight).sum() / weight.sum(), figures
