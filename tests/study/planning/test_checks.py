"""Checks before the first question: each problem is found, all of them at once, and nothing else is refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import ROOT
from helpers.planning import DATA, MODEL, a_config

from vtstudy import cli
from vtstudy.config import Config
from vtstudy.planning import checks
from vtstudy.planning.checks import check
from vtstudy.planning.hub import Hub
from vtstudy.planning.machine import Gpu, Machine

LARGE = Machine(cpus=8, memory=200 * 10**9, gpus=(Gpu("NVIDIA H200", 141 * 10**9),))


@pytest.fixture(autouse=True)
def _only_one_experiment(tmp_path, monkeypatch):
    """The tables of AdaptPrune would need all data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "EXPERIMENTS", {"energy": checks.EXPERIMENTS["energy"]})
    for module in ("plan", "questions_asked"):
        monkeypatch.setattr(f"vtstudy.experiments.{module}.EXPERIMENTS", {"energy": checks.EXPERIMENTS["energy"]})


@pytest.fixture
def published(local_hub):
    """The model and the data set, on the stand-in for the Hub."""
    files = {
        f"models/{MODEL}/config.json": 100,
        f"models/{MODEL}/model.safetensors": 5000,
        f"models/{MODEL}/pytorch_model.bin": 5000,
        f"datasets/{DATA}/data/test-00000-of-00001.parquet": 9000,
        f"datasets/{DATA}/data/train-00000-of-00001.parquet": 9000,
    }
    for name, size in files.items():
        (local_hub.root / name).parent.mkdir(parents=True, exist_ok=True)
        (local_hub.root / name).write_bytes(bytes(size))
    return local_hub


def problems(config: Config, **options) -> list[str]:
    return list(check(config, machine=options.pop("machine", LARGE), **options).problems)


def test_a_profile_that_can_be_run_has_no_problems(published):
    findings = check(a_config(), machine=LARGE)
    assert (findings.problems, findings.left_out, findings.warnings) == ((), (), ())
    assert all(served.size < 5000 for served in published.served)  # no file was fetched


def test_gated_and_missing_repositories_are_named_with_what_to_do(published):
    published.gate(MODEL, "a-token")
    (published.root / "datasets" / DATA).rename(published.root / "datasets" / "lmms-lab-encoder" / "OTHER")
    model, data = problems(a_config())
    assert MODEL in model and "hf auth login" in model
    assert DATA in data


def test_the_hub_out_of_reach_is_one_problem_if_something_must_be_fetched(tmp_path, monkeypatch):
    hub = Hub(ask=False)
    (problem,) = problems(a_config(), hub=hub)
    assert MODEL in problem and DATA in problem
    folder = tmp_path / "data/models/llava"
    folder.mkdir(parents=True)
    (folder / "revision.yaml").write_text(f"id: {MODEL}\ncommit: {'0' * 40}\n")
    record = {"id": DATA, "commit": "0" * 40, "parts": {"default/test": {"rows": 10, "files": []}}}
    (tmp_path / "data/hub" / DATA).mkdir(parents=True)
    (tmp_path / "data/hub" / DATA / "fetched.json").write_text(json.dumps(record))
    monkeypatch.setattr(checks, "_planned", lambda *_: [])  # counting would need the rows
    monkeypatch.setattr(checks, "plan", lambda _: type("Plan", (), {"asked": ()}))
    assert problems(a_config(), hub=Hub(ask=False)) == []


def test_all_wrong_settings_are_listed_at_once(published, monkeypatch):
    monkeypatch.setattr(checks.os, "access", lambda *_: False)
    config = a_config(
        models={
            "llava-7b": {"paper": "LLaVA-1.5-7B", "checkpoint": "nowhere/at/all"},
            "other": {"paper": "LLaVA-1.5-13B", "checkpoint": "not/there/either"},
        },
        experiments={"energy": {"energies": [0.9], "hosts": ["fastv", "no_such_method"], "benchmarks": ["pope"]}},
    )
    found = " ".join(problems(config))
    assert all(words in found for words in ("nowhere/at/all", "not/there/either", "no_such_method", "data/answers"))
    with pytest.raises(checks.ChecksFailedError, match=r"nowhere(.|\n)*no_such_method|no_such_method(.|\n)*nowhere"):
        checks.require(config)


def test_a_layer_that_the_model_lacks_is_found(published, tmp_path):
    (tmp_path / "data/models/llava").mkdir(parents=True)
    shallow = {"text_config": {"num_hidden_layers": 2}}
    (tmp_path / "data/models/llava/config.json").write_text(json.dumps(shallow))
    (problem,) = problems(a_config())
    assert "layer" in problem and "energy" in problem


def test_a_limit_that_leaves_mme_unscored_is_found(published, tmp_path):
    kinds, numbers = (
        ["code_reasoning", "code_reasoning", "count", "OCR", "count", "OCR"],
        ["1", "1", "2", "3", "2", "3"],
    )
    folder = tmp_path / "data/hub/lmms-lab-encoder/MME/data"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"category": kinds, "question_id": numbers}), folder / "test-0.parquet")
    section = {"energies": [0.9], "benchmarks": ["mme"]}

    def limited(limit: int | None) -> str:
        evaluation = {"data": "data/hub", "limit": limit}
        return " ".join(problems(a_config(experiments={"energy": section}, evaluation=evaluation), hub=Hub(ask=False)))

    assert "at least 6" in limited(2) and "at least 6" in limited(4)
    assert "pairs" not in limited(6) + limited(None)


def test_full_disks_are_found(published, monkeypatch):
    monkeypatch.setattr(checks, "free_space", lambda folder: 10)
    assert all("GB free" in problem or "MB free" in problem for problem in problems(a_config()))
    assert problems(a_config())


def test_memory_is_compared_with_the_models(tmp_path):
    gpu = Gpu("NVIDIA GeForce RTX 3090", 24 * 10**9)
    large_batch = a_config(evaluation={"data": "data/hub", "dtype": "float16", "limit": 10, "batch_size": 64})
    single = a_config(evaluation={"data": "data/hub", "dtype": "float32", "limit": 10, "batch_size": 1})
    small, without = Machine(8, 64 * 10**9, (gpu,)), Machine(8, 8 * 10**9, ())

    def found(config: Config, machine: Machine) -> tuple[str, str]:
        findings = check(config, machine=machine, hub=Hub(ask=False))
        return " ".join(findings.problems), " ".join(findings.warnings)

    assert "batch_size" in found(large_batch, small)[1]
    assert "float16" in found(single, small)[0]
    assert "no GPU" in found(large_batch, without)[0]
    (tmp_path / "data/models/llava").mkdir(parents=True)  # what is there counts: a smaller model of that name
    (tmp_path / "data/models/llava/model.safetensors").write_bytes(bytes(1000))
    assert "memory" not in found(single, small)[0] and "no GPU" not in found(large_batch, without)[0]
    assert "batch_size" not in found(large_batch, small)[1]


@pytest.mark.slow
def test_the_miniature_and_quick_can_be_run(monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    for profile in ("miniature", "quick"):
        assert cli.main(["check", "--profile", profile]) == 0
        assert profile in capsys.readouterr().out
