"""Verdicts on the values that the paper prints."""

import math
from collections import Counter

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.results import Measurement
from vtstudy.report.tolerances import Tolerance
from vtstudy.report.verdicts.printed_values import (
    AS_RATIO,
    COST_OF_ITS_MACHINE,
    DIFFERS,
    NEEDS_CHECKPOINT,
    NO_MODEL,
    NOT_RUN,
    REPRODUCED,
    judge_printed_values,
    judge_value,
    printed_values_frame,
)


def measurement(value: float, half: float) -> Measurement:
    return Measurement("table1", "m", "fastv", 0.1, "gqa", "score", value, 100, value - half, value + half)


@pytest.mark.parametrize(
    ("published", "value", "tolerance", "verdict"),
    [
        (59.4, 58.4, 1.0, REPRODUCED),
        (59.4, 60.4, 1.0, REPRODUCED),
        (59.4, 58.3, 1.0, DIFFERS),
        (1393.2, 1410.0, 20, REPRODUCED),
        (59.4, 60.5, 1.0, DIFFERS),
    ],
)
def test_the_tolerance_decides(published, value, tolerance, verdict):
    assert judge_value(published, measurement(value, 0.5), Tolerance(tolerance))[0] == verdict


def test_a_wide_interval_is_no_reproduction():
    verdict, reason = judge_value(50.0, measurement(55.0, 10.0), Tolerance(1.0))
    assert verdict == DIFFERS and "interval includes" in reason
    assert "interval" not in judge_value(50.0, measurement(55.0, 1.0), Tolerance(1.0))[1]


def test_a_miniature_is_never_judged_by_its_scores(read):
    values = judge_printed_values(read())
    assert {value.verdict for value in values} == {NOT_RUN}
    by_model = Counter((value.model, value.reason) for value in values)
    assert set(by_model) == {
        ("LLaVA-1.5-7B", NEEDS_CHECKPOINT),
        ("LLaVA-1.5-7B", COST_OF_ITS_MACHINE),
        *((model, NEEDS_CHECKPOINT) for model in ("LLaVA-1.5-13B", "LLaVA-NeXT-7B", "InternVL2-2B", "InternVL2-8B")),
    }
    assert by_model["LLaVA-1.5-7B", COST_OF_ITS_MACHINE] == 9  # of Table 3
    with_ours = Counter(value.table for value in values if value.ours)
    assert with_ours == {1: 48, 3: 3, 4: 40}  # Tables 5 to 8 are not among these results


def test_the_papers_checkpoint_is_judged(read):
    table = synthetic.rows(model="llava-hf/llava-1.5-7b-hf")
    values = judge_printed_values(read(synthetic.changed(table, "fastv", "gqa", value=51.6), "lite"))
    judged = {(value.table, value.model, value.row, value.column): value for value in values}
    model = "LLaVA-1.5-7B"
    assert judged[1, model, "FastV", "GQA"].verdict == REPRODUCED
    assert judged[3, model, "FastV", "Score"].verdict in (REPRODUCED, DIFFERS)
    assert judged[1, model, "FastV", "TextVQA"].verdict == DIFFERS
    assert judged[6, model, "OCR", "baseline"].verdict == NOT_RUN
    assert judged[1, "LLaVA-1.5-13B", "FastV", "GQA"].reason == NO_MODEL
    assert judged[3, model, "FastV", "Time"].verdict == AS_RATIO


def test_a_row_names_our_measurement(read):
    frame = printed_values_frame(judge_printed_values(read(synthetic.rows(gain=5))))
    cell = frame.query("table == 1 and model == 'LLaVA-1.5-7B' and row == 'AdaptPrune' and column == 'GQA'").iloc[0]
    assert tuple(cell[f"ours_{name}"] for name in ("experiment", "model", "method", "keep", "benchmark")) == (
        "table1",
        synthetic.MODEL,
        "adaptprune",
        0.1,
        "gqa",
    )
    assert cell["ours"] == 63.75 and cell["difference"] == pytest.approx(63.75 - float(cell["published"]), abs=1e-4)
    assert not math.isnan(cell["ci_low"]) and cell["n"] == 300
