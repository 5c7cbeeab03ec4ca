"""The table of methods and its picture follow the numbers."""

from itertools import pairwise

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.charts.method_curves import DASHED, FRONT, spread
from vtstudy.report.charts.style import GREY, METHOD_STYLE
from vtstudy.report.method_table import choice, markdown_table, method_table, picture_title

pytestmark = pytest.mark.slow

BUDGETS = synthetic.BUDGETS


def test_ranks_and_order_are_those_of_the_scores(read):
    table = method_table(read([*synthetic.rows(), *synthetic.method_rows(synthetic.SCORES)]))
    assert table.experiment == "methods" and table.budgets == list(BUDGETS) and table.questions == 60
    assert [row.method for row in table.rows] == ["fitprune", "adaptprune", "fastv"]
    for place, budget in enumerate(BUDGETS):
        order = sorted(synthetic.SCORES, key=lambda method: -synthetic.SCORES[method][place])
        assert [row.method for row in table.ranked(budget)] == order
    lines = dict(markdown_table(table).lines)
    assert lines["FitPrune"][:2] == ["90.0 (89.0 to 91.0)", "2"]


def test_costs_and_times_stand_beside_the_scores(read, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    (results / "method_costs.csv").write_text(
        "model,method,keep,flops_saved_percent\n"
        "LLaVA-1.5-7B,fastv,0.1,72.9\nLLaVA-1.5-7B,fastv,0.5,40.8\nLLaVA-1.5-13B,fitprune,0.1,70.0\n"
    )
    (results / "timings.json").write_text('{"choosing_milliseconds": {"fitprune": 1.26}}')
    lines = dict(
        markdown_table(method_table(read([*synthetic.rows(), *synthetic.method_rows(synthetic.SCORES)]))).lines
    )
    assert lines["FastV"][-2:] == ["72.9", "—"] and lines["FitPrune"][-2:] == ["—", "1.3"]


@pytest.mark.parametrize(("vtw", "text"), [(34.2, "34.2 (33.2 to 35.2)"), (61.0, "61.0 (60.0 to 62.0)")])
def test_a_method_without_a_budget_stands_beside_the_table(read, vtw, text):
    vtw_row = synthetic.row("methods", "vtw", "", synthetic.MEAN, synthetic.PERCENT, vtw, 1.0)
    table = method_table(read([*synthetic.rows(), *synthetic.method_rows(synthetic.SCORES), vtw_row]))
    assert {label: score.text() for label, score in table.without_budget.items()} == {"VTW": text}
    assert "VTW" not in table.missing and "VTW" not in dict(markdown_table(table).lines)


@pytest.mark.parametrize(("lead", "clear"), [(5.0, True), (0.2, False)])
def test_the_choice_says_whether_the_lead_is_clear(read, lead, clear):
    scores = {"adaptprune": [70 + lead] * 4, "fastv": [70.0] * 4, "random": [40.0] * 4}
    table = method_table(read([*synthetic.rows(), *synthetic.method_rows(scores)]))
    text = choice(table, 0.1)
    assert text.startswith(f"AdaptPrune, {70 + lead:.1f}") and ("not clearly" not in text) == clear
    turned = method_table(
        read([*synthetic.rows(), *synthetic.method_rows({"adaptprune": [70.0] * 4, "fastv": [70 + lead] * 4})])
    )
    assert choice(turned, 0.1).startswith(f"FastV, {70 + lead:.1f}")


def test_the_picture_names_who_leads_and_what_it_costs(read):
    title = picture_title(method_table(read([*synthetic.rows(), *synthetic.method_rows(synthetic.SCORES)])))
    assert (
        "AdaptPrune at a half" in title
        and "FitPrune at a quarter and a tenth" in title
        and "AdaptPrune loses 5.0" in title
    )
    better = {"adaptprune": [102, 90, 80, 70], "fastv": [75, 70, 60, 50]}
    title = picture_title(method_table(read([*synthetic.rows(), *synthetic.method_rows(better)])))
    assert "AdaptPrune keeps most at every budget" in title and "AdaptPrune gains 2.0" in title


def test_without_the_experiment_figure_5_stands_in_and_says_what_is_missing(read):
    few = {method: synthetic.SCORES[method] for method in ("adaptprune", "fastv")}
    table = method_table(read([*synthetic.rows(), *synthetic.method_rows(few, "figure5")]))
    assert table.experiment == "figure5" and "Random" in table.missing and "FastV" not in table.missing
    assert method_table(read()).rows == []


@pytest.mark.parametrize("heights", [[1, 1, 1], [1, 1.5, 5], [0, 10, 10.1, 10.2], []])
def test_labels_keep_their_order_and_their_distance(heights):
    moved = spread(heights, 1.0)
    assert len(moved) == len(heights) and moved == sorted(moved)
    assert all(after - before >= 1 - 1e-9 for before, after in pairwise(moved))


def test_each_method_in_front_has_a_line_of_its_own():
    lines = [(METHOD_STYLE[method][0], method in DASHED) for method in FRONT]
    assert len(set(lines)) == len(FRONT) and (GREY, False) not in lines  # the plain grey is that of the others


def test_no_two_methods_look_the_same():
    assert len(set(METHOD_STYLE.values())) == len(METHOD_STYLE)
