"""Paired differences, and the sentences about them."""

import math

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.differences import Comparison, Difference, comparisons, difference_table
from vtstudy.report.results import HIGHER, LOWER, Measurement
from vtstudy.report.sentences import comparison_sentence

NONE = (math.nan, math.nan)


def difference(benchmark: str, value: float, low: float, high: float, pair: str = "a - b") -> Difference:
    measurement = Measurement("table1", "m", pair, 0.1, benchmark, "difference:score", value, 9, low, high)
    return Difference(pair, benchmark, measurement, (value, low, high))


@pytest.mark.slow
def test_differences_are_scaled_by_the_unpruned_score(read):
    inputs = read(synthetic.rows(gain=4))
    compared = {comparison.pair: comparison for comparison in comparisons(inputs, "table1", synthetic.MODEL)}
    assert list(compared) == synthetic.MAIN_PAIRS
    lead = compared["adaptprune - fastv"]
    assert [item.scaled[0] for item in lead.items] == pytest.approx([4.0] * 12)
    assert lead.mean.scaled[0] == lead.mean.measurement.value == 4.0
    assert lead.count(HIGHER) == 12 and lead.mean.sign == HIGHER
    assert compared["fastv - random"].mean.sign == LOWER
    assert not compared["fastv - baseline"].charted


def test_a_table_of_many_comparisons_has_a_line_for_each():
    items = (difference("gqa", 1, 0.5, 2), difference("pope", 1, 0.5, 2))
    few = [Comparison("a - b", items, None)] * 3
    heads, lines = difference_table(few)
    assert len(heads) == 3 and [name for name, _ in lines] == ["GQA", "POPE"]
    heads, lines = difference_table(few * 4)
    assert heads == ["GQA", "POPE"] and len(lines) == 12


@pytest.mark.parametrize(
    ("intervals", "counts"),
    [
        ([(0.5, 2), (-1, 3)], "1 and lower on none; on 1 "),
        (
            [(0.5, 2), (-1, 3), NONE, NONE],
            "1 and lower on none; on 1 the interval includes zero; without an interval: 2",
        ),
    ],
)
def test_a_difference_without_interval_does_not_include_zero(intervals, counts):
    items = tuple(difference(f"benchmark{place}", 1.0, *ends) for place, ends in enumerate(intervals))
    sentence = comparison_sentence(Comparison("a - b", items, difference("mean", 1.0, *NONE)), 95)
    assert counts in sentence and "+1.0" in sentence and "without an interval" in sentence


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.5, 2, "better"), (-2, -0.5, "worse"), (-1, 1, "cannot be told apart")]
)
def test_the_sentence_follows_the_sign(low, high, word):
    mean = difference("mean", (low + high) / 2, low, high, "adaptprune - fastv")
    assert word in comparison_sentence(Comparison("adaptprune - fastv", (), mean), 95)


def test_a_small_decided_mean_shows_its_sign():
    mean = difference("mean", -0.17, -0.34, -0.02)
    assert mean.sign == LOWER and mean.text == "−0.17 (−0.34 to −0.02)"
