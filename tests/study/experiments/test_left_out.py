"""A benchmark whose judge is missing is left out of an experiment, and the facts of the run say why."""

import json

import pytest
from helpers.tiny_llava import build_checkpoint, write_data

from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.runner import limits_of, requests_of, run
from vtstudy.experiments.settings import Settings
from vtstudy.experiments.spec import Experiment, VariantSpec


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "API_TYPE"):
        monkeypatch.delenv(name, raising=False)
    return Settings(
        profile="lite",
        checkpoint=str(build_checkpoint(tmp_path / "tiny-llava")),
        data=str(write_data(tmp_path / "data", "pope")),
        cache=str(tmp_path / "answers"),
        out=str(tmp_path / "results"),
        dtype="float32",
        device="cpu",
        limit=6,
        max_new_tokens=2,
        resamples=20,
        pictures="pad",
    )


def test_it_is_neither_asked_nor_scored(settings):
    demo = Experiment("demo", ("mmvet", "pope", "pope_f1"), {"baseline": VariantSpec()}, ())
    assert {request.benchmark for request in requests_of(demo, settings)} == {"pope", "pope_f1"}
    path = run(demo, settings)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert list(facts["left_out"]) == ["mmvet"] and "OPENAI_API_KEY" in facts["left_out"]["mmvet"]
    assert (facts["parameters"]["prompt"], facts["parameters"]["pictures"]) == ("checkpoint", "pad")
    assert facts["checkpoint_source"] is None
    assert "mmvet" not in path.read_text() and "pope_f1" in path.read_text()


def test_nothing_is_left(settings):
    with pytest.raises(EvaluationError, match="OPENAI_API_KEY"):
        limits_of(Experiment("demo", ("mmvet",), {"baseline": VariantSpec()}, ()), settings)
