"""E-AdaPrune's further benchmarks: their tasks exist as named, and their scores are read as the tasks make them."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import ROOT
from lmms_eval.tasks import TaskManager
from lmms_eval.tasks.mmbench import cn_utils
from lmms_eval.tasks.seedbench.utils import seed_aggregation_result, seed_process_result
from lmms_eval.utils import load_yaml_config

import vtstudy.evaluation
from vtprune.errors import UserError
from vtstudy.benchmarks import BENCHMARKS, check_available
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.scoring import Scores, scores_of

HUB_ONLY = [name for name, spec in BENCHMARKS.items() if not spec.in_world]
PARAMS = ROOT / "params"


@pytest.fixture(scope="module")
def index():
    return TaskManager("ERROR", include_path=str(Path(vtstudy.evaluation.__file__).parent / "tasks")).task_index


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


def test_what_is_not_available(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in HUB_ONLY:
        with pytest.raises(UserError, match="miniature world"):
            check_available(name, local=True)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        check_available("mmvet", local=False)
    for name in ("seedbench", "scienceqa", "mmbench_cn", "pope"):
        check_available(name, local=False)


@pytest.mark.parametrize("profile", ["lite", "paper"])
def test_the_profiles_ask_them(profile):
    params = yaml.safe_load((PARAMS / f"{profile}.yaml").read_text())
    assert set(HUB_ONLY) <= set(params["experiments"]["eadaprune"]["benchmarks"]) <= set(BENCHMARKS)


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
