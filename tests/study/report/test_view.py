"""What the report shows: the answers, the controls, the studies."""

import re

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.evidence import CANNOT_TELL, DIFFERS, OPPOSITE, REPRODUCED, SAME
from vtstudy.report.formatting import how_many
from vtstudy.report.results import HIGHER, LOWER, OPEN

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("gain", "sign"), [(12, HIGHER), (-12, LOWER), (0, OPEN)])
def test_the_lead_over_fastv_has_its_sign(view, gain, sign):
    shown = view(synthetic.rows(gain=gain))
    study = next(study for study in shown.studies if study.experiment == "table1")
    lead = study.comparison(("adaptprune", "fastv"))
    assert lead.mean.sign == sign and lead.mean.measurement.value == gain


@pytest.mark.parametrize(("gain", "verdict"), [(12, SAME), (-12, OPPOSITE), (0, CANNOT_TELL)])
def test_the_first_answer_follows_the_sign(view, gain, verdict):
    answer = view(synthetic.rows(gain=gain)).answers[0]
    assert answer.verdict == verdict
    first = re.search(r": ([−+]?\d+\.\d)", answer.figures)[1]
    assert float(first.replace("−", "-")) == gain


@pytest.mark.parametrize(("gain", "verdict"), [(2.0, SAME), (-2.0, OPPOSITE), (0.0, CANNOT_TELL)])
def test_the_answer_on_spectral_budgets_follows_the_sign(view, gain, verdict):
    shown = view([*synthetic.rows(), *synthetic.spectral_rows(gain, half=0.1)])
    assert next(answer for answer in shown.answers if "E-AdaPrune" in answer.question).verdict == verdict


@pytest.mark.parametrize(("gain", "up", "down"), [(12, (12, 3), (0, 0)), (-12, (0, 0), (12, 3)), (0, (0, 0), (0, 0))])
def test_the_sentences_above_the_tables_turn_with_the_sign(view, gain, up, down):
    shown = {exhibit.title.partition(":")[0]: exhibit for exhibit in view(synthetic.rows(gain=gain)).exhibits}
    counts = re.search(r"on (\w+) of (\w+) benchmarks .* on (\w+)", shown["Tables 1 and 2"].sentence)
    assert counts.groups() == tuple(map(how_many, (up[0], 12, down[0])))
    steps = re.search(r"Of (\w+) steps, (\w+) .* and (\w+) ", shown["Table 4"].sentence)
    assert steps.groups() == tuple(map(how_many, (3, up[1], down[1])))


def test_the_answer_on_a_lite_run_is_of_the_checkpoint(view):
    assert view(synthetic.rows(gain=12, model=synthetic.HUB_MODEL), "lite").answers[0].verdict == REPRODUCED
    assert view(synthetic.rows(gain=-12, model=synthetic.HUB_MODEL), "lite").answers[0].verdict == DIFFERS


def test_models_that_were_not_run_are_named(default_view):
    text = " ".join(default_view.not_run)
    for model in ("LLaVA-1.5-13B", "LLaVA-NeXT-7B", "InternVL2-2B", "InternVL2-8B"):
        assert model in text
    assert "0 of 484" in text


def test_a_model_that_does_not_look_is_named(view, default_view):
    table = synthetic.changed(synthetic.rows(), "baseline", "pope", value=30.0, ci_low=25.0, ci_high=35.0)
    shown = view(table)
    assert [row.benchmark for row in shown.model_pages[0].sanity if not row.clear] == ["POPE"]
    assert "POPE" in shown.model_pages[0].sanity_sentence
    assert all(row.clear for row in default_view.model_pages[0].sanity)


def test_a_partial_run_says_what_is_missing(view):
    table = [row for row in synthetic.rows() if row["experiment"] == "table1" and row["method"] != "random"]
    shown = view(table)
    assert [study.experiment for study in shown.studies] == ["table1"]
    assert "not run" in {answer.verdict for answer in shown.answers}
    assert "not run" in {claim.verdict for claim in shown.claims}


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
