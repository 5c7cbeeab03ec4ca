"""The explorer's data: which pictures it shows, which tokens are kept of them, and how right an answer is."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.params_file import write_params
from helpers.tiny_llava import build_checkpoint, write_data
from PIL import Image

from vtprune.attach.inference import encode
from vtprune.methods import get_method
from vtstudy.config import load
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.references import references
from vtstudy.experiments import explorer
from vtstudy.experiments.all_methods import ALL_METHODS
from vtstudy.experiments.single_answers import share_right
from vtstudy.experiments.token_maps import digits

pytestmark = pytest.mark.slow

GRID = (4, 4)


def cells(text):
    """The indices of the bits that are set."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))).tolist()


def test_the_first_question_about_each_picture_is_shown():
    assert explorer.first_about_each([0, 0, 1, 0, 2, 1, 3], 3) == [0, 2, 4]
    assert explorer.first_about_each([0, 0], 3) == [0]


@pytest.mark.parametrize("grid", [(4, 4), (3, 3), (12, 12)])
def test_digits_name_the_kept_cells(grid):
    kept = [0, 3, 7, grid[0] * grid[1] - 1]
    assert cells(digits(torch.tensor(kept), grid)) == kept
    assert cells(digits(torch.tensor([], dtype=torch.long), grid)) == []


def test_references_are_the_different_ones_with_the_most_frequent_first():
    assert references({"answers": ["311", "554", "554"]}) == ["554", "311"]
    assert references({"answers": [{"answer": "cross"}, {"answer": "cross"}]}) == ["cross"]
    assert references({"answer": "B", "A": "scene"}) == ["B"]
    assert references({"annotations_captions": ["a dog", "a cat"], "image_id": 3}) == ["a dog", "a cat"]


class Task:
    """A task that scores every answer alike."""

    def __init__(self, **scores):
        self.scores = scores

    def process_results(self, document, results):
        return self.scores


@pytest.mark.parametrize(
    ("benchmark", "scores", "share"),
    [
        ("okvqa", {"exact_match": 0.3, "submission": {}}, 0.3),
        ("pope", {"pope_accuracy": {"score": 1.0}, "pope_f1_score": {"score": 1.0}}, 1.0),
        ("mme", {"mme_cognition_score": {"score": 0.0, "category": "code_reasoning"}}, 0.0),
        ("chartqa", {"relaxed_overall": 0.0}, 0.0),
        ("nocaps", {"nocaps_CIDEr": {"pred": "a dog"}}, None),
    ],
)
def test_how_right_an_answer_is(benchmark, scores, share):
    assert share_right(benchmark, Task(**scores), {}, "yes") == share


@pytest.mark.parametrize(("prediction", "share"), [("B", 1.0), ("A", 0.0), ("it is B", 1.0)])
def test_an_option_of_mmbench_is_judged_by_its_letter(prediction, share):
    row = {"index": 7, "question": "?", "answer": "B", "prediction": prediction, "A": "scene", "B": "sign"}
    options = row | {"C": "chart", "D": "page", "category": "image_topic", "L2-category": "coarse_perception"}
    assert share_right("mmbench", Task(gpt_eval_score=options), {}, prediction) == share


@pytest.mark.parametrize("small", [True, False])
def test_a_picture_is_stored_in_its_smaller_form(tmp_path, small):
    pixels = np.zeros((64, 64, 3)) if small else np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    explorer.save(Image.fromarray(pixels.astype(np.uint8)), tmp_path / "picture.webp")
    (file,) = tmp_path.iterdir()
    stored = np.asarray(Image.open(file).convert("RGB"))
    assert stored.shape == (64, 64, 3)
    assert (stored == pixels).all() == small


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The explorer's files for a tiny model, two benchmarks and four methods; and the experiment's settings."""
    folder = tmp_path_factory.mktemp("explorer")
    build_checkpoint(folder / "tiny-llava")
    write_data(folder / "data", "pope", "vqav2")
    experiments = {"methods": {"keeps": [0.5, 0.25], "limit": 4}, "explorer": {"pictures": 2}}
    params = write_params(folder, experiments, batch_size=3, max_new_tokens=2, data=str(folder / "data"))
    names = ("baseline", "blind", "fastv", "random", "pooled", "pyramiddrop")
    variants = {name: ALL_METHODS.variants[name] for name in names}
    config = load(params)
    model = next(iter(config.models.values())).model_copy(update={"checkpoint": str(folder / "tiny-llava")})
    config = config.model_copy(update={"models": {"llava-7b": model}})
    with pytest.MonkeyPatch.context() as patch:
        spec = replace(ALL_METHODS, benchmarks=("pope", "vqav2"), variants=variants, pairs=())
        patch.setattr(explorer, "ALL_METHODS", spec)
        yield explorer.explore(config, out=str(folder / "out"), cache=str(folder / "answers"), device="cpu"), folder


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_picture_has_every_variant(ran):
    out, _ = ran
    pictures, answers = rows(out / "pictures.csv"), rows(out / "answers.csv")
    assert {row["benchmark"] for row in pictures} == {"pope", "vqav2"}
    for row in pictures:
        assert Image.open(out / row["file"]).size == (32, 32)
        of_picture = [
            (answer["method"], answer["keep"])
            for answer in answers
            if (answer["benchmark"], answer["picture"]) == (row["benchmark"], row["picture"])
        ]
        pruned = {(name, keep) for name in ("fastv", "random", "pooled", "pyramiddrop") for keep in ("0.5", "0.25")}
        assert set(of_picture) == pruned | {("baseline", ""), ("blind", "")} and len(of_picture) == 10
        assert json.loads(row["references"])
    assert all(0 <= float(answer["right"]) <= 1 for answer in answers)
    summaries = {row["method"]: row["summary"] for row in rows(out / "methods.csv")}
    assert "FastV" in summaries["fastv"] and summaries["baseline"] == ""


def test_the_kept_tokens_are_those_of_the_method_and_the_answers_those_of_the_table(ran):
    out, folder = ran
    evaluator = Evaluator(
        folder / "tiny-llava", folder / "data", cache=folder / "others", device="cpu", max_new_tokens=2, batch_size=1
    )
    checkpoint = evaluator.checkpoint
    chosen = explorer.first_about_each(evaluator.questions("pope", 4).images, 2)
    answers = {
        (row["method"], row["keep"], int(row["picture"])): row
        for row in rows(out / "answers.csv")
        if row["benchmark"] == "pope"
    }
    prompts = list(evaluator.prompts("pope", 4))
    for name in ("fastv", "random", "pooled", "pyramiddrop"):
        for number, index in enumerate(chosen):
            inputs = encode(checkpoint.model, checkpoint.processor, [prompts[index]])
            with torch.inference_mode(), get_method(name, keep=0.25).attach(checkpoint.model) as pruned:
                checkpoint.model(**inputs)
            ((kept,),) = pruned.kept
            stored = answers[name, "0.25", number]
            assert cells(stored["kept"]) == kept.indices.tolist() and len(kept.indices) == 4
            assert cells(stored["merged"]) == kept.indices[kept.merged].tolist()
    assert any(row["merged"] for row in answers.values()) and any(not row["merged"] for row in answers.values())
    assert answers["baseline", "", 0]["kept"] == answers["blind", "", 0]["kept"] == ""


def test_the_facts_name_the_model(ran):
    out, _ = ran
    facts = json.loads((out / "explorer.json").read_text())
    assert facts["paper"] == "LLaVA-1.5-7B" and facts["model"] == "tiny-llava"
    assert facts["answers"] == len(rows(out / "answers.csv"))
