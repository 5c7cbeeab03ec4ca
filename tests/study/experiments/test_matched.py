"""Matched budgets: what is calibrated, what is counted, which rows there are; on a tiny model."""

import csv
import json

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

from vtprune import load as load_checkpoint
from vtprune.methods import SpectralBudget, get_method
from vtstudy import cli
from vtstudy.config import load
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.adaptprune_tables import TABLE1
from vtstudy.experiments.eadaprune import (
    BENCHMARKS,
    calibrated_budgets,
    comparison,
    label,
    sensitivity,
    threshold_sweep,
)
from vtstudy.experiments.matched import token_rows
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.experiments.settings import SpectralSettings

pytestmark = pytest.mark.slow

LINES = """features,centre,power,target,k_min,k_max,tokens,energy
vision,False,2,0.25,1,,4,0.9
projected,True,1,0.25,1,,4,0.7
projected,False,2,0.25,1,,4,0.8
projected,False,2,0.25,3,6,4,0.81
projected,False,2,0.5,1,,8,0.95
"""


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "calibration.csv"
    path.write_text(LINES)
    return path


def test_the_default_assumptions_come_first(calibration):
    first, *others = calibrated_budgets(calibration, 0.25)
    assert first == SpectralBudget(0.8, route="gram")
    assert others == [
        SpectralBudget(0.9, features="vision", route="gram"),
        SpectralBudget(0.7, centre=True, power=1.0, route="svd"),
        SpectralBudget(0.81, k_min=3, k_max=6, route="gram"),
    ]
    assert calibrated_budgets(calibration, 0.5) == [SpectralBudget(0.95, route="gram")]


def test_budgets_that_were_not_calibrated_are_refused(calibration, tmp_path):
    with pytest.raises(EvaluationError, match=r"0\.1"):
        calibrated_budgets(calibration, 0.1)
    with pytest.raises(EvaluationError, match=r"none\.csv"):
        calibrated_budgets(tmp_path / "none.csv", 0.1)


def test_rows_of_the_comparison(calibration):
    settings = SpectralSettings(hosts=("fastv", "random"), keeps=(0.5, 0.25), calibration=str(calibration))
    found = comparison(settings)
    assert list(found.variants) == ["baseline", "fastv", "fastv_spectral", "random", "random_spectral"]
    assert found.pairs == ("fastv_spectral - fastv", "random_spectral - random") and found.benchmarks == BENCHMARKS
    assert (*BENCHMARKS[:-1], "mme", BENCHMARKS[-1]) == TABLE1.benchmarks
    row = found.variants["random_spectral"]
    assert row.takes_keep and row.ratio(0.25) == 0.25
    assert row.variant(0.25).method == get_method("random", keep=SpectralBudget(0.8, route="gram"))
    assert row.variant(0.5).method.keep.energy == 0.95


def test_rows_of_the_sweep():
    found = threshold_sweep(SpectralSettings(energies=(0.99, 0.9), benchmarks=("pope",)))
    assert list(found.variants) == ["baseline", "fastv tau=0.9", "fastv tau=0.99"] and found.benchmarks == ("pope",)
    row = found.variants["fastv tau=0.9"]
    assert not row.takes_keep and row.ratio(0.1) is None and row.variant(0.1).method.keep.energy == 0.9
    with pytest.raises(EvaluationError, match="energies"):
        threshold_sweep(SpectralSettings())


def test_rows_of_the_sensitivity(calibration):
    settings = SpectralSettings(keeps=(0.25,), calibration=str(calibration), benchmarks=("pope",))
    found = sensitivity(settings)
    assert list(found.variants) == [
        "baseline",
        "fastv",
        "fastv_spectral",
        "fastv vision",
        "fastv projected centred s^1",
        "fastv projected k>=3 k<=6",
    ]
    assert found.pairs[:2] == ("fastv_spectral - fastv", "fastv vision - fastv_spectral") and len(found.pairs) == 4
    with pytest.raises(EvaluationError, match="sensitivity"):
        sensitivity(SpectralSettings(keeps=(0.25, 0.5), calibration=str(calibration)))


def test_names_of_the_assumptions():
    """Those that the docstring gives; the miniature's calibration has such names."""
    said = [
        label(SpectralBudget(0.9, features="hidden", centre=True, power=1.0, route="svd")),
        label(SpectralBudget(0.9, k_min=10, k_max=18)),
    ]
    assert said == ["hidden centred s^1", "projected k>=10 k<=18"] and all(
        f'"{name}"' in str(label.__doc__) for name in said
    )
    settings = EXPERIMENTS["sensitivity"].settings_of(load(ROOT / "params.yaml"))
    budgets = calibrated_budgets(ROOT / settings.calibration, settings.keeps[0])
    assert {said[0], "projected k>=43 k<=71"} <= {label(budget) for budget in budgets}  # limits around 57 of 576 tokens


@pytest.mark.parametrize("name", ["eadaprune", "energy", "sensitivity"])
def test_params_have_the_experiments(name):
    config = load(ROOT / "params.yaml")
    settings = EXPERIMENTS[name].settings_of(config)
    assert set(settings.keeps) <= set(config.spectra.targets) and settings.limit is not None
    assert set(settings.benchmarks) <= set(BENCHMARKS) and settings.hosts
    assert name == "sensitivity" or settings.benchmarks == BENCHMARKS
    for host in settings.hosts:
        assert get_method(host, keep=SpectralBudget(0.9))


def test_token_rows():
    counts = {"pope": np.array([[[2, 4], [4, 5]], [[3, 3], [3, 3]]]), "gqa": np.array([[[6, 8]], [[3, 3]]])}
    rows = list(token_rows([("a", 0.5, 0.9), ("b", None, None)], counts))
    assert [(row["method"], row["benchmark"], row["tokens"], row["tokens_by_layer"]) for row in rows[:3]] == [
        ("a", "pope", "3", "4.5"),
        ("a", "gqa", "6", "8"),
        ("a", "mean", "4.5", "6.25"),
    ]
    assert (rows[0]["sd"], rows[0]["least"], rows[0]["most"], rows[2]["n"], rows[2]["sd"]) == ("1", 2, 4, 3, None)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkpoint of 4 layers and 16 image tokens, and one data set."""
    from helpers.tiny_llava import build_checkpoint, write_data

    folder = tmp_path_factory.mktemp("matched")
    build_checkpoint(folder / "tiny")
    write_data(folder / "data", "pope")
    (folder / "calibration.csv").write_text(LINES)
    return folder


def write_params(path, checkpoint, data, **experiments) -> list[str]:
    """A file of parameters for one model; returns the options that every command gets."""
    params = {
        "profile": "lite",
        "models": {"one": {"paper": "LLaVA-1.5-7B", "table": "table1", "checkpoint": str(checkpoint)}},
        "evaluation": {"resamples": 50, "batch_size": 4, "data": data, "dtype": "float32"},
        "experiments": experiments,
        "report": {"tolerances": {"default": 1.0}},
    }
    path.write_text(json.dumps(params))
    return ["--params", str(path), "--out", str(path.parent)]


@pytest.mark.exhaustive
def test_an_experiment_writes_scores_and_tokens(place):
    section = {"hosts": ["fastv"], "keeps": [0.25], "benchmarks": ["pope"]}
    common = write_params(place / "params.yaml", place / "tiny", str(place / "data"), sensitivity=section)
    (place / "results/spectra").mkdir(parents=True, exist_ok=True)
    (place / "results/spectra/calibration.csv").write_text(LINES)
    arguments = ["run", "sensitivity", *common, "--cache", str(place / "answers")]
    assert cli.main(arguments) == 0
    written = (place / "results/scores/sensitivity.csv").read_text()
    methods = {row["method"] for row in csv.DictReader(written.splitlines())}
    assert {"baseline", "fastv", "fastv_spectral", "fastv vision - fastv_spectral"} <= methods
    tokens = list(csv.DictReader((place / "results/sensitivity/tokens.csv").open()))
    fixed = next(row for row in tokens if (row["method"], row["benchmark"]) == ("fastv", "pope"))
    assert fixed["tokens"] == "4" and fixed["tokens_by_layer"] == "10"  # (2 * 16 + 2 * 4) / 4
    variants = list(csv.DictReader((place / "results/sensitivity/variants.csv").open()))
    assert [row["method"] for row in variants] == [
        "fastv_spectral",
        "fastv vision",
        "fastv projected centred s^1",
        "fastv projected k>=3 k<=6",
    ]
    assert 3 <= float(variants[-1]["tokens"]) <= 6
    facts = json.loads((place / "results/scores/sensitivity.json").read_text())
    assert facts["answers"] == 6 * int(fixed["n"])
    # Again: nothing is asked anew, and the same bytes are written.
    assert cli.main(arguments) == 0 and (place / "results/scores/sensitivity.csv").read_text() == written


def test_an_experiment_without_calibration_is_refused(place, capsys):
    arguments = ["run", "eadaprune", "--params", str(ROOT / "params.yaml"), "--out", str(place / "nowhere")]
    assert cli.main(arguments) == 2
    assert "calibration.csv" in capsys.readouterr().err


def test_a_checkpoint_is_calibrated_on_pictures_of_ones_own(place, capsys):
    generator = np.random.default_rng(0)
    (place / "pictures").mkdir()
    for n in range(6):
        Image.fromarray(generator.integers(0, 40 * (n + 1), (32, 32, 3), dtype=np.uint8)).save(
            place / f"pictures/{n}.png"
        )
    (place / "own").mkdir()
    common = write_params(place / "own/params.yaml", place / "tiny", None, eadaprune={"keeps": [0.5, 0.25]})
    arguments = ["calibrate", *common, "--pictures"]
    assert cli.main([*arguments, str(place / "pictures")]) == 0
    written = place / "own/results/spectra/calibration.csv"
    rows = list(csv.DictReader(written.open()))
    assert [(row["target"], row["tokens"]) for row in rows] == [("0.5", "8"), ("0.25", "4")]
    assert all(abs(float(row["calibrated_mean"]) - int(row["tokens"])) <= 0.5 for row in rows)
    (budget,) = calibrated_budgets(written, 0.25)
    assert budget == SpectralBudget(float(rows[1]["energy"]), route="gram")
    (place / "empty").mkdir()
    assert cli.main([*arguments, str(place / "empty")]) == 2 and "no pictures" in capsys.readouterr().err
    (place / "broken").mkdir()
    (place / "broken/no.png").write_bytes(b"no picture")
    assert cli.main([*arguments, str(place / "broken")]) == 2
    assert "broken/no.png" in capsys.readouterr().err


def test_pictures_of_different_token_counts_are_calibrated_together(tmp_path, capsys):
    """The energy's mean budget is the mean of the fixed ones, as the attached budget really keeps them."""
    from helpers.tiny_families import build, save

    from vtprune.attach.inference import Question, chat_prompt, encode

    save("llava_next", "llama", tmp_path / "tiny")
    build("llava_next", "llama", layers=3).save_pretrained(tmp_path / "tiny")  # FastV's layer 2 needs a third
    generator = np.random.default_rng(0)
    images = [
        Image.fromarray(generator.integers(0, 255, (h, w, 3), dtype=np.uint8))
        for h, w in ((30, 70), (100, 20), (64, 64), (20, 90), (32, 32))
    ]
    for n, image in enumerate(images):
        image.save(tmp_path / f"{n}.png")
    common = write_params(tmp_path / "params.yaml", tmp_path / "tiny", None, eadaprune={"keeps": [0.25]})
    assert cli.main(["calibrate", *common, "--device", "cpu", "--pictures", str(tmp_path)]) == 0
    written = tmp_path / "results/spectra/calibration.csv"
    (row,) = csv.DictReader(written.open())
    (budget,) = calibrated_budgets(written, 0.25)
    model, processor = load_checkpoint(tmp_path / "tiny", device="cpu", dtype="float32")
    kept = {"fixed": [], "spectral": [], "all": []}
    for image in images:
        inputs = encode(model, processor, [Question(0, chat_prompt(processor, "", 1), (image,))])
        for name, keep in (("fixed", 0.25), ("spectral", budget), ("all", 1.0)):
            with get_method("fastv", keep=keep).attach(model) as pruned, torch.inference_mode():
                model(**inputs)
            kept[name].append(sum(len(image.indices) for image in pruned.kept[0]))
    assert len(set(kept["all"])) > 2 and len(set(kept["spectral"])) > 1
    assert float(row["tokens"]) == pytest.approx(np.mean(kept["fixed"])) and float(
        row["calibrated_mean"]
    ) == pytest.approx(np.mean(kept["spectral"]))
    assert abs(np.mean(kept["spectral"]) - np.mean(kept["fixed"])) <= 0.5
