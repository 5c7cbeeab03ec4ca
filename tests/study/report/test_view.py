"""What the report shows: findings, studies, sanity."""

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.results import HIGHER, LOWER, OPEN
from vtstudy.report.verdicts.printed_values import DIFFERS, REPRODUCED


@pytest.mark.parametrize(("gain", "sign"), [(12, HIGHER), (-12, LOWER), (0, OPEN)])
def test_the_lead_over_fastv_has_its_sign(view, gain, sign):
    shown = view(synthetic.rows(gain=gain))
    study = next(study for study in shown.studies if study.experiment == "table1")
    lead = study.comparison(("adaptprune", "fastv"))
    assert lead.mean.sign == sign and lead.mean.measurement.value == gain


@pytest.mark.parametrize(("gain", "rank"), [(12, "number 2"), (-12, "the best"), (0, "the best")])
def test_the_rank_of_random_selection_does_not_count_a_second_reading(view, gain, rank):
    findings = " ".join(view(synthetic.rows(gain=gain)).findings)
    assert f"{rank} of these 4 methods" in findings
    assert f"(AdaptPrune as written {80 + gain / 2:.1f} %)" in findings


def test_counts_are_those_of_the_claims(view):
    shown = view(synthetic.rows(gain=3, half=2.5, spread=True))
    verdicts = [claim.verdict for claim in shown.claims]
    assert shown.counts == {name: verdicts.count(name) for name in shown.counts}
    assert sum(shown.counts.values()) == len(verdicts)


def test_models_that_were_not_run_are_named(default_view):
    summary = " ".join(default_view.summary)
    for model in ("LLaVA-1.5-13B", "LLaVA-NeXT-7B", "InternVL2-2B", "InternVL2-8B"):
        assert model in summary
    assert "LLaVA-1.5-7B" in summary.partition("nothing was run")[0]


def test_a_model_that_does_not_look_is_named(view, default_view):
    table = synthetic.changed(synthetic.rows(), "baseline", "pope", value=30.0, ci_low=25.0, ci_high=35.0)
    shown = view(table)
    assert [row.benchmark for row in shown.sanity if not row.clear] == ["POPE"]
    assert "POPE" in shown.sanity_sentence
    assert all(row.clear for row in default_view.sanity)


def test_a_partial_run_says_what_is_missing(view):
    table = [row for row in synthetic.rows() if row["experiment"] == "table1" and row["method"] != "random"]
    shown = view(table)
    assert [study.experiment for study in shown.studies] == ["table1"]
    assert "table4" in " ".join(shown.findings)
    assert shown.counts["not run"] > 0


def test_a_lite_run_judges_the_scores(view):
    shown = view(synthetic.rows(model="llava-hf/llava-1.5-7b-hf"), "lite")
    assert {REPRODUCED, DIFFERS} <= {value.verdict for value in shown.printed_values}
    assert any(block.judged for study in shown.studies for block in study.blocks)


def test_figures_and_experiments_that_were_not_run_are_empty(default_view):
    assert [section.id for section in default_view.paper_figures if section.charts] == ["figure4"]  # a diagram
    assert [part.id for part in default_view.second.parts if part.charts or part.tables] == ["tasks"]


def test_no_path_of_this_machine_is_shown(default_view):
    provenance = dict(default_view.provenance)
    assert provenance["checkpoint"] == synthetic.MODEL
    assert provenance["machine.gpu"] == "—" and provenance["dirty"] == "no" and provenance["seconds"] == "10 min 12 s"
