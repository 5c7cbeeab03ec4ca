"""Calibration of spectral budgets, and their study on a small world."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from helpers import ROOT

from vtstudy.config import Spectra, load
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.calibration import budgets, calibrate
from vtstudy.experiments.collect import collect
from vtstudy.experiments.intervals import spearman, wilson
from vtstudy.experiments.settings import SpectraSettings
from vtstudy.experiments.spectra import MEASURES, run
from vtstudy.experiments.spectra_pictures import benchmark_images, calibration_images, decoded, read_density
from vtstudy.report.results import load_results
from vtstudy.world.datasets import make_all

pytestmark = pytest.mark.slow


@pytest.fixture
def shares():
    slope = torch.linspace(0.05, 0.6, 50)[:, None]
    energies = torch.exp(-slope * torch.arange(60))
    return energies / energies.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("tokens", [2, 5.5, 13])
def test_the_mean_budget_meets_the_fixed_one(shares, tokens):
    energy = calibrate(shares, tokens)
    assert abs(budgets(shares, energy).double().mean() - tokens) < 0.05
    nearest = min(abs(budgets(shares, step / 2000).double().mean() - tokens) for step in range(1, 2001))
    assert abs(budgets(shares, energy).double().mean() - tokens) <= nearest + 0.01


def test_calibration_knows_the_limits(shares):
    energy = calibrate(shares, 8, k_min=4, k_max=12)
    kept = budgets(shares, energy, 4, 12)
    assert kept.min() == 4 and kept.max() == 12 and abs(kept.double().mean() - 8) < 0.05
    with pytest.raises(EvaluationError, match="13"):
        calibrate(shares, 13, 4, 12)


def test_rank_correlation():
    a = np.array([1, 2, 2, 3, 5, 8, 9, 9])
    value, low, high = spearman(a, a**2)
    assert value == pytest.approx(1) and 0.99 < low <= high
    assert spearman(a, -a)[0] == pytest.approx(-1)
    # By hand: ranks 1, 2.5, 2.5, 4 against 1, 2, 4, 3.
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 4, 3]))[0] == pytest.approx(3.0 / math.sqrt(4.5 * 5))
    assert all(map(math.isnan, spearman(a, np.ones(8))))
    generator = np.random.default_rng(0)
    covered = sum(low <= 0 <= high for _, low, high in (spearman(*generator.normal(size=(2, 40))) for _ in range(400)))
    assert 365 < covered < 395  # 380 expected
    twice = np.repeat(generator.normal(size=(2, 20)), 2, axis=1)  # each of 20 images shown by two questions
    once = spearman(*twice[:, ::2])
    assert spearman(*twice, independent=20) == pytest.approx(once, abs=0.01) and spearman(*twice)[1] > once[1] + 0.05


def test_interval_of_a_percentage():
    assert wilson(50, 100) == pytest.approx((40.38, 59.62), abs=0.01)
    assert wilson(100, 100)[1] == pytest.approx(100) and 96 < wilson(100, 100)[0] < 97


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The study of a world of a few dozen images, with the committed checkpoint."""
    folder = tmp_path_factory.mktemp("spectra")
    make_all(folder / "world", {"default": 5, "pope": 6, "mme": 28, "mmbench": 20}, seed=5)
    options = Spectra(targets=[0.25, 0.1], calibration=4, seed=0, limits=[[0.75, 1.25]])
    data, results = str(folder / "world"), str(folder / "results")
    run(
        SpectraSettings(
            data=data, dtype="float32", out=results, cache=str(folder / "answers"), batch_size=16, spectra=options
        )
    )
    return folder


def table(study, name):
    with (study / "results/spectra" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.exhaustive
def test_every_image_has_its_budgets(study):
    rows = table(study, "budgets")
    known = read_density(study / "world/density.csv")
    assert {(row["benchmark"], row["image_id"]) for row in rows} == set(known) and len(rows) == len(known)
    for row in rows:
        assert all(int(row[name]) == known[row["benchmark"], row["image_id"]][name] for name in MEASURES)
        assert 1 <= int(row["projected_0.1"]) <= int(row["projected_0.25"]) <= 144
    assert len({row["projected_0.25"] for row in rows}) > 5


@pytest.mark.exhaustive
def test_mean_budgets_are_matched_on_other_pictures(study):
    rows = table(study, "calibration")
    assert len(rows) == 3 * 2 * 2 * 2 + 2
    assert [(row["k_min"], row["k_max"]) for row in rows[-3:]] == [("1", ""), ("27", "45"), ("10", "18")]
    assert all(int(row["k_min"]) <= int(row["least"]) <= int(row["most"]) <= int(row["k_max"]) for row in rows[-2:])
    for row in rows:
        assert float(row["calibrated_mean"]) == pytest.approx(float(row["tokens"]), abs=0.15)
        assert float(row["mean"]) == pytest.approx(float(row["tokens"]), rel=0.35)
        assert int(row["tokens"]) == {"0.25": 36, "0.1": 14}[row["target"]]


@pytest.mark.exhaustive
def test_calibration_pictures_are_not_evaluated(study):
    """None of them is among the benchmarks' images, whatever the seed, and none lies on their side of the split."""
    root = study / "world"
    evaluated = {decoded(image).tobytes() for _, _, image in benchmark_images(root, None)}
    for seed in (0, 1):
        pictures = calibration_images(read_density(root / "density.csv").values(), 4, seed)
        assert len(pictures) == 4 * 12 and len({picture.tobytes() for picture in pictures}) > 30
        assert not evaluated & {picture.tobytes() for picture in pictures}


@pytest.mark.exhaustive
def test_examples_are_at_both_ends(study):
    rows = list(csv.DictReader((study / "results/spectra/examples/examples.csv").open()))
    budgets_of = {(row["benchmark"], row["image_id"]): int(row["projected_0.1"]) for row in table(study, "budgets")}
    for end, extreme in (("smallest", min), ("largest", max)):
        here = [row for row in rows if row["end"] == end]
        assert len(here) == len({row["benchmark"] for row in here}) == 4
        assert int(here[0]["tokens"]) == extreme(budgets_of.values())
        for row in here:
            assert int(row["tokens"]) == budgets_of[row["benchmark"], row["image_id"]]
            assert (study / "results/spectra/examples" / row["picture"]).is_file()


@pytest.mark.exhaustive
def test_randomised_budgets_are_the_exact_ones(study):
    rows = [row for row in table(study, "agreement") if row["benchmark"] == "all"]
    assert len(rows) == 6
    for row in rows:
        # Targets are calibrated, so budgets lie where the energies are near tau: there the last bits decide.
        assert int(row["furthest"]) <= 1 and int(row["same"]) >= 0.95 * int(row["n"])
    assert any(int(row["at_first_rank"]) > 0.5 * int(row["n"]) for row in rows)  # not all by taking all energies


@pytest.mark.exhaustive
def test_decay_rises_to_the_whole(study):
    rows = [
        r for r in table(study, "decay") if (r["features"], r["centre"], r["group"]) == ("projected", "False", "all")
    ]
    medians = [float(row["median"]) for row in rows]
    assert medians == sorted(medians) and medians[-1] > 0.99
    assert {row["group"] for row in table(study, "decay")} >= {"sparse third", "dense third"}


@pytest.mark.exhaustive
def test_the_headlines_are_results_like_any_other(study):
    collect(study / "results/scores", study, load(ROOT / "params.yaml"))
    found = load_results(study / "results.csv", {"LLaVA-1.5-7B": "miniature-llava"})
    for method in ("budget_by_content", "mean_budget", "randomised_is_exact"):
        measure = found.score("spectra", "miniature-llava", method, "all", 0.1)
        assert measure.has_interval and measure.low <= measure.value <= measure.high + 1e-4
    assert json.loads((study / "provenance.json").read_text())["seconds_by_experiment"]["spectra"] > 0
    assert set(json.loads((study / "results/scores/spectra.json").read_text())["spectra"]["seconds"]) == {
        "calibration",
        "benchmarks",
    }


def test_spectra_need_data_in_a_folder():
    options = Spectra(targets=[0.1], calibration=1, seed=0)
    with pytest.raises(EvaluationError, match=r"evaluation\.data"):
        run(SpectraSettings(data=None, spectra=options))
