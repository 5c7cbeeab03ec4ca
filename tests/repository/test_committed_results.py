"""The committed results are complete, and show what the miniature must show before its claims mean anything."""

import pytest
from helpers import ROOT
from helpers.report_page import WORDS, Page, words

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report.results import Results
from vtstudy.results_table import read_results

MODEL = "miniature-llava-24"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(read_results(ROOT / "reports/miniature/results.csv"), {})


@pytest.mark.parametrize("benchmark", ADAPTPRUNE)
def test_every_row_of_table_1_is_there_with_its_interval(results, benchmark):
    scores = {
        method: results.score("table1", MODEL, method, benchmark, 0.1)
        for method in ("baseline", "blind", "fastv", "adaptprune", "adaptprune_as_written", "random")
    }
    for score in scores.values():
        assert score.low <= score.value <= score.high and score.n >= 100
    lead = results.difference("table1", MODEL, "adaptprune - fastv", benchmark, 0.1)
    assert lead.value == pytest.approx(scores["adaptprune"].value - scores["fastv"].value, abs=2e-4)


@pytest.mark.parametrize("benchmark", ADAPTPRUNE)
def test_the_unpruned_model_sees(results, benchmark):
    """It beats the same model given a blank image, and the best constant answer, beyond the interval."""
    assert results.difference("table1", MODEL, "baseline - blind", benchmark).low > 0
    chance = results.score("table1", MODEL, "chance", benchmark)
    assert results.score("table1", MODEL, "baseline", benchmark).low > chance.value


@pytest.mark.parametrize("benchmark", ["nocaps", "gqa", "docvqa", "pope"])
@pytest.mark.parametrize(("step", "method"), [("(a)", "fastv"), ("(d)", "adaptprune")])
def test_the_ablation_shares_its_ends_with_table_1(results, benchmark, step, method):
    of_ablation = results.score("table4", MODEL, step, benchmark, 0.1)
    assert of_ablation.value == results.score("table1", MODEL, method, benchmark, 0.1).value


def test_the_first_page_is_short():
    assert words(Page((ROOT / "reports/miniature/index.html").read_text()).text) <= WORDS
