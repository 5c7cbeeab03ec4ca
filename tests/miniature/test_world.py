"""The rendered world: the same for a seed, split from training, and asked in the tasks' own words."""

from collections import Counter
from random import Random

import numpy as np
import pytest

from vtprune.miniature.datasets import make_benchmark
from vtprune.miniature.hub_schemas import BENCHMARKS, MMBENCH_ABILITIES, MME_COGNITION, MME_PERCEPTION
from vtprune.miniature.language import block_mask, listings, pack
from vtprune.miniature.pictures import KINDS, sample
from vtprune.miniature.prompts import prompt
from vtprune.miniature.questions import QUESTIONS, SOURCES, ask
from vtprune.miniature.tokenizer import build_processor, vocabulary
from vtprune.miniature.tower import WORDS
from vtprune.miniature.world import GROUPS, SIDE, dense_labels, render


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


@pytest.mark.parametrize("benchmark", QUESTIONS)
def test_a_data_set_is_balanced_and_the_same_for_a_seed(benchmark):
    items, pictures = make_benchmark(benchmark, 80, seed=7)
    again, _ = make_benchmark(benchmark, 80, seed=7)
    assert items == again and len(items) >= 80
    assert all(p.held_out and p.kind in SOURCES[benchmark] for p in pictures.values())
    count = Counter(i.category for i in items)
    if benchmark == "mme":
        assert set(count) == {*MME_PERCEPTION, *MME_COGNITION}
        answers = Counter((i.category, i.image_id, i.answers) for i in items)
        assert set(answers.values()) == {1}
    if benchmark == "mmbench":
        assert set(count) == {c for group in MMBENCH_ABILITIES.values() for c in group} and len(count) == 20
        assert max(count.values()) == min(count.values())
    if benchmark == "pope":
        assert len(set(count.values())) == 1 and {i.answers[0] for i in items} == {"yes", "no"}
    if benchmark in ("mme", "pope"):
        assert len(set(Counter(i.answers[0].lower() for i in items).values())) == 1


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


def test_the_vocabulary_covers_all_that_is_asked_and_answered(processor):
    rng, unknown = Random(5), processor.tokenizer.unk_token_id
    for kind in KINDS:
        for _ in range(30):
            picture = sample(rng, kind, held_out=True)
            for benchmark in QUESTIONS:
                for q in ask(picture, benchmark, rng):
                    ids = processor.tokenizer(prompt(benchmark, q.text, q.options) + " " + q.answer).input_ids
                    assert unknown not in ids, q
                    answer = processor.tokenizer(q.answer, add_special_tokens=False).input_ids
                    assert processor.tokenizer.decode(answer) == q.answer


def test_packing_trains_each_question_as_it_is_evaluated(processor):
    """A block's ids and positions are those of the question alone, and it sees no other block."""
    rng = Random(11)
    picture = sample(rng, "scene", held_out=False)
    questions = [*listings(picture, rng), *ask(picture, "vqav2", rng), *ask(picture, "gqa", rng)]
    packed = pack(questions, processor.tokenizer)
    q = questions[1]
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt(q.benchmark, q.text)}]}]
    text = processor.apply_chat_template(message, add_generation_prompt=True) + " " + q.answer
    alone = processor(images=[render(picture)], text=[text], return_tensors="pt").input_ids[0].tolist()
    shown = [i for i, b in enumerate(packed["block"]) if b in (0, 2)]
    assert [packed["ids"][i] for i in shown] == alone[: len(shown)]
    assert [packed["position"][i] for i in shown] == list(range(len(shown)))
    import torch

    mask = block_mask(torch.tensor([packed["block"]]))[0, 0]
    rows = torch.tensor([i for i, b in enumerate(packed["block"]) if b == 2])
    seen = mask[rows].any(0).nonzero().flatten().tolist()
    assert {packed["block"][i] for i in seen} == {0, 2}
    assert not mask.triu(1).any()


def test_every_benchmark_of_the_schemas_has_questions():
    assert set(QUESTIONS) == set(SOURCES) == set(BENCHMARKS)
