"""The bootstrap against known variances."""

import numpy as np
import pytest

from vtprune.evaluation.statistics import bootstrap, estimate, interval, percent_of

ONE = np.zeros(400, dtype=int)


def draws(values, strata=ONE, **options):
    return bootstrap(values, strata, **{"resamples": 2000, "seed": 0, "name": "pope", **options})


def test_the_interval_has_the_width_that_the_variance_gives():
    rng = np.random.default_rng(1)
    values = rng.normal(50, 10, (400, 1))
    found = draws(values)
    assert found.std() == pytest.approx(values.std() / 20, rel=0.06)
    low, high = interval(found[:, 0])
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.08)
    assert low < estimate(values, ONE)[0] < high


def test_a_paired_difference_is_tighter_than_an_unpaired_one():
    rng = np.random.default_rng(2)
    hard = rng.normal(0, 10, 400)
    values = np.stack([hard + rng.normal(1, 1, 400), hard], axis=1)
    paired = draws(values)
    other = draws(values, name="elsewhere")
    assert (paired[:, 0] - paired[:, 1]).std() < 0.2 * (paired[:, 0] - other[:, 1]).std()


def test_the_same_draws_whatever_the_methods_beside():
    values = np.random.default_rng(3).normal(size=(400, 3))
    both = draws(values)
    assert np.array_equal(both[:, 1], draws(values[:, 1:2])[:, 0])
    assert np.array_equal(both, draws(values))
    assert not np.array_equal(both, draws(values, seed=1))


def test_strata_are_drawn_within_and_added_up():
    strata = np.repeat([0, 1], [300, 100])
    values = np.where(strata == 0, 10.0, 1.0)[:, None]
    assert estimate(values, strata) == pytest.approx(11)
    assert np.allclose(draws(values, strata), 11)


def test_many_units_are_drawn_in_chunks():
    values = np.random.default_rng(4).normal(size=(50_000, 1))
    found = draws(values, np.zeros(50_000, dtype=int), resamples=120)
    assert found.std() == pytest.approx(1 / 50_000**0.5, rel=0.25)


def test_percent_of_nothing_is_left_out_of_the_interval():
    found = percent_of(np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0, 3.0]))
    assert found[0] == 50 and np.isnan(found[1])
    assert interval(found) == pytest.approx((51.25, 98.75))
    assert np.isnan(interval(np.array([np.nan]))).all()
