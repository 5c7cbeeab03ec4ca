"""E-AdaPrune's further benchmarks: their tasks exist as named, and their scores are read as the tasks make them."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import Dataset
from helpers import ROOT
from lmms_eval.tasks.mmbench import cn_utils
from lmms_eval.tasks.pope.utils import pope_aggregate_f1_score, pope_process_results
from lmms_eval.tasks.seedbench import utils as seedbench
from lmms_eval.tasks.seedbench.utils import seed_aggregation_result, seed_process_result
from lmms_eval.utils import load_yaml_config

from vtprune.errors import UserError
from vtstudy.benchmarks import BENCHMARKS, EADAPRUNE, check_available
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.lmms_tasks import task_manager
from vtstudy.evaluation.scoring import Scores, scores_of

HUB_ONLY = [name for name, spec in BENCHMARKS.items() if not spec.in_world]
PROFILES = ROOT / "profiles"


@pytest.fixture(scope="module")
def index():
    return task_manager().task_index


@pytest.mark.parametrize("name", HUB_ONLY)
def test_the_task_is_what_its_entry_says(index, name):
    spec = BENCHMARKS[name]
    config = load_yaml_config(
        index[spec.task]["yaml_path"], mode="simple"
    )  # in full, MM-Vet's looks for its judge's key
    assert config["dataset_path"] == spec.path and config["test_split"] == spec.split
    assert config.get("dataset_name", "default") == spec.config
    assert spec.metric in [entry["metric"] for entry in config["metric_list"]]


def test_mmbench_cn_asks_as_lmms_eval_does_and_needs_no_gpt(index):
    ours, theirs = (
        load_yaml_config(index[task]["yaml_path"], mode="full") for task in ("mmbench_cn_dev_static", "mmbench_cn_dev")
    )
    for key in (
        "dataset_path",
        "dataset_name",
        "test_split",
        "doc_to_target",
        "generation_kwargs",
        "lmms_eval_specific_kwargs",
    ):
        assert ours[key] == theirs[key], key
    english = load_yaml_config(index["mmbench_en_dev_static"]["yaml_path"], mode="full")
    judges = [
        next(e["aggregation"] for e in config["metric_list"] if e["metric"] == "gpt_eval_score")
        for config in (ours, english)
    ]
    assert judges[0].__name__ == judges[1].__name__ == "mmbench_aggregate_dev_results_static"


def test_seedbench_scores():
    docs = [
        {"answer": a, "data_type": kind, "question_id": n}
        for n, (a, kind) in enumerate([("A", "image"), ("B", "image"), ("C", "video")])
    ]
    samples = [
        {"doc_id": n} | seed_process_result(doc, [said])
        for n, (doc, said) in enumerate(zip(docs, ("A.", "c", "C"), strict=True))
    ]
    aggregate = seed_aggregation_result([sample["seed_image"] for sample in samples if "seed_image" in sample])
    found = scores_of(
        "seedbench", BENCHMARKS["seedbench"], samples, {"seed_image,none": aggregate}, {0: 0, 1: 0, 2: 1}
    )["seedbench"]
    assert (
        found.value == 50
        and found.questions == 2
        and np.array_equal(found.values, [100, 0])
        and np.array_equal(found.images, [0, 0])
    )


def test_mmvet_scores():
    samples = [{"doc_id": n, "gpt_eval_score": {"score": score}} for n, score in enumerate((0.5, 1.0, 0.0, 0.1))]
    found = scores_of("mmvet", BENCHMARKS["mmvet"], samples, {"gpt_eval_score,none": 40.0}, dict(enumerate(range(4))))[
        "mmvet"
    ]
    assert found.value == 40 and np.allclose(found.values, [50, 100, 0, 10])


def test_mmbench_cn_scores():
    docs = [
        {
            "index": n,
            "question": "?",
            "answer": answer,
            "hint": "nan",
            "source": "",
            "split": "dev",
            "category": "ocr",
            "L2-category": "x",
            **dict(zip("ABCD", ("一", "二", "三", "四"), strict=True)),
        }
        for n, answer in enumerate("AB")
    ]
    samples = [
        {"doc_id": n} | cn_utils.mmbench_process_results(doc, [said])
        for n, (doc, said) in enumerate(zip(docs, "AA", strict=True))
    ]
    found = scores_of("mmbench_cn", BENCHMARKS["mmbench_cn"], samples, {"gpt_eval_score,none": 50.0}, {0: 4, 1: 5})[
        "mmbench_cn"
    ]
    assert (
        found.value == 50
        and np.array_equal(found.values, [100, 0])
        and found.units == ("ocr|0", "ocr|1")
        and np.array_equal(found.images, [4, 5])
    )


def test_a_folder_must_hold_a_benchmark_s_data_set(data, tmp_path):
    for name in ("mmvet", "seedbench", "scienceqa", "mmbench_cn", "textvqa", "textvqa_ocr"):
        with pytest.raises(UserError):
            check_available(name, data)
        check_available(name, None)
    for name in ("pope", "pope_f1", "mmbench"):
        check_available(name, data)
    check_available("textvqa_ocr", tmp_path / "will be rendered")
    with pytest.raises(UserError):
        check_available("mmvet", tmp_path / "will be rendered")


def test_textvqa_with_ocr_tokens_is_lmms_eval_s_task_with_its_switch_on(index):
    ours, theirs = (
        load_yaml_config(index[task]["yaml_path"], mode="full") for task in ("textvqa_val_ocr", "textvqa_val")
    )
    for key in ("dataset_path", "test_split", "output_type", "doc_to_target", "generation_kwargs"):
        assert ours[key] == theirs[key], key
    for key in ("doc_to_visual", "doc_to_text", "process_results"):
        assert ours[key].__name__ == theirs[key].__name__, key
    kwargs = dict(theirs["lmms_eval_specific_kwargs"]["default"])
    assert not kwargs.pop("ocr") and ours["lmms_eval_specific_kwargs"]["default"] == {**kwargs, "ocr": True}
    doc = {"question": "what is written?", "ocr_tokens": ["STOP", "42"]}
    assert "STOP, 42" in ours["doc_to_text"](doc, ours["lmms_eval_specific_kwargs"]["default"])
    metrics = {entry["metric"]: entry for entry in theirs["metric_list"]}
    assert ours["metric_list"] == [metrics["exact_match"]]


def test_seedbench_asks_about_images_alone(index):
    original = Path(seedbench.__file__).parent / "seedbench.yaml"
    ours, theirs = (
        load_yaml_config(str(path), mode="full") for path in (index["seedbench_image"]["yaml_path"], original)
    )
    for key in ("dataset_path", "dataset_kwargs", "test_split", "output_type", "doc_to_target", "generation_kwargs"):
        assert ours[key] == theirs[key], key
    for key in ("doc_to_visual", "doc_to_text", "process_results"):
        assert ours[key].__name__ == theirs[key].__name__, key
    documents = Dataset.from_dict({"data_type": ["video", "image", "image", "video"], "question_id": list("abcd")})
    assert ours["process_docs"](documents)["question_id"] == ["b", "c"]


def test_pope_f1_is_lmms_eval_s():
    said = ["yes", "no", "yes", "yes", "perhaps", "no", "yes"]
    true = ["yes", "yes", "no", "yes", "yes", "no", "no"]
    docs = [{"question_id": str(n), "answer": answer} for n, answer in enumerate(true)]
    samples = [
        {"doc_id": n} | pope_process_results(doc, [text]) for n, (doc, text) in enumerate(zip(docs, said, strict=True))
    ]
    aggregate = pope_aggregate_f1_score([sample["pope_f1_score"] for sample in samples])
    images = dict(enumerate(range(7)))
    found = scores_of("pope_f1", BENCHMARKS["pope_f1"], samples, {"pope_f1_score,none": aggregate}, images)["pope_f1"]
    assert found.value == pytest.approx(100 * 4 / 7) and found.values.mean() == pytest.approx(found.value)
    # The values move as F1 does when a question is left out: the jackknife's errors are theirs.
    others = [
        100 * pope_aggregate_f1_score([s["pope_f1_score"] for s in samples if s["doc_id"] != n]) for n in range(7)
    ]
    moved = found.value - np.array(others)
    assert np.corrcoef(moved, found.values - found.value)[0, 1] > 0.99


def test_pope_f1_of_no_yes_is_0():
    samples = [{"doc_id": 0} | pope_process_results({"question_id": "0", "answer": "yes"}, ["no"])]
    assert (
        scores_of("pope_f1", BENCHMARKS["pope_f1"], samples, {"pope_f1_score,none": 0.0}, {0: 0})["pope_f1"].value == 0
    )


def test_answers_that_the_judge_did_not_grade_are_not_scored():
    samples = [
        {"doc_id": n, "gpt_eval_score": {"score": 0.5 * n, "question_id": f"v1_{n}", "eval_model": model}}
        for n, model in enumerate(("", "gpt-4o"))
    ]
    with pytest.raises(EvaluationError, match="v1_0"):
        scores_of("mmvet", BENCHMARKS["mmvet"], samples, {"gpt_eval_score,none": 25.0}, {0: 0, 1: 1})


@pytest.mark.parametrize("profile", ["lite", "paper"])
def test_the_profiles_ask_them(profile):
    params = yaml.safe_load((PROFILES / profile / "params.yaml").read_text())
    asked = set(params["experiments"]["eadaprune"]["benchmarks"])
    assert set(HUB_ONLY) <= asked <= set(BENCHMARKS) and set(EADAPRUNE.values()) <= asked


def test_too_few_questions_are_refused():
    """The first ones of MME may all be of its cognition part."""
    samples = [
        {"doc_id": n, "mme_cognition_score": {"category": "code_reasoning", "question_id": 0, "score": 1}}
        for n in range(2)
    ]
    with pytest.raises(EvaluationError, match="none of the 2 questions"):
        scores_of("mme", BENCHMARKS["mme"], samples, {"mme_cognition_score,none": 200.0}, {0: 0, 1: 0})


def test_scores_survive_being_stored():
    samples = [{"doc_id": n, "exact_match": value} for n, value in enumerate((0.1 + 0.2, 1.0, 0.0))]
    results = {"exact_match,none": (0.1 + 0.2 + 1.0) / 3}
    (scores,) = scores_of("vqav2", BENCHMARKS["vqav2"], samples, results, {0: 2, 1: 0, 2: 2}).values()
    again = Scores.from_data(json.loads(json.dumps(scores.to_data())))
    for name, value in vars(scores).items():
        stored = getattr(again, name)
        assert np.array_equal(stored, value) if isinstance(value, np.ndarray) else stored == value
