"""The probe measures a model, and the plan uses what it measured."""

import json

import pytest
from helpers.tiny_llava import build_checkpoint, write_data

from vtstudy import cli
from vtstudy.planning.rates import read_rates


@pytest.fixture
def params(tmp_path, monkeypatch):
    """A profile with a tiny model that asks questions of POPE alone."""
    monkeypatch.chdir(tmp_path)
    build_checkpoint(tmp_path / "tiny-llava")
    write_data(tmp_path / "data", "pope")
    from vtstudy.experiments.registry import EXPERIMENTS

    for module in ("plan", "questions_asked"):
        monkeypatch.setattr(f"vtstudy.experiments.{module}.EXPERIMENTS", {"energy": EXPERIMENTS["energy"]})
    values = {
        "profile": "mine",
        "models": {"llava-7b": {"paper": "LLaVA-1.5-7B", "checkpoint": "tiny-llava"}},
        "evaluation": {"data": "data", "batch_size": 4, "max_new_tokens": 3, "keep": 0.5, "limit": 4},
        "experiments": {"energy": {"energies": [0.9], "benchmarks": ["pope"]}},
        "report": {"tolerances": {"default": 1.0}},
    }
    (tmp_path / "params.yaml").write_text(json.dumps(values))
    return tmp_path / "params.yaml"


@pytest.mark.exhaustive
def test_a_probe_is_measured_stored_and_used(params, tmp_path, capsys):
    assert cli.main(["plan", "--offline", "--rates", "rates.json"]) == 0
    assert "unknown" in capsys.readouterr().out
    assert cli.main(["plan", "--offline", "--rates", "rates.json", "--probe", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "measured" in printed and "unknown" not in printed
    (rate,) = read_rates(tmp_path / "rates.json")
    assert (rate.model, rate.gpu, rate.batch_size, rate.keep) == ("tiny-llava", False, 4, 0.5)
    seconds = rate.kinds["short"]
    assert seconds.questions == 4 and seconds.question > 0 and seconds.unpruned + seconds.pruned > 0
    assert rate.resident_bytes > 2**20 and {"commit", "date", "threads", "versions"} <= rate.provenance.keys()
    assert not (tmp_path / "data/answers").exists()  # the probe leaves no answers


def test_a_probe_without_a_checkpoint_is_refused(params, capsys):
    params.write_text(params.read_text().replace("tiny-llava", "not-there"))
    assert cli.main(["plan", "--offline", "--probe"]) == 2
    assert "llava-7b" in capsys.readouterr().err
