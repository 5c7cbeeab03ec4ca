"""The committed results: complete, and what the miniature must show before its claims mean anything."""

import csv

import pytest
from helpers import ROOT

from vtstudy.benchmarks import WORLD

RESULTS = ROOT / "reports/results.csv"


@pytest.fixture(scope="module")
def measured():
    with RESULTS.open() as file:
        rows = [r for r in csv.DictReader(file) if r["model"] == "miniature-llava"]
    return {(r["experiment"], r["method"], r["benchmark"]): r for r in rows}


@pytest.mark.parametrize("benchmark", WORLD)
def test_every_row_of_table1_is_there_with_its_interval(measured, benchmark):
    for method in ("baseline", "blind", "fastv", "adaptprune", "adaptprune_as_written", "random"):
        row = measured["table1", method, benchmark]
        assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"]) and int(row["n"]) >= 300
    difference = measured["table1", "adaptprune - fastv", benchmark]
    a, b = (float(measured["table1", m, benchmark]["value"]) for m in ("adaptprune", "fastv"))
    assert float(difference["value"]) == pytest.approx(a - b, abs=2e-4)


@pytest.mark.parametrize("benchmark", WORLD)
def test_the_unpruned_model_sees(measured, benchmark):
    """It beats the same model given a blank image, and the best constant answer, beyond the interval."""
    assert float(measured["table1", "baseline - blind", benchmark]["ci_low"]) > 0
    chance = float(measured["table1", "chance", benchmark]["value"])
    assert float(measured["table1", "baseline", benchmark]["ci_low"]) > chance


def test_the_ablation_shares_its_ends_with_table1(measured):
    for benchmark in ("nocaps", "gqa", "docvqa", "pope"):
        for ours, theirs in (("(a)", "fastv"), ("(d)", "adaptprune")):
            assert measured["table4", ours, benchmark]["value"] == measured["table1", theirs, benchmark]["value"]
