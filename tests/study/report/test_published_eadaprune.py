"""The little that is known of E-AdaPrune's numbers: what the summaries print, and what others report of it."""

import math

import pytest
import yaml
from helpers import ROOT
from helpers.synthetic_results import PUBLISHED

from vtstudy.report.published import load_published
from vtstudy.report.verdicts.claim_comparisons import Expectation
from vtstudy.report.verdicts.claims import FORMS
from vtstudy.results_table import read_results

SUMMARY_VALUES = {
    "MM-Vet, relative gain": "+5.1%",
    "Latency added per image with randomised SVD, at most": "8ms",
    "Average gain at matched budgets, at most": "0.6%",
}
SECONDARY = {
    "POPE": 86.5,
    "TextVQA": 58.1,
    "MME": 1510.0,
    "MM-Vet": 33.5,
    "MMBench-CN": 59.1,
    "GQA": 60.9,
    "SEED-Bench": 65.2,
    "MMBench": 65.2,
}


@pytest.fixture(scope="module")
def published():
    return load_published(PUBLISHED / "eadaprune.csv")


def test_every_value_has_its_source_and_stands_once(published):
    assert len(published) == 17
    assert not published.duplicated(["table", "model", "row", "column"]).any()
    assert set(published["source"].str.split(" ").str[0]) == {"abstract", "summary", "secondary"}
    # No summary gives a table or says which model a number is of.
    assert set(published["table"]) == {0} and set(published["model"]) == {"not stated"}
    assert (published["value"].str.strip() == published["value"]).all() and (published["value"] != "").all()


def test_what_the_summaries_print(published):
    first = published[~published["source"].str.startswith("secondary")]
    values = dict(zip(first["column"], first["value"], strict=True))
    assert values.items() >= SUMMARY_VALUES.items()
    mmvet = first[first["column"] == "MM-Vet, % of the unpruned model"].set_index("row")["value"]
    assert mmvet.to_dict() == {"E-AdaPrune": "107.7%", "PyramidDrop": "102.6%"}
    # The printed gain is their difference in points, not their ratio.
    ours, theirs = (float(mmvet[row].rstrip("%")) for row in ("E-AdaPrune", "PyramidDrop"))
    assert math.isclose(ours - theirs, 5.1, abs_tol=0.01) and round(100 * (ours / theirs - 1), 1) == 5.0


def test_secondary_values_are_marked_as_such(published):
    second = published[published["source"].str.startswith("secondary")]
    assert dict(zip(second["column"], second["number"], strict=True)) == SECONDARY
    assert second["source"].str.contains("budget is not stated").all()


def test_claims_are_well_formed():
    claims = yaml.safe_load((PUBLISHED / "claims_eadaprune.yaml").read_text())
    entries = claims["claims"]
    others = yaml.safe_load((PUBLISHED / "claims.yaml").read_text())["claims"]
    ids = [entry["id"] for entry in [*entries, *others]]
    assert len(set(ids)) == len(ids) and set(claims["defaults"]) == {"model", "keep", "quantifier", "tolerance"}
    for entry in entries:
        assert entry["statement"] and entry["place"] and entry["note"] and Expectation.parse(entry["expected"])
        assert all(entry[key] for key in FORMS[entry["kind"]])
        assert all(" - " in pair for pair in entry.get("pairs", ()))


def test_claims_on_the_spectra_name_what_the_experiment_wrote():
    results = read_results(ROOT / "reports/miniature/results.csv")
    written = set(results.loc[results["experiment"] == "spectra", "method"])
    entries = yaml.safe_load((PUBLISHED / "claims_eadaprune.yaml").read_text())["claims"]
    named = {entry["method"] for entry in entries if entry.get("experiment") == "spectra"}
    assert named and named <= written
