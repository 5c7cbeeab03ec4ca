"""The sweep over layers: which variants and pairs it has, and what it writes."""

import pandas as pd
import pytest
from helpers.tiny_llava import build_checkpoint, write_data

from vtprune.errors import UserError
from vtstudy.cli import main
from vtstudy.experiments.layer_sweep import pivot, sweep
from vtstudy.experiments.runner import run, variants_of
from vtstudy.experiments.settings import LayerSettings
from vtstudy.results_table import read_results


def _settings(tmp_path, **changes) -> LayerSettings:
    values = {
        "checkpoint": str(build_checkpoint(tmp_path / "tiny-llava")),
        "data": str(write_data(tmp_path / "data", "pope")),
        "cache": str(tmp_path / "answers"),
        "out": str(tmp_path / "results"),
        "dtype": "float32",
        "device": "cpu",
        "limit": 6,
        "max_new_tokens": 2,
        "resamples": 20,
        "prune_before": [1, 3],
        "keeps": [0.5, 0.25],
        "methods": ["fastv", "random"],
        "benchmarks": ["pope"],
    }
    return LayerSettings.model_validate(values | changes)


def test_every_method_is_asked_before_every_layer(tmp_path):
    settings = _settings(tmp_path, methods=["fastv", "adaptprune", "fitprune"])
    experiment = sweep(settings)
    swept = {name for name in experiment.variants if name not in ("baseline", "blind")}
    assert swept == {f"{method} K={layer}" for method in settings.methods for layer in (1, 3)}
    assert experiment.pairs == ("adaptprune K=1 - fastv K=1", "adaptprune K=3 - fastv K=3")
    variants = variants_of(experiment, settings)
    assert {variants[f"fastv K={layer}", 0.5].method.layer for layer in (1, 3)} == {1, 3}


def test_the_layers_of_a_model_do_not_replace_those_of_the_sweep(tmp_path):
    settings = _settings(tmp_path, layers={"fastv": 2})
    variants = variants_of(sweep(settings), settings)
    assert [variants[f"fastv K={layer}", 0.25].method.layer for layer in (1, 3)] == [1, 3]


def test_results_have_a_row_for_each_layer_and_ratio(tmp_path):
    results = read_results(run(sweep(_settings(tmp_path)), _settings(tmp_path)))
    table = pivot(results)
    pruned = [
        (keep, f"{method} K={layer}") for keep in (0.5, 0.25) for layer in (1, 3) for method in ("fastv", "random")
    ]
    assert list(table.index) == [(1.0, "baseline"), (1.0, "blind"), *pruned, (-1.0, "chance")]
    row = results[(results["method"] == "fastv K=3") & (results["keep"] == 0.25)]
    assert table.loc[0.25, "fastv K=3"]["pope"] == pytest.approx(row["value"].iloc[0])
    assert isinstance(table, pd.DataFrame) and "fastv K=1 - random K=1" in set(results["method"])


def test_a_layer_that_the_model_lacks_is_refused(tmp_path):
    settings = _settings(tmp_path, prune_before=[4])
    with pytest.raises(UserError):
        run(sweep(settings), settings)


def test_the_command_prints_the_scores_of_a_checkpoint(tmp_path, capsys):
    settings = _settings(tmp_path)
    options = {
        "checkpoint": settings.checkpoint,
        "data": settings.data,
        "out": tmp_path / "out",
        "cache": settings.cache,
        "prune-before": "1,3",
        "keeps": "0.5",
        "methods": "fastv,random",
        "benchmarks": "pope",
        "limit": 6,
        "device": "cpu",
    }
    assert main(["layers", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]) == 0
    printed = capsys.readouterr().out
    results = read_results(tmp_path / "out/scores/layers.csv")
    scores = results[(results["benchmark"] == "pope") & results["method"].isin(["baseline", "fastv K=3"])]
    assert len(scores) == 2 and all(f"{value:.1f}" in printed for value in scores["value"])


def test_the_command_refuses_a_layer_that_is_no_number(tmp_path, capsys):
    settings = _settings(tmp_path)
    command = ["layers", "--checkpoint", settings.checkpoint, "--data", settings.data, "--out", str(tmp_path)]
    assert main([*command, "--prune-before", "first"]) != 0
    assert "prune_before" in capsys.readouterr().err
