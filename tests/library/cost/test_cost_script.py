"""benchmarks/cost.py: what it records, and that a stopped run goes on where it was."""

import importlib.util
import json

import pytest
import torch
from helpers import ROOT
from helpers.tiny_configs import tiny_config

from vtprune.cost.measure import build

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "benchmarks" / "cost.py"


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmark_cost", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.loaded = []

    def tiny(size, device, dtype):
        module.loaded.append(size)
        return build(tiny_config(), device, dtype)

    monkeypatch.setattr(module, "_load", tiny)
    return module


def test_a_stopped_run_is_continued(benchmark, tmp_path, capsys):
    out = tmp_path / "recorded" / "cost.json"
    options = ["--device", "cpu", "--sizes", "LLaVA-1.5-7B", "--rounds", "2", "--new-tokens", "2", "--out", str(out)]
    assert benchmark.main([*options, "--batches", "1", "--commit", "abc"]) == 0
    (entry,) = json.loads(out.read_text())
    assert entry["size"] == "LLaVA-1.5-7B" and entry["weights"] == "random" and entry["image_tokens"] == 64
    assert entry["provenance"]["commit"] == "abc" and entry["provenance"]["versions"]["torch"] == torch.__version__
    assert {"none", "fastv", "adaptprune", "adaptprune_loop"} <= set(entry["seconds"])
    assert len(entry["seconds"]["adaptprune"]["selection"]) == 2
    assert "adaptprune" in capsys.readouterr().out

    assert benchmark.main([*options, "--batches", "1", "2", "--commit", "abc"]) == 0
    first, second = json.loads(out.read_text())
    assert first == entry and second["batch"] == 2 and "adaptprune_loop" not in second["seconds"]
    assert "batch 1: measured already" in capsys.readouterr().out

    benchmark.loaded.clear()
    assert benchmark.main([*options, "--batches", "1", "2", "--commit", "other", "--minutes", "1e-9"]) == 3
    assert not benchmark.loaded and len(json.loads(out.read_text())) == 2


def test_wrong_options_are_refused(benchmark, capsys):
    for options, said in [
        (["--keep", "0"], "must lie in (0, 1]"),
        (["--rounds", "1"], "--rounds must be at least 2"),
        (["--batches", "0"], "at least 1"),
    ]:
        with pytest.raises(SystemExit):
            benchmark.main(options)
        assert said in capsys.readouterr().err
