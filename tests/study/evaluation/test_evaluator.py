"""Cells through lmms-eval's own tasks, on a tiny model with random weights."""

import json

import numpy as np
import pytest
from PIL import Image

from vtprune.methods import AdaptPrune, FastV, NoPruning, RandomPruning
from vtstudy.benchmarks import BENCHMARKS
from vtstudy.evaluation import lmms_model as plugin
from vtstudy.evaluation.answer_cache import PredictionStore
from vtstudy.evaluation.bootstrap import bootstrap, estimate
from vtstudy.evaluation.errors import EvaluationError, StoreError
from vtstudy.evaluation.generation import batches, generation_arguments
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Variant
from vtstudy.evaluation.scoring import parts_of, scores_of

NAMES = ["pope", "mme", "mmbench", "flickr30k", "vqav2"]


@pytest.fixture(scope="module")
def evaluator(checkpoint, data, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return Evaluator(checkpoint, data, store=store, batch_size=8, max_new_tokens=4, device="cpu")


def stored(evaluator) -> dict[str, dict]:
    found = {}
    for path in evaluator.store.folder.glob("*.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        answers = {doc: text for record in records[1:] for doc, _, text in record["answers"]}
        found[path.name] = {"identity": records[0]["identity"], "answers": answers}
    return found


@pytest.fixture
def calls(monkeypatch):
    """How many questions each method answered each time."""
    made = []

    def counted(model, processor, questions, methods, arguments):
        for found in original(model, processor, questions, methods, arguments):
            made.append(len(questions))
            yield found

    original = plugin.answer
    monkeypatch.setattr(plugin, "answer", counted)
    return made


def test_scores_reproduce_the_aggregates(evaluator):
    found = evaluator.evaluate(Variant(FastV(0.25)), NAMES)
    assert list(found) == ["pope", "mme", "mme_cognition", "mmbench", "flickr30k", "vqav2"]
    assert [found[name].questions for name in found] == [24, 20, 8, 20, 4, 4]
    assert len(found["mme"].units) == 10 and len(np.unique(found["mme"].strata)) == 10
    for scores in found.values():
        assert estimate(scores.values, scores.strata) == pytest.approx(scores.value)


def test_units_know_their_images(evaluator):
    """POPE asks six questions about each of four images; a pair of MME's shows one, of a stratum of its own here."""
    found = evaluator.evaluate(Variant(FastV(0.25)), NAMES)
    assert np.array_equal(found["pope"].images, np.repeat(np.arange(4), 6))
    assert [len(np.unique(found[name].images)) for name in found] == [4, 10, 4, 20, 4, 4]
    whole = found["mmbench"]
    for part in parts_of(whole).values():
        assert part.images.tolist() == [whole.images[whole.units.index(unit)] for unit in part.units]
    # Each of MME's sub-tasks shows a single image here, so that nothing says how much its score varies.
    drawn = {
        name: bootstrap(s.values[:, None], s.strata, s.images, resamples=20, seed=0, name=name)
        for name, s in found.items()
    }
    assert [np.isfinite(drawn[name]).all() for name in found] == [True, False, False, True, True, True]


def test_right_answers_score_full(evaluator):
    """One answer to all: half of POPE, 50 of each MME sub-task, CIDEr of the caption's own image."""
    found = evaluator.constant(NAMES)
    assert (found["pope"].value, found["mme"].value, found["mme_cognition"].value) == (50, 500, 200)
    assert found["vqav2"].value == pytest.approx(25) and found["flickr30k"].value > 50
    assert (found["flickr30k"].values > 0).any() and found["mmbench"].value > 30


def test_too_few_questions_are_one_sentence():
    """The first ones of MME may all be of its cognition part."""
    samples = [
        {"doc_id": n, "mme_cognition_score": {"category": "code_reasoning", "question_id": 0, "score": 1}}
        for n in range(2)
    ]
    with pytest.raises(EvaluationError, match="none of the 2 questions that the limit leaves counts for it"):
        scores_of("mme", BENCHMARKS["mme"], samples, {"mme_cognition_score,none": 200.0}, [0, 0])


def test_chance_is_of_the_questions_asked(evaluator):
    """Guesses where a question offers answers, for the parts too; one answer to all where it does not."""
    found = evaluator.chance(NAMES)
    assert (found["pope"], found["mme"], found["mme_cognition"]) == (50, 750, 300)
    one = evaluator.constant(NAMES)
    assert all(found[name] == one[name].value for name in ("vqav2", "flickr30k"))
    for name in ("mme", "mme_cognition", "mmbench"):
        assert set(parts_of(one[name])) <= set(found)


def test_a_batch_answers_as_single_questions_do(checkpoint, data, tmp_path, evaluator):
    cells = [Variant(AdaptPrune(0.25)), Variant(RandomPruning(0.25)), Variant(NoPruning(), "blank")]
    single = Evaluator(checkpoint, data, store=tmp_path, batch_size=1, max_new_tokens=4, device="cpu")
    single._tasks = evaluator._tasks
    for cell in cells:
        for one in (evaluator, single):
            one.evaluate(cell, ["pope", "mmbench"])
    eight = stored(evaluator)
    for name, found in stored(single).items():
        assert found == eight[name]
    assert len({text for found in eight.values() for text in found["answers"].values()}) > 10


def test_a_stored_cell_is_not_computed_again(evaluator, calls):
    first = evaluator.evaluate(Variant(FastV(0.5)), ["pope"])
    assert sum(calls) == 24
    again = evaluator.evaluate(Variant(FastV(0.5)), ["pope"])
    assert sum(calls) == 24 and np.array_equal(first["pope"].values, again["pope"].values)
    evaluator.evaluate(Variant(FastV(0.5), "blank"), ["pope"])
    evaluator.evaluate(Variant(FastV(0.5, layer=1)), ["pope"])
    assert sum(calls) == 72


def test_a_killed_run_resumes_with_the_same_answers(evaluator, calls, monkeypatch):
    evaluator.evaluate(Variant(RandomPruning(0.5)), ["pope"])
    (path,) = (p for p in evaluator.store.folder.glob("random-pope-*") if '"keep":0.5' in p.read_text())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    calls.clear()
    evaluator.evaluate(Variant(RandomPruning(0.5)), ["pope"])
    assert calls == [8] and path.read_bytes() == whole


TOGETHER = [
    Variant(FastV(0.25)),
    Variant(NoPruning()),
    Variant(AdaptPrune(0.25)),
    Variant(RandomPruning(0.5, layer=1)),
    Variant(NoPruning(), "blank"),
    Variant(RandomPruning(0.25)),
    Variant(FastV(0.25), "blank"),
    Variant(FastV(0.25)),
]


def files(evaluator) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in evaluator.store.folder.glob("*.jsonl")}


@pytest.fixture
def fresh(evaluator, tmp_path, monkeypatch):
    """The evaluator with an empty store."""
    monkeypatch.setattr(evaluator, "store", PredictionStore(tmp_path / "store"))
    return evaluator


def test_cells_together_give_what_they_give_apart(fresh, monkeypatch, tmp_path, calls):
    together = fresh.evaluate_all(TOGETHER, ["pope", "vqav2"])
    distinct = len(TOGETHER) - 1
    assert sum(calls) == distinct * (24 + 4)
    stored = files(fresh)
    assert len(stored) == 2 * distinct
    monkeypatch.setattr(fresh, "store", PredictionStore(tmp_path / "apart"))
    for cell, scores in zip(TOGETHER, together, strict=True):
        apart = fresh.evaluate(cell, ["pope", "vqav2"])
        assert list(apart) == list(scores)
        for name in apart:
            assert apart[name].value == scores[name].value and np.array_equal(apart[name].values, scores[name].values)
    assert files(fresh) == stored  # byte for byte, so either goes on where the other was stopped
    calls.clear()
    fresh.evaluate_all(TOGETHER, ["pope", "vqav2"])
    assert not calls and files(fresh) == stored


@pytest.mark.parametrize("made", [1, 4, 8])
def test_cells_together_resume_after_a_kill(fresh, monkeypatch, tmp_path, calls, made):
    cells = [Variant(NoPruning()), Variant(AdaptPrune(0.25)), Variant(RandomPruning(0.5, layer=1))]
    fresh.evaluate_all(cells, ["pope"])
    whole = files(fresh)
    assert calls == [8] * 9

    original = plugin.answer

    def killed(*arguments):
        for found in original(*arguments):
            if len(calls) > made:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(fresh, "store", PredictionStore(tmp_path / "killed"))
    calls.clear()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(plugin, "answer", killed)
        fresh.evaluate_all(cells, ["pope"])
    calls.clear()
    fresh.evaluate_all(cells, ["pope"])
    assert calls == [8] * (9 - made) and files(fresh) == whole


def test_a_batch_of_which_some_is_stored_is_computed_whole(fresh, monkeypatch, tmp_path, calls, caplog):
    fresh.evaluate(Variant(AdaptPrune(0.5)), ["pope"])
    (whole,) = stored(fresh).values()
    del whole["identity"]["format"]
    (path,) = fresh.store.folder.glob("*.jsonl")
    rows = [row for line in path.read_text().splitlines()[1:] for row in json.loads(line)["answers"]]
    monkeypatch.setattr(fresh, "store", PredictionStore(tmp_path / "partly"))
    with fresh.store.open(whole["identity"]) as shelf:
        shelf.add(map(tuple, rows[:3]))
        shelf.add([(*rows[9][:2], "something else")])
    calls.clear()
    fresh.evaluate(Variant(AdaptPrune(0.5)), ["pope"])
    assert calls == [8, 8, 8]
    (found,) = stored(fresh).values()
    assert found["answers"] == whole["answers"] | {rows[9][0]: "something else"}
    assert caplog.text.count("some stored answers differ from those made now; they are kept") == 1


def test_failures_stop_the_run(evaluator, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("out of memory, say")

    monkeypatch.setattr(plugin, "answer", broken)
    with pytest.raises(RuntimeError, match="out of memory, say"):
        evaluator.evaluate(Variant(FastV(0.75)), ["pope"])


def test_a_question_without_an_image(evaluator, monkeypatch):
    task = evaluator._task("vqav2")
    monkeypatch.setattr(task.config, "doc_to_visual", lambda doc: [])
    with pytest.raises(EvaluationError, match="question 0 of task vqav2_val has no image"):
        evaluator.evaluate(Variant(FastV(0.75)), ["vqav2"])


def test_changed_questions_are_not_answered_from_the_store(evaluator, monkeypatch):
    evaluator.evaluate(Variant(FastV(0.9)), ["vqav2"])
    task = evaluator._task("vqav2")
    monkeypatch.setattr(task.config, "doc_to_visual", lambda doc: [Image.new("RGB", (24, 24), "purple")])
    with pytest.raises(StoreError, match="another question"):
        evaluator.evaluate(Variant(FastV(0.9)), ["vqav2"])


def test_a_layer_beyond_the_model(evaluator):
    with pytest.raises(ValueError, match="layer must lie between 1 and 3"):
        evaluator.evaluate(Variant(FastV(0.5, layer=9)), ["pope"])


def test_the_identity_names_what_answers_depend_on(evaluator):
    evaluator.evaluate(Variant(AdaptPrune(0.3, reading="as_written")), ["vqav2"])
    identity = next(f["identity"] for n, f in stored(evaluator).items() if f["identity"]["method"].get("keep") == 0.3)
    assert identity["method"]["reading"] == "as_written" and identity["task"] == "vqav2_val"
    assert identity["generation"] == {"max_new_tokens": 4, "num_beams": 1, "until": ["\n\n"]}
    assert {"checkpoint", "image", "dtype", "attention", "device", "software", "data", "split"} < set(identity)
    assert identity["data"] and identity["checkpoint"] == evaluator.loaded.digest


def test_loglikelihoods_are_refused(loaded, tmp_path):
    with pytest.raises(NotImplementedError, match="log-likelihoods"):
        plugin.PrunedModel(loaded=loaded, store=tmp_path).loglikelihood([])


def test_generation_arguments():
    assert generation_arguments({"until": "x"}, task="t") == {"max_new_tokens": 128, "num_beams": 1, "until": ["x"]}
    assert generation_arguments({"max_new_tokens": 16, "temperature": 0.0}, task="t", limit=5)["max_new_tokens"] == 5
    with pytest.raises(EvaluationError, match="task t asks for sampling"):
        generation_arguments({"temperature": 0.7}, task="t")
    with pytest.raises(EvaluationError, match="'voice'"):
        generation_arguments({"voice": 1}, task="t")


def test_batches_are_by_length_and_stable():
    assert list(batches([5, 1, 5, 1, 3], 2)) == [[1, 3], [4, 0], [2]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "nope"}, "no method 'nope'"),
        ({"method": "fastv", "keep": 1.2}, r"keep must lie in \(0, 1\]"),
        ({"method": "fastv", "keep": 0}, r"keep must lie in \(0, 1\]"),
        ({"method": "fastv", "keep": "half"}, "keep must be a fraction"),
        ({"method": "fastv", "keep": True}, "keep must be a fraction"),
        ({"method": "none", "keep": 0.5}, "keeps every token"),
        ({"method": "fastv", "keep": 0.5, "colour": 1}, "no parameter 'colour'"),
        ({"image": "upside-down"}, "image must be one of"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"loaded": None}, "lack pretrained"),
    ],
)
def test_bad_model_arguments(loaded, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        plugin.PrunedModel(**{"loaded": loaded, "store": tmp_path, **arguments})
    plugin.PrunedModel(loaded=loaded, store=tmp_path, method="fastv", keep="1")
