"""Controls: met, not met or not measured, as the results are."""

from dataclasses import replace

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.controls import State, controls
from vtstudy.results_table import MEAN, PERCENT


def states(inputs) -> dict[str, State]:
    return {control.id: control.state for control in controls(inputs)}


def at_half(method: str, value: float, experiment: str = "figure5") -> synthetic.Row:
    return synthetic.row(experiment, method, 0.5, MEAN, PERCENT, value)


@pytest.mark.parametrize(("value", "state"), [(99.0, State.MET), (95.0, State.MET), (94.9, State.NOT_MET)])
def test_fastv_at_half_the_tokens(read, value, state):
    control = next(c for c in controls(read([*synthetic.rows(), at_half("fastv", value)])) if c.id == "fastv-at-half")
    assert control.state == state and f"{value:.1f}" in control.figure
    assert control.is_failed == (state == State.NOT_MET)


def test_the_experiment_with_all_methods_counts_before_figure_5(read):
    table = [*synthetic.rows(), at_half("random", 50.0), at_half("random", 95.0, "methods")]
    assert states(read(table))["random-at-half"] == State.MET


def test_what_was_not_measured_is_neither_met_nor_failed(read):
    found = states(read())
    for name in ("fastv-at-half", "random-at-half", "positional-bias", "second-seed"):
        assert found[name] == State.NOT_MEASURED
    assert not any(control.is_failed for control in controls(read()) if control.state == State.NOT_MEASURED)


def test_a_blank_image_that_answers_as_well_fails_the_control(read):
    assert states(read())["blank-image"] == State.MET
    table = synthetic.changed(synthetic.rows(), "baseline", "pope", value=30.0, ci_low=25.0, ci_high=35.0)
    control = next(c for c in controls(read(table)) if c.id == "blank-image")
    assert control.state == State.NOT_MET and "POPE" in control.figure


@pytest.mark.parametrize(("value", "state"), [(75.0, State.MET), (99.0, State.NOT_MET), (5.0, State.NOT_MET)])
def test_a_benchmark_at_an_end_of_its_scale_fails_the_control(read, value, state):
    table = synthetic.changed(synthetic.rows(), "baseline", "gqa", value=value)
    control = next(c for c in controls(read(table)) if c.id == "on-scale")
    assert control.state == state and ("GQA" in control.figure) == (state == State.NOT_MET)


@pytest.mark.parametrize(("value", "state"), [(10.0, State.MET), (95.0, State.NOT_MET)])
def test_withdrawing_the_image_must_cost_much(read, value, state):
    ends = {"ci_low": value - 1, "ci_high": value + 1}
    table = synthetic.changed(synthetic.rows(), "vtw", MEAN, value=value, **ends)
    assert states(read(table))["withdrawal-costs"] == state


@pytest.mark.parametrize(
    ("leads", "state"),
    [
        ({"textvqa": 30.0, "chartqa": 10.0, "docvqa": 20.0}, State.MET),
        ({"textvqa": 30.0, "chartqa": 1.0, "docvqa": 20.0}, State.NOT_MET),
        ({"textvqa": -30.0, "chartqa": -10.0, "docvqa": -20.0}, State.NOT_MET),
        ({}, State.NOT_MEASURED),
    ],
)
def test_the_scoring_layer_finds_what_must_be_read(read, leads, state):
    others = [row for row in synthetic.rows() if row["method"] != "fastv - random"]
    unit = "difference:score"
    table = [synthetic.row("table1", "fastv - random", 0.1, name, unit, lead, 2.0) for name, lead in leads.items()]
    control = next(c for c in controls(read([*others, *table])) if c.id == "scoring-layer")
    assert control.state == state and ("TextVQA" in control.figure) == bool(leads)


@pytest.mark.parametrize(("alike", "state"), [(0.8, State.MET), (0.1, State.NOT_MET)])
def test_a_bias_is_shared_if_benchmarks_are_as_alike_as_halves(read, alike, state):
    table = [
        *synthetic.rows(),
        synthetic.row("figure2", "benchmarks alike", 1.0, MEAN, "pearson", alike, 0.05),
        synthetic.row("figure2", "halves alike", 1.0, "nocaps", "pearson", 0.9, 0.05),
    ]
    assert states(read(table))["positional-bias"] == state


@pytest.mark.parametrize(
    ("gain", "ends", "state", "said"),
    [
        (6.0, {}, State.MET, "does not depend"),
        (-6.0, {}, State.NOT_MET, "depends on the seed"),
        (1.0, {}, State.NOT_MET, "depends on the seed"),
        (6.0, {"ci_low": "", "ci_high": ""}, State.NOT_MEASURED, "No interval"),
    ],
)
def test_another_seed_agrees_if_its_lead_is_clear_and_on_the_same_side(read, gain, ends, state, said):
    other = "miniature-llava-b"
    inputs = read([*synthetic.rows(gain=5.0), *(row | ends for row in synthetic.rows(gain=gain, model=other))])
    models = {
        name: {"paper": "LLaVA-1.5-7B", "checkpoint": f"data/checkpoints/{name}"} for name in (synthetic.MODEL, other)
    }
    control = next(c for c in controls(replace(inputs, settings={"models": models})) if c.id == "second-seed")
    assert control.state == state and said in control.follows and "+5.0" in control.figure
