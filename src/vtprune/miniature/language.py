"""Stage two of training: the language model learns to answer, with the tower frozen.

A picture's questions are packed into one sequence: the image once, then a block a question,
which sees the image and itself alone (mask) and stands where it would stand by itself
(positions). So each question is trained exactly as it will be evaluated, and the image is
computed once for all of them. Beside the benchmarks' questions each picture has *dense targets*:
everything in it, listed, in several orders.
"""

from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from .pictures import NAMES, sample
from .prompts import TEMPLATE, prompt
from .questions import QUESTIONS, Question, ask
from .sprites import COLORS
from .tower import draw_kind, pixels
from .world import GRID, Picture, render

TOKENS = 352  # of one picture's questions and answers, the image not counted
LENGTH = 512  # of a packed sequence, padding included
_IMAGE_TOKENS = GRID * GRID


def listings(picture: Picture, rng: Random) -> list[Question]:
    """The dense targets: one order of the picture's objects, and its writing or values."""
    out = []
    if picture.things:
        order = rng.choice(("name", "color", "position"))
        things = sorted(picture.things, key=lambda t: (t.row, t.column))
        forms = {"name": "{0.name} {0.color} {0.size} {0.texture}", "color": "{0.color} {0.name} {0.texture} {0.size}"}
        forms["position"] = "row{0.row} column{0.column} {0.size} {0.color} {0.name}"
        out.append(Question("list", f"List objects by {order}", " , ".join(forms[order].format(t) for t in things)))
    if picture.kind == "sign":
        lines = sorted(picture.texts, key=lambda t: (t.row, t.column))
        out.append(Question("list", "List signs", " , ".join(f"{t.panel} {t.string}" for t in lines)))
    if picture.kind == "page":
        pairs = [t.string.split() for t in picture.texts]
        out.append(Question("list", "List lines", " , ".join(f"{field.lower()} {value}" for field, value in pairs)))
    elif picture.texts and picture.kind != "sign":
        out.append(Question("list", "List lines", " , ".join(t.string for t in picture.texts)))
    if picture.chart:
        out.append(Question("list", "List values", " , ".join(f"{c} {v}" for c, v in zip(picture.chart.colors, picture.chart.values, strict=True))))
    return out


def lookups(picture: Picture, rng: Random) -> list[Question]:
    """The smallest questions: a word, and what the picture shows beside it (or "nothing").

    They teach to find a thing by its name or colour, which longer questions build on; without them
    lists were learnt long before any question that names a thing.
    """
    out: list[tuple[str, str]] = []
    if picture.things:
        for field, form in (("name", "{0.color} {0.size} {0.texture}"), ("color", "{0.name} {0.size} {0.texture}")):
            present = sorted({getattr(t, field) for t in picture.things})
            pool = NAMES if field == "name" else COLORS
            absent = [w for w in pool if w not in present]
            for word in rng.sample(present, min(3, len(present))) + rng.sample(absent, min(2, len(absent))):
                found = [form.format(t) for t in picture.things if getattr(t, field) == word]
                out.append((f"List {word}", " , ".join(found) or "nothing"))
                if field == "name":
                    out.append((f"Is there a {word}?", "yes" if found else "no"))
        for thing in picture.things[:3]:
            colors = {t.color for t in picture.things if t.name == thing.name}
            color = rng.choice((thing.color, rng.choice(list(COLORS))))
            out.append((f"Is the {thing.name} {color}?", "yes" if color in colors else "no"))
    if picture.kind == "sign":
        out += [(f"List {t.panel}", t.string) for t in picture.texts]
    if picture.kind == "page":
        out += [(f"List {field.lower()}", value) for field, value in (t.string.split() for t in picture.texts)]
    if picture.chart:
        out += [(f"List {c}", str(v)) for c, v in zip(picture.chart.colors, picture.chart.values, strict=True)]
    rng.shuffle(out)
    return [Question("find", text, answer) for text, answer in out[:12]]


def pack(questions: list[Question], tokenizer) -> dict[str, list[int]]:
    """One sequence of `questions`: ids, block numbers (0 is the image's), positions and targets."""
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    head, _ = TEMPLATE.split("{text}")
    before, after = head.split("{image}")
    ids = [*tokenizer(before).input_ids, *[image_id] * _IMAGE_TOKENS, *tokenizer(after, add_special_tokens=False).input_ids]
    shared = len(ids)
    out = {"ids": ids, "block": [0] * shared, "position": list(range(shared)), "target": [-100] * shared, "dense": [0] * shared}
    texts = [prompt(q.benchmark, q.text, q.options) + TEMPLATE.split("{text}")[1] for q in questions]
    asked = tokenizer(texts, add_special_tokens=False).input_ids
    answers = tokenizer([q.answer for q in questions], add_special_tokens=False).input_ids
    number = 0
    for q, question, answer in zip(questions, asked, answers, strict=True):
        answer = [*answer, tokenizer.eos_token_id]
        length = len(question) + len(answer) - 1
        if len(out["ids"]) - shared + length > TOKENS:
            continue
        number += 1
        out["ids"] += question + answer[:-1]
        out["block"] += [number] * length
        out["position"] += range(shared, shared + length)
        out["target"] += [-100] * (len(question) - 1) + answer
        out["dense"] += [{"list": 1, "find": 2}.get(q.benchmark, 0)] * length
    return out


class PackedQuestions(torch.utils.data.IterableDataset):
    """An endless stream of pictures with their packed questions, from the training's side of the split."""

    def __init__(self, tokenizer, seed: int, start: int, lookups_from: int, scenes_from: int):
        self.tokenizer, self.seed, self.start = tokenizer, seed, start
        self.lookups_from, self.scenes_from = lookups_from, scenes_from

    def __iter__(self):
        step = self.start
        while True:
            rng = Random(f"language-{self.seed}-{step}")
            # Scenes carry half of all benchmarks, and their questions are learnt last.
            kind = "scene" if step >= self.scenes_from and rng.random() < 0.4 else draw_kind(rng)
            picture = sample(rng, kind, held_out=False)
            questions = [q for benchmark in QUESTIONS for q in ask(picture, benchmark, rng) if benchmark != "flickr30k"]
            rng.shuffle(questions)
            dense = listings(picture, rng)
            if step >= self.lookups_from:
                if rng.random() < 0.5:  # answers of one bit teach least, so they come first
                    questions.sort(key=lambda q: q.answer.lower() not in ("yes", "no"))
                dense = dense * (rng.random() < 0.5) + lookups(picture, rng)
            yield pixels(render(picture)), pack([*dense, *questions], self.tokenizer)
            step += 1


def collate(batch) -> dict[str, Tensor]:
    """Pads every sequence on the right to 512, so that the decoder is compiled for one shape."""
    longest = LENGTH
    fill = {"ids": 0, "block": -1, "position": 0, "target": -100, "dense": 0}
    out = {key: torch.tensor([s[key] + [value] * (longest - len(s[key])) for _, s in batch]) for key, value in fill.items()}
    out["pixels"] = torch.stack([image for image, _ in batch])
    return out


def block_mask(block: Tensor) -> Tensor:
    """`[batch, length]` block numbers -> boolean `[batch, 1, length, length]`: what each token may see."""
    query, key = block[:, :, None], block[:, None, :]
    causal = torch.ones(block.shape[1], block.shape[1], dtype=torch.bool, device=block.device).tril()
    return (causal & ((key == 0) | (key == query)))[:, None]


def answer_loss(model, features: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the answers' tokens given image `features` `[batch, 144, width]`.

    Lists count half, so that the many tokens of a list do not drown the answers.
    """
    decoder = model.model.language_model
    embeddings = decoder.embed_tokens(batch["ids"])
    start = int((batch["ids"][0] == model.config.image_token_id).nonzero()[0])
    embeddings = torch.cat([embeddings[:, :start], features.to(embeddings.dtype), embeddings[:, start + features.shape[1] :]], dim=1)
    hidden = decoder(
        inputs_embeds=embeddings, attention_mask=block_mask(batch["block"]), position_ids=batch["position"], use_cache=False
    ).last_hidden_state
    said = batch["target"] != -100
    logits, target, dense = model.lm_head(hidden[said]).float(), batch["target"][said], batch["dense"][said]
    losses = F.cross_entropy(logits, target, reduction="none")
    weight = torch.where(dense == 1, 0.5, 1.0)
    right = (logits.argmax(-1) == target).float()
    kinds = {"answers": 0, "lists": 1, "lookups": 2}
    figures = {name: right[dense == k].mean().item() for name, k in kinds.items() if (dense == k).any()}
    return (losses * weight).sum() / weight.sum(), figures
