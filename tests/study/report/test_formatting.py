"""Numbers and lists as text."""

import math

import pytest

from vtstudy.report import formatting


@pytest.mark.parametrize(
    ("low", "high", "bounds", "written"),
    [
        (-0.339, -0.003, (0,), "−0.339 to −0.003"),
        (-0.34, -0.02, (0,), "−0.34 to −0.02"),
        (0.04, 0.3, (0,), "+0.04 to +0.30"),
        (0.8, 2, (0,), "+0.8 to +2.0"),
        (0, 2, (0,), "0.0 to +2.0"),
        (-0.04, 1, (0,), "0.0 to +1.0"),
        (-0.04, 0.04, (0,), "0.0 to 0.0"),  # these include it
        (0.0001, 1, (0,), "+0.0001 to +1.0000"),
        (1.13, 1.148, (1.15,), "+1.130 to +1.148"),
        (80.04, 81.97, (80, 82), "+80.04 to +81.97"),
        (math.nan, math.nan, (0,), ""),
    ],
)
def test_an_interval_that_excludes_a_bound_does_not_seem_to_reach_it(low, high, bounds, written):
    assert formatting.interval(low, high, True, formatting.decimals(low, high, bounds)) == written


def test_numbers_have_a_minus_sign_and_no_negative_zero():
    assert formatting.number(-1.25, 2) == "−1.25"
    assert formatting.number(-0.01) == formatting.signed(-0.01) == "0.0"
    assert formatting.signed(3) == "+3.0"
    assert formatting.number(None) == formatting.signed(math.nan) == "—"
    assert formatting.estimate(1.2, 0.3, 2.0, sign=True) == "+1.2 (+0.3 to +2.0)"
    assert formatting.estimate(1.2, math.nan, math.nan) == "1.2"


def test_lists_and_counts():
    assert [formatting.listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert formatting.counted(1, "category") == "1 category"
    assert formatting.counted(2, "category") == "2 categories"
    assert formatting.counted(0, "benchmark") == "0 benchmarks"
    assert [formatting.how_many(count) for count in (0, 1, 12)] == ["none", "1", "12"]
    assert [formatting.agreeing(n, "is", "are") for n in (1, 2)] == ["1 is", "2 are"]
    assert [formatting.seconds(s) for s in (12.4, 185, 7440)] == ["12 s", "3 min 5 s", "2 h 4 min"]
    assert formatting.percent(0.95) == "95 %"
