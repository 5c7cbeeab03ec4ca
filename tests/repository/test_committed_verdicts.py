"""The tolerance tests: committed results of every profile against the published tables.

Each verdict of a committed report is made again from its results.csv, its parameters and the published values, by rules
that are written down here once more.
"""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers import ROOT

from vtstudy.report.checkpoints import PAPER_CHECKPOINTS
from vtstudy.report.inputs import Folders, load
from vtstudy.report.verdicts.claims import judge_claims
from vtstudy.results_table import KEYS

pytestmark = pytest.mark.slow

PUBLISHED = ROOT / "data/published"
PROFILES = sorted(path.parent.name for path in (ROOT / "reports").glob("*/verdicts.csv"))
JUDGED = ("reproduced", "differs")


def folder(profile: str) -> Path:
    return ROOT / "reports" / profile


def params(profile: str) -> Path:
    own = ROOT / "profiles" / profile / "params.yaml"
    return own if own.is_file() else ROOT / "params.yaml"


def text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def key_of(row: pd.Series, prefix: str = "") -> tuple[str, ...]:
    """The names of a row of results.csv; a keep ratio as a number, since 1 and 1.0 are one."""
    keep = row[f"{prefix}keep"]
    return str(float(keep)) if keep else "", *(row[prefix + name] for name in KEYS if name != "keep")


def results_of(profile: str) -> dict[tuple[str, ...], pd.Series]:
    return {key_of(row): row for _, row in text(folder(profile) / "results.csv").iterrows()}


def tolerance_of(profile: str, benchmark: str, n: str) -> float:
    """What the profile declares for a benchmark, or what so many of its questions are worth."""
    declared = yaml.safe_load(params(profile).read_text())["report"]["tolerances"]
    whole, _, part = benchmark.partition("/")
    of_whole = declared["default"] if whole == "mme" and part else declared.get(whole, declared["default"])
    tolerance = declared.get(benchmark, of_whole)
    if not n or "questions" not in declared:
        return tolerance
    subtasks = {"mme": 1 if part else 10, "mme_cognition": 4}
    points = 300 * subtasks[whole] if whole in subtasks else 100
    return max(tolerance, declared["questions"] * points / int(n))


def own_models(profile: str) -> set[str]:
    """The papers' models whose own checkpoints were run, by where provenance.json says that they came from."""
    models = json.loads((folder(profile) / "provenance.json").read_text()).get("models", {})
    return {
        model["paper"]
        for model in models.values()
        if model["source"] and model["source"]["id"] == PAPER_CHECKPOINTS.get(model["paper"])
    }


def test_there_is_a_committed_report():
    assert "miniature" in PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_every_printed_value_has_its_line(profile):
    published, verdicts = text(PUBLISHED / "adaptprune.csv"), text(folder(profile) / "verdicts.csv")
    names = ["table", "model", "row", "column"]
    assert verdicts[names].equals(published[names]) and list(verdicts["published"]) == list(published["value"])
    assert (verdicts["reason"] != "").all() and set(verdicts["verdict"]) <= {*JUDGED, "as a ratio", "not run"}


@pytest.mark.parametrize("profile", PROFILES)
def test_ours_is_the_row_of_the_results(profile):
    results = results_of(profile)
    for _, row in text(folder(profile) / "verdicts.csv").iterrows():
        if not row["ours"]:
            continue
        ours = results[key_of(row, "ours_")]
        for name, of_results in (("ours", "value"), ("ci_low", "ci_low"), ("ci_high", "ci_high"), ("n", "n")):
            assert row[name] == ours[of_results] == "" or float(row[name]) == pytest.approx(float(ours[of_results]))
        try:
            number = float(row["published"])
        except ValueError:
            continue
        assert float(row["difference"]) == pytest.approx(float(row["ours"]) - number, abs=1e-3)


@pytest.mark.parametrize("profile", PROFILES)
def test_within_tolerance_is_reproduced_and_beyond_it_differs(profile):
    own = own_models(profile)
    for _, row in text(folder(profile) / "verdicts.csv").iterrows():
        judged = bool(row["ours"]) and row["model"] in own
        assert (row["verdict"] in JUDGED) == judged, row
        if not judged:
            assert not row["tolerance"]
            continue
        tolerance = tolerance_of(profile, row["ours_benchmark"], row["n"])
        assert float(row["tolerance"]) == pytest.approx(tolerance, abs=1e-3)
        within = abs(float(row["ours"]) - float(row["published"])) <= tolerance + 1e-3
        assert row["verdict"] == ("reproduced" if within else "differs"), row


@pytest.mark.parametrize("profile", PROFILES)
def test_scores_of_the_second_paper_are_judged_in_the_same_way(profile):
    results, own = results_of(profile), own_models(profile)
    for _, row in text(folder(profile) / "verdicts_eadaprune.csv").iterrows():
        if row["verdict"] not in JUDGED or row["quantity"] == "latency":
            continue
        assert "LLaVA-1.5-7B" in own
        if row["quantity"] == "score":
            assert float(row["ours"]) == pytest.approx(float(results[key_of(row, "ours_")]["value"]))
        gap = abs(float(row["ours"]) - float(row["value"].rstrip("%")))
        assert row["verdict"] == ("reproduced" if gap <= float(row["tolerance"]) + 1e-3 else "differs")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_verdicts_on_claims_are_those_of_the_results(profile):
    inputs = load(Folders(folder(profile), PUBLISHED, params(profile)))
    committed = text(folder(profile) / "claims.csv").set_index("id")["verdict"].to_dict()
    assert {claim.id: claim.verdict for claim in judge_claims(inputs, inputs.claims)} == committed
