"""The report of a run of the papers' own checkpoints: every value is judged, and nothing of the miniature is said."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from helpers import paper_results, synthetic_data
from helpers import synthetic_results as synthetic

from vtstudy.report.build import pages
from vtstudy.report.evidence import DIFFERS, NOT_RUN, REPRODUCED
from vtstudy.report.inputs import Folders, load
from vtstudy.report.verdicts.printed_values import AS_RATIO, printed_values_frame
from vtstudy.report.view import View, build_view
from vtstudy.results_table import to_csv

pytestmark = pytest.mark.slow

OF_THE_MINIATURE = re.compile(
    r"miniature|stand-in|stands? in for|stands for|in the place of|\btiles?\b|\d+ ?[x×] ?\d+ (?:cells|tokens)|rendered|"
    r"the world|lite or paper|\b144\b(?![.]| ×)",
    re.IGNORECASE,
)


def view_of(folder: Path, table: list[synthetic.Row], checkpoints: dict[str, str], **facts) -> View:
    """What the report of a run under the profile `paper` shows."""
    (folder / "results.csv").write_text(to_csv(pd.DataFrame(table)))
    files = synthetic.write_others(folder, "paper", checkpoints, **facts)
    return build_view(load(Folders(folder, synthetic.PUBLISHED, files["params"])))


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> View:
    folder = tmp_path_factory.mktemp("paper")
    synthetic_data.write_figures(folder / "results")
    synthetic_data.write_spectral(folder / "results", recorded_ms=3.0)
    paper_results.write_spectral(folder / "results")
    paper_results.write_costs(folder / "results")
    return view_of(folder, paper_results.rows(), paper_results.CHECKPOINTS)


def test_every_score_has_a_verdict_and_every_cost_a_ratio(shown):
    counts = Counter(value.verdict for value in shown.printed_values)
    assert counts[REPRODUCED] + counts[DIFFERS] == 475 and counts[AS_RATIO] == 9
    assert all(value.tolerance for value in shown.printed_values if value.verdict != AS_RATIO)
    reasons = {(v.row, v.column): v.reason for v in shown.printed_values if v.verdict == AS_RATIO}
    assert "0.56 of it in the paper, 0.62 (0.59 to 0.67) here" in reasons["FastV", "Latency"]
    assert "0.76 of it in the paper, 0.80 (0.80 to 0.80) here" in reasons["AdaptPrune", "GPU-Memory"]


def test_every_number_of_the_second_paper_has_a_verdict(shown):
    by_quantity = {}
    for number in shown.second.published:
        by_quantity.setdefault(number.quantity, []).append(number)
    assert {name: len(numbers) for name, numbers in by_quantity.items()} == {
        "average_gain": 1,
        "gain": 1,
        "percent": 2,
        "latency": 1,
        "setup": 4,
        "score": 8,
    }
    judged = [number for name, numbers in by_quantity.items() if name != "setup" for number in numbers]
    assert {number.verdict for number in judged} == {REPRODUCED, DIFFERS}
    for number in judged:
        if number.quantity != "latency":
            within = abs(number.ours.value - number.number) <= number.tolerance
            assert (number.verdict == REPRODUCED) == within, number
    (gain,) = by_quantity["gain"]
    assert gain.ours.value == pytest.approx(100 * paper_results.GAIN / paper_results.UNPRUNED)


def test_the_nearest_budget_to_pyramiddrops_own_is_compared(shown):
    numbers = [number for number in shown.second.published if number.quantity == "score"]
    assert {number.ours.keep for number in numbers} == {0.1112}
    assert {number.ours.benchmark for number in numbers} >= {"pope_f1", "textvqa_ocr", "mmvet", "mme"}


def test_spectra_of_photographs_have_their_charts_but_no_known_density(shown):
    parts = {part.id: part for part in shown.second.parts}
    assert len(parts["spectra"].charts) == 3 and "density" not in parts


def test_every_backbone_of_the_second_paper_is_reported(shown):
    findings = " ".join(shown.second.findings)
    for paper in ("LLaVA-1.5-7B", "LLaVA-1.5-13B", "LLaVA-NeXT-8B"):
        assert f"On {paper} " in findings


def test_only_a_claim_about_rendered_pictures_is_not_run(shown):
    claims = [*shown.claims, *shown.second.claims]
    assert [claim.id for claim in claims if claim.verdict == NOT_RUN] == ["spectral-denser-more"]


def test_nothing_of_the_miniature_is_said(shown):
    texts = [re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL) for text in pages(shown).values()]
    frame = printed_values_frame(shown.printed_values)
    texts += [*frame["reason"], *shown.second.published_frame()["reason"]]
    texts += [chart.title + chart.caption + chart.alt for chart in shown.charts]
    found = [text[max(0, m.start() - 60) : m.end() + 60] for text in texts for m in OF_THE_MINIATURE.finditer(text)]
    assert not found


def test_no_slash_of_a_hub_id_gets_into_a_file_name(shown):
    names = [chart.name for chart in shown.charts]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)
    assert any("llava-1.5-13b-hf" in name for name in names)


def test_models_are_named_with_their_revision(shown):
    summary = " ".join(shown.summary)
    for paper, checkpoint in paper_results.CHECKPOINTS.items():
        assert f"{checkpoint} ({paper}): revision {synthetic.REVISION[:12]}" in summary


@pytest.mark.parametrize(
    "models",
    [
        ("LLaVA-1.5-13B",),
        pytest.param(("InternVL2-2B", "InternVL2-8B"), marks=pytest.mark.exhaustive),
        pytest.param(("LLaVA-1.5-13B", "LLaVA-NeXT-7B"), marks=pytest.mark.exhaustive),
        ("LLaVA-NeXT-8B",),
    ],
)
def test_any_subset_of_models_can_be_reported(tmp_path, models):
    checkpoints = {paper: paper_results.CHECKPOINTS[paper] for paper in models}
    table = [row for row in paper_results.rows() if row["model"] in checkpoints.values()]
    shown = view_of(tmp_path, table, checkpoints)
    judged = {value.model for value in shown.printed_values if value.verdict in (REPRODUCED, DIFFERS)}
    assert judged == set(models) - {"LLaVA-NeXT-8B"}
    assert all(number.reason for number in shown.second.published)
    assert "README.md" in pages(shown)


def test_what_was_left_out_is_said_with_its_reason(tmp_path):
    reason = "its judge cannot be reached"
    table = [row for row in paper_results.rows() if row["benchmark"] != "mmvet"]
    shown = view_of(tmp_path, table, paper_results.CHECKPOINTS, left_out={"eadaprune": {"mmvet": reason}})
    assert any(reason in sentence for sentence in shown.summary)
    numbers = [number for number in shown.second.published if "MM-Vet" in number.column]
    assert len(numbers) == 4 and all(number.verdict == NOT_RUN and reason in number.reason for number in numbers)
    claim = next(claim for claim in shown.second.claims if claim.id == "spectral-mmvet")
    assert claim.verdict == NOT_RUN and reason in claim.reason


def test_published_numbers_are_written_with_the_row_that_they_are_judged_on(shown, tmp_path):
    frame = shown.second.published_frame()
    frame.to_csv(tmp_path / "verdicts.csv", index=False)
    read = pd.read_csv(tmp_path / "verdicts.csv")
    scores = read[read["quantity"] == "score"]
    assert (scores["ours_experiment"] == "eadaprune").all() and scores["difference"].notna().all()
    assert scores["convention"].notna().all()
