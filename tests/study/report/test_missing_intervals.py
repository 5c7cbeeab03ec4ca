"""Sentences about differences of which some have no interval: a benchmark of which a limit leaves one image."""

import math

import pytest

from vtstudy.report.differences import Comparison, Difference
from vtstudy.report.results import Measure
from vtstudy.report.text import comparison_sentence

NONE = (math.nan, math.nan)


def difference(benchmark, low, high) -> Difference:
    measure = Measure("table1", "m", "a - b", 0.1, benchmark, "difference:score", 1.0, 9, low, high)
    return Difference("a - b", benchmark, measure, (1.0, low, high))


@pytest.mark.parametrize(
    ("intervals", "sentence"),
    [
        ([(0.5, 2), (-1, 3)], "higher on 1 and lower on 0; on 1 the interval includes zero."),
        (
            [(0.5, 2), (-1, 3), NONE, NONE],
            "higher on 1 and lower on 0; on 1 the interval includes zero; without an interval: 2.",
        ),
    ],
)
def test_what_has_no_interval_does_not_include_zero(intervals, sentence):
    items = tuple(difference(f"benchmark{n}", *ends) for n, ends in enumerate(intervals))
    text = comparison_sentence(Comparison("a - b", items, difference("mean", *NONE)), 95)
    assert text.endswith(sentence)
    assert text.startswith("How a and b compare on average cannot be said without an interval: +1.0 percentage points")
