"""The rendered world: the same for a seed, split from training, and asked in the tasks' own words."""

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from vtstudy.benchmarks import MMBENCH_CATEGORIES, MME_COGNITION, MME_PERCEPTION, WORLD
from vtstudy.training.language import KINDS as TARGETS
from vtstudy.training.language import LENGTH, block_mask, checks, packed_questions, tables
from vtstudy.training.tokenizer import build_processor, vocabulary
from vtstudy.training.tower import WORDS
from vtstudy.world.datasets import make_benchmark
from vtstudy.world.hub_rows import TABLES
from vtstudy.world.pictures import KINDS, sample
from vtstudy.world.prompts import prompt
from vtstudy.world.questions import SOURCES, ask
from vtstudy.world.scene import GROUPS, SIDE, dense_labels, render

pytestmark = pytest.mark.slow

LETTERS_KIND = [name for name, _ in TARGETS].index("letters")


@pytest.fixture(scope="module")
def processor():
    return build_processor(vocabulary())


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_the_same_for_a_seed_and_labelled(kind):
    a, b = (sample(Random(kind), kind, held_out=True) for _ in range(2))
    assert a == b and a.held_out and not sample(Random(kind), kind, held_out=False).held_out
    image = render(a)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 and (image == render(b)).all()
    labels = dense_labels(a)
    for group in GROUPS:
        assert set(labels[group].flat) - {""} <= set(WORDS[group])


@pytest.mark.parametrize("benchmark", SOURCES)
def test_a_data_set_is_balanced_and_the_same_for_a_seed(benchmark):
    items, pictures = make_benchmark(benchmark, 80, seed=7)
    again, _ = make_benchmark(benchmark, 80, seed=7)
    assert items == again and len(items) >= 80
    assert all(p.held_out and p.kind in SOURCES[benchmark].pictures for p in pictures.values())
    count = Counter(i.category for i in items)
    if benchmark == "mme":
        assert set(count) == {*MME_PERCEPTION, *MME_COGNITION}
        answers = Counter((i.category, i.image_id, i.answers) for i in items)
        assert set(answers.values()) == {1}
    if benchmark == "mmbench":
        assert set(count) == {c for group in MMBENCH_CATEGORIES.values() for c in group} and len(count) == 20
        assert max(count.values()) == min(count.values())
    if benchmark == "pope":
        assert len(set(count.values())) == 1 and {i.answers[0] for i in items} == {"yes", "no"}
    if benchmark in ("mme", "pope"):
        assert len(set(Counter(i.answers[0].lower() for i in items).values())) == 1


@pytest.mark.parametrize(
    ("benchmark", "asked"), [("mme", 84), ("mme", 112), ("mmbench", 40), ("mmbench", 100), ("pope", 60)]
)
def test_the_first_questions_are_of_all_categories_alike(benchmark, asked):
    items, _ = make_benchmark(benchmark, 300, seed=7)
    counts = Counter(item.category for item in items[:asked])
    images = {(item.category, item.image_id) for item in items[:asked]}
    assert set(counts) == {item.category for item in items}
    assert max(counts.values()) - min(counts.values()) <= 2  # a picture of POPE or MME has two questions
    assert min(Counter(category for category, _ in images).values()) >= 2  # a category needs two for an interval
    if benchmark == "mme":
        assert {sum(item.image_id == image for item in items[:asked]) for _, image in images} == {2}


def test_questions_are_answered_by_what_the_picture_holds():
    """Every yes/no question about existence and every count, checked against the picture itself."""
    rng, checked = Random(3), 0
    for _ in range(200):
        picture = sample(rng, "scene", held_out=True)
        names = {t.name for t in picture.things}
        for q in ask(picture, "pope", rng):
            assert (q.text.split()[3] in names) == (q.answer == "yes")
            checked += 1
        for q in ask(picture, "mme", rng):
            if q.category == "count":
                assert (q.text.split()[-1] == f"{len(picture.things)}?") == (q.answer == "Yes")
                checked += 1
        for q in ask(picture, "mmbench", rng):
            assert len(set(q.options)) == len(q.options) >= 2
            if q.category == "attribute_recognition":
                color = q.options["ABCD".index(q.answer)]
                assert [t.color for t in picture.things if t.name == q.text.split()[-1][:-1]] == [color]
                checked += 1
    assert checked > 500


@pytest.mark.exhaustive
def test_the_vocabulary_covers_all_that_is_asked_and_answered(processor):
    rng, unknown = Random(5), processor.tokenizer.unk_token_id
    for kind in KINDS:
        for _ in range(30):
            picture = sample(rng, kind, held_out=True)
            for benchmark in SOURCES:
                for q in ask(picture, benchmark, rng):
                    ids = processor.tokenizer(prompt(benchmark, q.text, q.options) + " " + q.answer).input_ids
                    assert unknown not in ids, q
                    answer = processor.tokenizer(q.answer, add_special_tokens=False).input_ids
                    assert processor.tokenizer.decode(answer) == q.answer


def test_pictures_that_show_the_same_are_on_one_side_of_the_split():
    """Equal pixels mean equal fingerprints, whatever the picture was drawn as."""
    rng, seen = Random(13), {}
    for _ in range(100):
        for kind in KINDS:
            picture = sample(rng, kind, held_out=rng.random() < 0.5)
            other = seen.setdefault(render(picture).tobytes(), picture)
            assert other.fingerprint == picture.fingerprint
    plain = replace(sample(rng, "page", held_out=False), seed=1)
    assert plain.fingerprint == replace(plain, seed=2, kind="sign", texts=plain.texts[::-1]).fingerprint
    assert replace(plain, clutter=9).fingerprint != replace(plain, clutter=9, seed=2).fingerprint


def blocks(columns):
    """The packed sequence's blocks after the image: lists of (token, position, target, kind)."""
    out = {}
    for token, block, position, target, kind in zip(
        *(columns[k] for k in ("ids", "block", "position", "target", "kind")), strict=True
    ):
        out.setdefault(block, []).append((token, position, target, kind))
    return out


def test_packing_trains_each_question_as_it_is_evaluated(processor):
    """A block's ids and positions are those of the question alone, and it sees no other block."""
    tokenizer = processor.tokenizer
    turn = tokenizer("Assistant:", add_special_tokens=False).input_ids
    checked = 0
    for seed in range(12):
        image, columns = packed_questions(Random(seed), seed % 2, tokenizer, 1)
        assert len(columns["ids"]) <= LENGTH and len(set(map(len, columns.values()))) == 1
        found = blocks(columns)
        shared = found.pop(0)
        picture = Image.fromarray(((image.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())
        for block in found.values():
            tokens = [token for token, *_ in block]
            if block[-1][2] != tokenizer.eos_token_id:
                continue  # a table, which no benchmark asks
            split = max(i for i in range(len(tokens)) if tokens[i - 1 : i + 1] == turn) - 1
            message = [
                {
                    "role": "user",
                    "content": [
                        {"type": "image"},
                        {"type": "text", "text": " ".join(tokenizer.convert_ids_to_tokens(tokens[:split]))},
                    ],
                }
            ]
            text = processor.apply_chat_template(message, add_generation_prompt=True)
            alone = processor(images=[picture], text=[text], return_tensors="pt").input_ids[0].tolist()
            assert [token for token, *_ in shared] + tokens[: split + 2] == alone
            assert [position for _, position, *_ in block] == list(range(len(shared), len(shared) + len(block)))
            assert [target for *_, target, _ in block][split + 1 :] == [*tokens[split + 2 :], tokenizer.eos_token_id]
            checked += 1
        mask = block_mask(torch.tensor([columns["block"]]))[0, 0]
        rows = torch.tensor([i for i, b in enumerate(columns["block"]) if b == 2])
        assert {columns["block"][i] for i in mask[rows].any(0).nonzero().flatten()} == {0, 2}
        assert not mask.triu(1).any()
    assert checked > 20


def test_dense_targets_tell_what_the_picture_holds(processor):
    """Checks of things and the marks behind options, against the picture itself."""
    rng, checked = Random(17), 0
    for _ in range(60):
        picture = sample(rng, "scene", held_out=False)
        names = {t.name for t in picture.things}
        for table in checks(picture, rng):
            if table.title == "Check things":
                assert all((word in names) == (said == "yes") for word, said in table.rows)
                checked += len(table.rows)
        for table in tables(picture, rng):
            fields, by = table.title.removeprefix("Tell ").split(" by ")
            for word, told in table.rows:
                if by == "name" and told != "nothing":
                    (thing,) = (t for t in picture.things if t.name == word)
                    for field, value in zip(fields.split(), told.split(), strict=True):
                        assert field in ("side", "position") or getattr(thing, field) == value
                        checked += 1
    yes, no = processor.tokenizer.convert_tokens_to_ids(["yes", "no"])
    for seed in range(20):
        for block in blocks(packed_questions(Random(seed), 1, processor.tokenizer, 1)[1]).values():
            if LETTERS_KIND in [kind for *_, target, kind in block if target != -100]:
                marks = [target for *_, target, kind in block if target in (yes, no)]
                letter = processor.tokenizer.convert_ids_to_tokens(block[-2][2])
                assert marks.index(yes) == "ABCD".index(letter) and marks.count(yes) == 1
                checked += 1
    assert checked > 300


def test_every_benchmark_of_the_schemas_has_questions():
    assert set(SOURCES) == set(TABLES) == set(WORLD)
