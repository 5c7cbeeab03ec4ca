"""Variants are answered and scored through lmms-eval's own tasks, by a tiny model with random weights."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vtprune.errors import UserError
from vtprune.methods import AdaptPrune, FastV, NoPruning, PyramidDrop, RandomPruning
from vtstudy.evaluation import answering
from vtstudy.evaluation.answer_cache import Answer, AnswerCache
from vtstudy.evaluation.bootstrap import bootstrap, estimate
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.evaluation.scoring import parts_of

pytestmark = pytest.mark.slow

NAMES = ["pope", "mme", "mmbench", "flickr30k", "vqav2"]
TOGETHER = [
    Variant(FastV(0.25)),
    Variant(NoPruning()),
    Variant(AdaptPrune(0.25)),
    Variant(RandomPruning(0.5, layer=1)),
    Variant(NoPruning(), "blank"),
    Variant(RandomPruning(0.25)),
    Variant(FastV(0.25), "blank"),
]


@pytest.fixture(scope="module")
def evaluator(checkpoint, data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return Evaluator(checkpoint, data, cache=cache, batch_size=8, max_new_tokens=4, device="cpu")


@pytest.fixture
def fresh(evaluator, tmp_path, monkeypatch):
    """The evaluator with an empty cache of answers."""
    monkeypatch.setattr(evaluator, "cache", AnswerCache(tmp_path / "fresh"))
    return evaluator


@pytest.fixture
def calls(monkeypatch):
    """How many questions each method answered each time."""
    made = []

    def counted(checkpoint, questions, methods, arguments, inputs):
        for index, answers in original(checkpoint, questions, methods, arguments, inputs):
            made.append(len(questions))
            yield index, answers

    original = answering.answer_batch
    monkeypatch.setattr(answering, "answer_batch", counted)
    return made


def requests(*variants, benchmarks=("pope",), limit=None, tokens=False):
    return [Request(variant, name, limit, tokens) for variant in variants for name in benchmarks]


def files(evaluator) -> dict[str, list[str]]:
    """By method and key, all lines of its files but the first of each; files' names are random."""
    found = {}
    for path in sorted(evaluator.cache.folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
        found.setdefault(path.name.split(".")[0], []).extend(path.read_text().splitlines()[1:])
    return found


def texts(evaluator, variant, benchmark="pope", limit=None) -> list[str]:
    return [answer.text for answer in evaluator.answers(Request(variant, benchmark, limit))]


def all_scores(evaluator, variant, names=NAMES):
    return {key: scores for name in names for key, scores in evaluator.scores(variant, name).items()}


# ---- scores


def test_scores_reproduce_the_aggregates(evaluator):
    evaluator.answer(requests(Variant(FastV(0.25)), benchmarks=NAMES))
    scores = all_scores(evaluator, Variant(FastV(0.25)))
    assert list(scores) == ["pope", "mme", "mme_cognition", "mmbench", "flickr30k", "vqav2"]
    assert [scores[name].questions for name in scores] == [24, 20, 8, 20, 4, 4]
    assert len(scores["mme"].units) == 10 and len(np.unique(scores["mme"].strata)) == 10
    for name in scores:
        assert estimate(scores[name].values, scores[name].strata) == pytest.approx(scores[name].value)


def test_units_know_their_images(evaluator):
    """POPE asks six questions about each of four images; a pair of MME's shows one, of a stratum of its own here."""
    scores = all_scores(evaluator, Variant(FastV(0.25)))
    assert np.array_equal(scores["pope"].images, np.repeat(np.arange(4), 6))
    assert [len(np.unique(scores[name].images)) for name in scores] == [4, 10, 4, 20, 4, 4]
    mmbench = scores["mmbench"]
    for part in parts_of(mmbench).values():
        assert part.images.tolist() == [mmbench.images[mmbench.units.index(unit)] for unit in part.units]
    # Each of MME's sub-tasks shows a single image here, so nothing says how much its score varies.
    drawn = {
        name: bootstrap(s.values[:, None], s.strata, s.images, resamples=20, seed=0, name=name)
        for name, s in scores.items()
    }
    assert [np.isfinite(drawn[name]).all() for name in scores] == [True, False, False, True, True, True]


def test_one_answer_to_every_question(evaluator):
    """It scores half of POPE, 50 of each MME sub-task, and CIDEr of the caption's own image."""
    scores = {key: scores for name in NAMES for key, scores in evaluator.constant(name).items()}
    assert (scores["pope"].value, scores["mme"].value, scores["mme_cognition"].value) == (50, 500, 200)
    assert scores["vqav2"].value == pytest.approx(25) and scores["flickr30k"].value > 50
    assert (scores["flickr30k"].values > 0).any() and scores["mmbench"].value > 30


def test_chance_is_of_the_questions_asked(evaluator):
    """Guesses where a question offers answers, for the parts too; one answer to every question where it does not."""
    chance = {key: value for name in NAMES for key, value in evaluator.chance(name).items()}
    assert (chance["pope"], chance["mme"], chance["mme_cognition"]) == (50, 750, 300)
    for name in ("vqav2", "flickr30k"):
        assert chance[name] == evaluator.constant(name)[name].value
    for name, key in (("mme", "mme"), ("mme", "mme_cognition"), ("mmbench", "mmbench")):
        assert set(parts_of(evaluator.constant(name)[key])) <= set(chance)


def test_a_limit_asks_the_first_questions(evaluator):
    first = evaluator.scores(Variant(FastV(0.25)), "pope", 10)["pope"]
    everything = evaluator.scores(Variant(FastV(0.25)), "pope")["pope"]
    assert first.questions == 10 and np.array_equal(first.values, everything.values[:10])
    assert len(evaluator.questions("pope", 10)) == len(list(evaluator.prompts("pope", 10))) == 10


def test_scores_of_stored_answers_need_neither_the_model_nor_lmms_eval(evaluator, checkpoint, data):
    evaluator.answer(requests(Variant(FastV(0.25)), benchmarks=NAMES, tokens=True))
    expected = {name: scores.value for name, scores in all_scores(evaluator, Variant(FastV(0.25))).items()}
    chance = {name: evaluator.chance(name) for name in NAMES}
    program = textwrap.dedent("""
        import json, sys
        from vtprune.methods import FastV
        from vtstudy.evaluation.harness import Evaluator
        from vtstudy.evaluation.requests import Request, Variant
        checkpoint, data, cache, *names = sys.argv[1:]
        evaluator = Evaluator(checkpoint, data, cache=cache, batch_size=8, max_new_tokens=4, device="cpu")
        variant = Variant(FastV(0.25))
        made = evaluator.answer([Request(variant, name, tokens=True) for name in names])
        scores = {key: s.value for name in names for key, s in evaluator.scores(variant, name).items()}
        chance = {name: evaluator.chance(name) for name in names}
        tokens = [evaluator.tokens(variant, name).shape for name in names]
        loaded = [name for name in ("lmms_eval", "datasets") if name in sys.modules]
        print(json.dumps([made, scores, chance, loaded, "_loaded" in vars(evaluator.checkpoint)]))
    """)
    arguments = [str(checkpoint), str(data), str(evaluator.cache.folder), *NAMES]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, expected, chance, [], False]


# ---- answers


def test_a_batch_answers_as_single_questions_do(checkpoint, data, tmp_path, evaluator, monkeypatch):
    variants = [Variant(AdaptPrune(0.25)), Variant(RandomPruning(0.25)), Variant(NoPruning(), "blank")]
    single = Evaluator(checkpoint, data, cache=tmp_path, batch_size=1, max_new_tokens=4, device="cpu")
    monkeypatch.setattr(single, "tasks", evaluator.tasks)
    different = set()
    for variant in variants:
        for name in ("pope", "mmbench"):
            assert texts(single, variant, name) == texts(evaluator, variant, name)
            different |= set(texts(single, variant, name))
    assert len(different) > 10


def test_stored_answers_are_not_made_again(evaluator, calls):
    first = evaluator.scores(Variant(FastV(0.5)), "pope")
    assert sum(calls) == 24
    again = evaluator.scores(Variant(FastV(0.5)), "pope")
    assert sum(calls) == 24 and np.array_equal(first["pope"].values, again["pope"].values)
    evaluator.answer(requests(Variant(FastV(0.5), "blank")))
    evaluator.answer(requests(Variant(FastV(0.5, layer=1))))
    assert sum(calls) > 48


def test_one_pass_gives_the_answers_of_several(fresh, monkeypatch, tmp_path, calls):
    fresh.answer(requests(*TOGETHER, benchmarks=("pope", "vqav2")))
    stored = files(fresh)
    methods = {json.dumps(variant.method.signature()) for variant in TOGETHER}
    assert len(stored) == len(methods)
    together = {variant: (texts(fresh, variant), texts(fresh, variant, "vqav2")) for variant in TOGETHER}
    monkeypatch.setattr(fresh, "cache", AnswerCache(tmp_path / "apart"))
    for benchmark in ("pope", "vqav2"):
        for mode in ("shown", "blank"):
            for variant in TOGETHER:
                if variant.image == mode:
                    fresh.answer(requests(variant, benchmarks=[benchmark]))
    assert together == {variant: (texts(fresh, variant), texts(fresh, variant, "vqav2")) for variant in TOGETHER}
    assert files(fresh) == stored  # byte for byte, so that either goes on where the other stopped
    calls.clear()
    assert fresh.answer(requests(*TOGETHER, benchmarks=("pope", "vqav2"))) == 0
    assert not calls and files(fresh) == stored


def test_nested_limits_are_answered_in_parts(fresh, calls):
    """The first 10 questions of both variants together, then the other 10 of the variant without a limit."""
    few, many = Variant(AdaptPrune(0.25)), Variant(FastV(0.25))
    asked = [Request(few, "mmbench", 10), Request(many, "mmbench"), Request(many, "mmbench", 10)]
    assert fresh.answer(asked) == 10 + 20 == sum(calls)
    assert sorted(calls) == sorted([8, 2, 8, 2, 8, 2])
    assert fresh.answer(asked) == 0


@pytest.mark.parametrize("made", [1, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)])
def test_a_killed_pass_resumes_with_the_same_batches(fresh, monkeypatch, tmp_path, calls, made):
    asked = requests(Variant(NoPruning()), Variant(AdaptPrune(0.25)), Variant(RandomPruning(0.5, layer=1)))
    fresh.answer(asked)
    complete = files(fresh)
    assert calls == [8] * 9

    original = answering.answer_batch

    def killed(*arguments):
        for answers in original(*arguments):
            if len(calls) > made:
                raise KeyboardInterrupt
            yield answers

    monkeypatch.setattr(fresh, "cache", AnswerCache(tmp_path / "killed"))
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(answering, "answer_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            fresh.answer(asked)
    calls.clear()
    assert fresh.answer(asked) == 8 * (9 - made)
    assert calls == [8] * (9 - made) and files(fresh) == complete


def test_a_line_that_was_cut_off_is_answered_again(fresh, calls):
    fresh.answer(requests(Variant(RandomPruning(0.5))))
    (path,) = fresh.cache.folder.glob("*.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    fresh.cache = AnswerCache(fresh.cache.folder)
    calls.clear()
    fresh.answer(requests(Variant(RandomPruning(0.5))))
    assert calls == [8] and path.read_bytes() == content[:-20]
    (other,) = set(fresh.cache.folder.glob("*.jsonl")) - {path}
    assert other.read_bytes().splitlines()[1:] == content.splitlines()[-1:]


def test_a_batch_that_lacks_answers_is_computed_whole(fresh, monkeypatch, tmp_path, calls, caplog):
    variant = Variant(AdaptPrune(0.5))
    fresh.answer(requests(variant, benchmarks=["mmbench"]))
    expected = texts(fresh, variant, "mmbench")
    digests = fresh.questions("mmbench").digests["shown"]
    (path,) = fresh.cache.folder.glob("*.jsonl")
    identity = json.loads(path.read_text().splitlines()[0])["identity"]
    del identity["format"]
    stored = dict(fresh.cache.read(identity))
    monkeypatch.setattr(fresh, "cache", AnswerCache(tmp_path / "partly"))
    with fresh.cache.open([identity]) as (file,):
        file.add({digest: stored[digest] for digest in digests[:3]})
        file.add({digests[9]: Answer("something else", stored[digests[9]].tokens)})
    calls.clear()
    fresh.answer(requests(variant, benchmarks=["mmbench"]))
    assert calls == [8, 8, 4]
    expected[9] = "something else"
    assert texts(fresh, variant, "mmbench") == expected
    assert caplog.text.count("differ") == 1


def test_tokens_come_with_the_answers(fresh, calls):
    """FastV keeps 4 of 16 tokens from layer 2 of 4 on; counts that are missing are made by answering again."""
    fastv, pyramid, unpruned = Variant(FastV(0.25)), Variant(PyramidDrop(0.25)), Variant(NoPruning())
    fresh.answer(requests(fastv, pyramid, unpruned, tokens=True))
    made = len(calls)
    assert fresh.tokens(fastv, "pope").tolist() == [[4, 10]] * 24
    assert fresh.tokens(unpruned, "pope").tolist() == [[16, 16]] * 24
    remaining, average = fresh.tokens(pyramid, "pope", 10).T
    assert len(remaining) == 10 and (remaining == 4).all() and ((average > 4) & (average < 16)).all()
    assert len(calls) == made


def test_answers_without_counts_are_answered_again_where_counts_are_wanted(fresh, calls, monkeypatch, tmp_path):
    variant = Variant(FastV(0.25))
    fresh.answer(requests(variant))
    (path,) = fresh.cache.folder.glob("*.jsonl")
    identity = json.loads(path.read_text().splitlines()[0])["identity"]
    del identity["format"]
    stored = dict(fresh.cache.read(identity))
    monkeypatch.setattr(fresh, "cache", AnswerCache(tmp_path / "imported"))
    with fresh.cache.open([identity]) as (file,):
        file.add({digest: answer._replace(tokens=None) for digest, answer in stored.items()})
    calls.clear()
    assert fresh.answer(requests(variant)) == 0
    # The first batch of eight answers them: the second repeats two of its questions.
    assert set(fresh.questions("pope", 10).digests["shown"][8:]) <= set(fresh.questions("pope", 8).digests["shown"])
    assert fresh.answer(requests(variant, limit=10, tokens=True)) == 8
    assert fresh.tokens(variant, "pope", 10).tolist() == [[4, 10]] * 10


# ---- failures


def test_failures_stop_the_run(evaluator, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("out of memory, say")

    monkeypatch.setattr(answering, "answer_batch", broken)
    with pytest.raises(RuntimeError, match="out of memory, say"):
        evaluator.answer(requests(Variant(FastV(0.75))))


def test_a_question_without_an_image_is_refused(checkpoint, data, tmp_path, evaluator, monkeypatch):
    other = Evaluator(checkpoint, data, cache=tmp_path, batch_size=8, max_new_tokens=4, device="cpu")
    monkeypatch.setattr(other, "tasks", evaluator.tasks)
    monkeypatch.setattr(evaluator.tasks.task("vqav2").config, "doc_to_visual", lambda doc: [])
    with pytest.raises(EvaluationError, match="question 0 of task vqav2_val has no image"):
        other.answer(requests(Variant(FastV(0.75)), benchmarks=["vqav2"]))


def test_questions_that_change_are_not_answered(evaluator, monkeypatch):
    evaluator.questions("vqav2")
    image = Image.new("RGB", (24, 24), "purple")
    monkeypatch.setattr(evaluator.tasks.task("vqav2").config, "doc_to_visual", lambda doc: [image])
    with pytest.raises(EvaluationError, match="changed"):
        evaluator.answer(requests(Variant(FastV(0.9)), benchmarks=["vqav2"]))


def test_a_layer_beyond_the_model_is_refused(evaluator):
    with pytest.raises(UserError, match="layer must lie between 1 and 3"):
        evaluator.answer(requests(Variant(FastV(0.5, layer=9))))


def test_the_identity_names_what_answers_depend_on(evaluator):
    variant = Variant(AdaptPrune(0.3, reading="as_written"))
    identity = answering.identity(evaluator.checkpoint, variant.method, {"max_new_tokens": 4})
    assert identity["method"]["reading"] == "as_written" and identity["generation"] == {"max_new_tokens": 4}
    assert identity["checkpoint"] == evaluator.checkpoint.digest
    assert {"dtype", "attention", "device", "software"} < set(identity)
    other = replace(variant.method, reading="as_published")
    assert answering.identity(evaluator.checkpoint, other, {"max_new_tokens": 4}) != identity
    assert "RANK" not in os.environ
