"""Spectra and calibration on data sets that were fetched, which know no densities."""

import csv

import pytest
import yaml
from helpers import ROOT
from helpers.replicas import write_data_sets
from helpers.using_hub import using_hub

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.config import load
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.backbones import calibrate_backbones
from vtstudy.experiments.eadaprune import calibrated_budgets
from vtstudy.experiments.questions_asked import calibrated_on, questions_asked
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.experiments.spectra_pictures import fetched
from vtstudy.fetching.calibration import fetch_calibration
from vtstudy.fetching.data_sets import fetch_data

pytestmark = pytest.mark.exhaustive
KEEPS = [0.25, 0.1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with fetched data, the parameters that ask for them, and the spectra of two stand-ins."""
    folder = tmp_path_factory.mktemp("fetched")
    model = {"paper": "LLaVA-1.5-7B", "table": "table1", "checkpoint": str(ROOT / "data/checkpoints/miniature-llava")}
    other = {"paper": "LLaVA-1.5-13B", "checkpoint": str(ROOT / "data/checkpoints/miniature-llava-large")}
    comparison = {"keeps": KEEPS, "benchmarks": ["vqav2"], "backbones": ["llava-13b"]}
    params = {
        "profile": "lite",
        "models": {"llava-7b": model, "llava-13b": {**other, "table": "table1"}},
        "evaluation": {"data": str(folder / "data"), "limit": 2, "dtype": "float32"},
        "downloads": {},
        "spectra": {"targets": KEEPS, "calibration": 2, "seed": 0, "limit": 1},
        "experiments": {"eadaprune": comparison},
        "report": {"tolerances": {"default": 1.0}},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    config = load(folder / "params.yaml")
    write_data_sets(folder / "hub", *ADAPTPRUNE)
    with using_hub(folder / "hub", folder / "cache"):
        fetch_data(folder / "data", questions_asked(config), {})
        fetch_calibration(folder / "data", calibrated_on(config), config.spectra.calibration)
    changes = {"cache": str(folder / "answers")}
    entry = EXPERIMENTS["spectra"]
    entry.run(entry.settings_of(config, out=str(folder / "results"), **changes))
    calibrate_backbones(config, folder / "results", **changes)
    return folder


def rows(path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_benchmark_of_the_profile_is_asked_for(place):
    assert set(questions_asked(load(place / "params.yaml"))) == set(ADAPTPRUNE)


def test_tables_that_need_densities_are_left_out(place):
    spectra = place / "results/spectra"
    budgets = rows(spectra / "budgets.csv")
    assert {row["benchmark"] for row in budgets} == set(ADAPTPRUNE) and "content" not in budgets[0]
    assert not (spectra / "correlation.csv").exists()
    assert {row["group"] for row in rows(spectra / "decay.csv")} == {*ADAPTPRUNE, "all"}
    scores = rows(place / "results/scores/spectra.csv")
    assert {row["method"] for row in scores} == {"mean_budget", "randomised_is_exact"}


@pytest.mark.parametrize("name", ["calibration.csv", "calibration-llava-13b.csv"])
def test_every_backbone_has_energies(place, name):
    for keep in KEEPS:
        budget = calibrated_budgets(place / "results/spectra" / name, keep)[0]
        assert 0 < budget.energy < 1
    fixed = {float(row["target"]): float(row["tokens"]) for row in rows(place / "results/spectra" / name)}
    assert fixed == {0.25: 36, 0.1: 14}


def test_the_backbone_reads_its_own_energies(place):
    config = load(place / "params.yaml")
    entry = EXPERIMENTS["eadaprune"]
    assert entry.models(config) == ["llava-7b", "llava-13b"]
    for model, file in (("llava-7b", "calibration.csv"), ("llava-13b", "calibration-llava-13b.csv")):
        settings = entry.settings_of(config, model, out=str(place / "results"))
        assert settings.calibration == str(place / "results/spectra" / file)
    assert entry.file_stem(config, "llava-7b") == "eadaprune"
    assert entry.file_stem(config, "llava-13b") == "eadaprune-llava-13b"


def test_data_without_calibration_pictures_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="vtstudy fetch data"):
        fetched(tmp_path)
