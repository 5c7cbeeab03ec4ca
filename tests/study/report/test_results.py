"""Looking up our measurements, and errors in the files of the report."""

import math

import pytest
from helpers import synthetic_results as synthetic

from vtprune.errors import UserError
from vtstudy.report.build import build_report
from vtstudy.report.errors import ReportError
from vtstudy.report.results import HIGHER, LOWER, OPEN, Measurement

MODEL = synthetic.MODEL


def measurement(value: float, low: float = math.nan, high: float = math.nan) -> Measurement:
    return Measurement("table1", MODEL, "a - b", 0.1, "gqa", "score", value, 100, low, high)


def test_a_difference_is_found_from_both_sides(read):
    results = read(synthetic.rows(gain=4)).results
    found = results.difference("table1", MODEL, "adaptprune - fastv", "gqa", 0.1)
    turned = results.difference("table1", MODEL, "fastv - adaptprune", "gqa", 0.1)
    assert found.value == pytest.approx(3.0)
    assert (turned.value, turned.low, turned.high) == (-found.value, -found.high, -found.low)
    assert results.difference("table1", MODEL, "adaptprune - skip", "gqa") is None


def test_a_score_is_found_by_its_keep_ratio(read):
    results = read([*synthetic.rows(), *synthetic.figure_rows()]).results
    assert results.score("figure5", MODEL, "random", "nocaps", 0.5).value == 50
    assert results.score("figure5", MODEL, "random", "nocaps", 0.1).value == 10
    assert results.score("figure5", MODEL, "random", "nocaps", 0.3) is None
    assert results.score("figure5", MODEL, "random", "nocaps").keep == 0.5  # the first in the file
    assert results.score("figure5", MODEL, "baseline", "nocaps", 0.1).value == 90  # serves every ratio
    assert results.keeps("figure5", MODEL, "random") == [0.5, 0.1]
    assert [point.value for point in results.series("figure5", MODEL, "random", "nocaps")] == [50, 10]


def test_chance_has_neither_interval_nor_questions(read):
    chance = read().results.score("table1", MODEL, "chance", "gqa", 0.1)
    assert not chance.has_interval and chance.n is None and math.isnan(chance.keep)


def test_names_are_in_file_order(read):
    results = read().results
    assert results.experiments == results.experiments_of(MODEL) == ["table1", "table4"]
    assert results.methods("table4", MODEL) == ["(a)", "(b)", "(c)", "(d)"]
    assert results.pairs("table1", MODEL) == synthetic.MAIN_PAIRS
    assert results.benchmarks("table4", MODEL) == [*synthetic.ABLATION, "mean"]


def test_the_unpruned_score_of_the_ablation_is_that_of_table_1(read):
    assert read().results.unpruned("table4", MODEL, "gqa") == 75


@pytest.mark.parametrize(("low", "high", "side"), [(0.1, 1, HIGHER), (-1, -0.1, LOWER), (-1, 1, OPEN), (0, 1, OPEN)])
def test_the_side_of_an_interval(low, high, side):
    assert measurement(0.5, low, high).side == side
    assert measurement(0.5).side == OPEN


def test_arithmetic_of_unpaired_measurements_is_wide():
    a, b = measurement(4.0, 3.0, 5.0), measurement(2.0, 1.0, 4.0)
    assert (a.minus(b).value, a.minus(b).low, a.minus(b).high) == (2.0, -1.0, 4.0)
    assert (a.over(b).value, a.over(b).low, a.over(b).high) == (2.0, 0.75, 5.0)


def test_which_model_answers_for_the_paper(read):
    results = read().results
    assert results.model_for("LLaVA-1.5-7B") == MODEL and results.model_for("LLaVA-1.5-13B") is None


@pytest.mark.parametrize("name", ["results.csv", "provenance.json", "params.yaml"])
def test_a_missing_file_is_named(tmp_path, name):
    files = synthetic.write(tmp_path, synthetic.rows())
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=name):
        build_report(**files)


def test_missing_published_values_are_named(tmp_path):
    files = synthetic.write(tmp_path, synthetic.rows())
    with pytest.raises(UserError, match=r"adaptprune\.csv"):
        build_report(**files | {"published": tmp_path})


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("ci_low, ci_high", {"columns": synthetic.COLUMNS[:-2]}),
        ("no results", {"table": []}),
        ("line 2: 'value'", {"table": [synthetic.rows()[0] | {"value": "many"}]}),
        ("line 2: 'value'", {"table": [synthetic.rows()[0] | {"value": ""}]}),
        ("line 3 ", {"table": [synthetic.rows()[0]] * 2}),
        ("gpt", {"table": synthetic.rows(model="gpt")}),
    ],
)
def test_wrong_results_are_refused(tmp_path, key, change):
    files = synthetic.write(tmp_path, **({"table": synthetic.rows()} | change))
    with pytest.raises(UserError, match=key):
        build_report(**files)


@pytest.mark.parametrize(
    ("key", "name", "content"),
    [
        ("tolerances", "params.yaml", "report: {}\n"),
        ("params.yaml", "params.yaml", "a: [\n"),
        ("checkpoint", "params.yaml", "report: {tolerances: {default: 1}}\nmodels: {a: b}\n"),
        ("profile", "provenance.json", "{}"),
        ("provenance.json", "provenance.json", "{"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path, key, name, content):
    files = synthetic.write(tmp_path, synthetic.rows())
    (tmp_path / name).write_text(content)
    with pytest.raises(ReportError, match=key):
        build_report(**files)
