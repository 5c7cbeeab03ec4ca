"""The bootstrap against known variances."""

import hashlib

import numpy as np
import pytest

from vtstudy.evaluation.bootstrap import (
    bootstrap,
    cluster_sums,
    estimate,
    interval,
    percent_of,
)

ONE = np.zeros(400, dtype=int)


def draws(values, strata=ONE, clusters=None, **options):
    clusters = np.arange(len(values)) if clusters is None else clusters
    return bootstrap(values, strata, clusters, **{"resamples": 2000, "seed": 0, "name": "pope", **options})


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


def test_one_question_an_image_is_drawn_as_questions_are():
    """Bit for bit as a bootstrap of the units themselves, whatever the images' numbers."""
    values = np.random.default_rng(5).random((80, 2))
    strata = np.repeat([0, 1], [50, 30])
    key = int.from_bytes(hashlib.sha256(b"pope").digest()[:8], "big")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0, key])))
    wanted = np.zeros((40, 2))
    for members in (values[:50], values[50:]):
        index = rng.integers(0, len(members), size=(40, len(members)))
        for method in range(2):
            wanted[:, method] += members[:, method][index].mean(axis=1)
    assert np.array_equal(draws(values, strata, resamples=40), wanted)
    assert np.array_equal(draws(values, strata, np.random.default_rng(6).permutation(80), resamples=40), wanted)


def test_an_image_is_drawn_with_all_its_questions():
    """Of two images the resamples are known: either twice, or both; a score is the mean over the questions drawn."""
    found = draws(np.array([[1.0], [6.0], [2.0]]), np.zeros(3, dtype=int), np.array([7, 3, 7]))[:, 0]
    shares = {score: np.isclose(found, score).mean() for score in (1.5, 3.0, 6.0)}
    assert sum(shares.values()) == 1 and list(shares.values()) == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    sums, counts = cluster_sums(np.array([[1.0], [6.0], [2.0]]), np.array([7, 3, 7]))
    assert sums.tolist() == [[3], [6]] and counts.tolist() == [2, 1]


@pytest.mark.slow
def test_intervals_over_images_cover_where_those_over_questions_do_not():
    """One to five questions an image, whose scores go with the image: 95 % intervals of a mean that is known."""
    rng = np.random.default_rng(7)
    covered, wide = np.zeros(2), np.zeros(2)
    for seed in range(300):
        images = np.repeat(np.arange(60), rng.integers(1, 6, 60))
        values = (rng.normal(0, 1, 60)[images] + rng.normal(0, 0.5, len(images)))[:, None]
        for which, clusters in enumerate((images, None)):
            strata = np.zeros(len(images), dtype=int)
            low, high = interval(draws(values, strata, clusters, resamples=300, seed=seed)[:, 0])
            covered[which] += low < 0 < high
            wide[which] += high - low
    assert 0.91 < covered[0] / 300 < 0.98 and covered[1] / 300 < 0.8
    assert 1.4 < wide[0] / wide[1] < 2


def test_a_stratum_of_one_image_leaves_no_interval():
    values, strata = np.arange(8.0)[:, None], np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert np.isfinite(draws(values, strata)).all()
    found = draws(values, strata, np.array([0, 0, 1, 1, 2, 2, 2, 2]))
    assert found.shape == (2000, 1) and np.isnan(found).all() and np.isnan(interval(found[:, 0])).all()
