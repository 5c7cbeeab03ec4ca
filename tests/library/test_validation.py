"""Parameters: scalars of NumPy and torch count as Python numbers, bools and strings are refused."""

import json
import re

import numpy as np
import pytest
import torch
from helpers.given_features import features

from vtprune.errors import UserError
from vtprune.methods import (
    VTW,
    AdaptPrune,
    Count,
    FastV,
    Fraction,
    PyramidDrop,
    RandomPruning,
    SpectralBudget,
    VisionZip,
)
from vtprune.ops import adaptive_nms, energy_rank, spectrum
from vtprune.stages import layer_at

SCALARS = {
    "numpy": (np.int64, np.float64),
    "short numpy": (np.uint8, np.float32),
    "numpy arrays": (np.array, np.array),
    "torch": (torch.tensor, torch.tensor),
}


@pytest.mark.parametrize("kind", SCALARS)
def test_numpy_and_torch_scalars_equal_python_numbers(kind):
    """Values that float32 holds exactly: method, hash and signature are those of Python's numbers."""
    whole, real = SCALARS[kind]
    flag = whole(1) > 0  # a bool of that kind
    assert not isinstance(flag, bool)
    pairs = [
        (FastV(real(0.5), layer=whole(3)), FastV(0.5, layer=3)),
        (FastV(whole(3), layer=real(0.25)), FastV(3, layer=0.25)),
        (FastV(Fraction(real(0.5))), FastV(Fraction(0.5))),
        (FastV(Count(whole(3))), FastV(Count(3))),
        (
            AdaptPrune(3, radius=whole(4), sigma_d=real(2.5), sigma_s=real(0.5), sigma_prior=whole(9), distance=flag),
            AdaptPrune(3, radius=4, sigma_d=2.5, sigma_s=0.5, sigma_prior=9),
        ),
        (RandomPruning(3, seed=whole(7)), RandomPruning(3, seed=7)),
        (VisionZip(3, contextual=real(0.5)), VisionZip(3, contextual=0.5)),
        (PyramidDrop(real(0.5), layers=[whole(1), real(0.75)]), PyramidDrop(0.5, layers=[1, 0.75])),
        (VTW(layer=whole(5)), VTW(layer=5)),
        (
            FastV(
                SpectralBudget(
                    real(0.5), k_min=whole(3), k_max=whole(9), power=whole(2), rank=whole(4), seed=whole(1), centre=flag
                )
            ),
            FastV(SpectralBudget(0.5, k_min=3, k_max=9, power=2, rank=4, seed=1, centre=True)),
        ),
    ]
    for given, plain in pairs:
        assert given == plain and hash(given) == hash(plain)
        assert json.dumps(given.signature()) == json.dumps(plain.signature())
        assert repr(given) == repr(plain)


def test_signatures_are_those_of_stored_answers():
    """Written out: a changed one would leave every stored prediction unfound."""
    budget = SpectralBudget(1, k_min=3, k_max=9, power=1, route="svd", centre=True)
    assert [
        json.dumps(method.signature())
        for method in (FastV(0.1), AdaptPrune(12, radius=5), RandomPruning(1.0), FastV(budget))
    ] == [
        '{"name": "fastv", "keep": 0.1, "layer": 2}',
        (
            '{"name": "adaptprune", "correction": true, "distance": true, "keep": 12, "layer": 2, "radius": 5.0, '
            '"reading": "as_published", "sigma_d": 1.5, "sigma_prior": 12.0, "sigma_s": 0.05, "similarity": true}'
        ),
        '{"name": "random", "keep": 1.0, "layer": 2, "seed": 0}',
        (
            '{"name": "fastv", "keep": {"budget": "spectral", "energy": 1.0, "k_min": 3, "k_max": 9, '
            '"features": "projected", "centre": true, "power": 1.0, "route": "svd", "rank": 32, "oversampling": 8, '
            '"iterations": 2, "seed": 0}, "layer": 2}'
        ),
    ]


WRONG = [True, np.True_, torch.tensor(True), "2", None, 1j, [2], np.ones(2), torch.ones(40, 40)]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize(
    ("make", "name", "right"),
    [
        (lambda value: FastV(value), "keep", "a fraction in (0, 1], a count or a budget"),
        (
            lambda value: FastV(0.5, layer=value),
            "layer",
            "a whole number of at least 0, or a fraction of the decoder's depth",
        ),
        (
            lambda value: PyramidDrop(layers=(value,)),
            "layer",
            "a whole number of at least 0, or a fraction of the decoder's depth",
        ),
        (
            lambda value: layer_at(value, 32),
            "layer",
            "a whole number of at least 0, or a fraction of the decoder's depth",
        ),
        (Fraction, "fraction", "a number"),
        (Count, "tokens", "a whole number"),
        (lambda value: AdaptPrune(0.5, radius=value), "radius", "a number"),
        (lambda value: AdaptPrune(0.5, sigma_prior=value), "sigma_prior", "a number"),
        (lambda value: AdaptPrune(0.5, sigma_d=value), "sigma_d", "a number"),
        (lambda value: AdaptPrune(0.5, sigma_s=value), "sigma_s", "a number"),
        (lambda value: RandomPruning(0.5, seed=value), "seed", "a whole number"),
        (lambda value: VisionZip(0.5, contextual=value), "contextual", "a number"),
        (SpectralBudget, "energy", "a number"),
        (lambda value: SpectralBudget(0.5, k_min=value), "k_min", "a whole number"),
        (lambda value: SpectralBudget(0.5, power=value), "power", "a number"),
        (lambda value: SpectralBudget(0.5, rank=value), "rank", "a whole number"),
        (lambda value: SpectralBudget(0.5, seed=value), "seed", "a whole number"),
        (lambda value: energy_rank(torch.ones(1, 4, 5), value), "energy", "a number"),
        (lambda value: spectrum(torch.ones(1, 4, 5), oversampling=value), "oversampling", "a whole number"),
    ],
)
def test_values_that_are_not_numbers_are_refused(make, name, right, wrong):
    with pytest.raises(UserError, match=f"^{name} must be {re.escape(right)}") as refused:
        make(wrong)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200


@pytest.mark.parametrize("make", [Count, lambda k: RandomPruning(0.5, seed=k), lambda k: SpectralBudget(0.5, k_max=k)])
def test_floats_are_refused_as_whole_numbers(make):
    for wrong in (2.5, 3.0, np.float64(3)):
        with pytest.raises(ValueError, match="must be a whole number"):
            make(wrong)


@pytest.mark.parametrize("switch", ["correction", "distance", "similarity"])
def test_switches_take_only_true_or_false(switch):
    for wrong in (1, 0, "yes", None, np.int64(1)):
        with pytest.raises(ValueError, match=f"^{switch} must be True or False, not "):
            AdaptPrune(0.5, **{switch: wrong})


def test_adaptive_nms_takes_scalars_and_refuses_other_values():
    given = features(rows=1)
    arguments = given.attention()[0], given.keys(False)[0], given.positions[0]
    options = {"sigma_d": 1.5, "sigma_s": 0.05, "radius": 5}
    plain = adaptive_nms(*arguments, 4, **options)
    scalars = {name: np.float64(value) for name, value in options.items()}
    assert torch.equal(adaptive_nms(*arguments, np.int64(4), **scalars), plain)
    for name in options:
        with pytest.raises(ValueError, match=f"^{name} must be a number"):
            adaptive_nms(*arguments, 4, **{**options, name: "a"})
    with pytest.raises(ValueError, match=r"^keep must be"):
        adaptive_nms(*arguments, 2.5, **options)
    with pytest.raises(ValueError, match=r"^radius must not be"):
        adaptive_nms(*arguments, 4, **{**options, "radius": float("nan")})


def test_layer_at_takes_numpy_scalars():
    assert layer_at(np.int64(2), 32) == 2 and layer_at(np.float32(0.25), 32) == 8


@pytest.mark.parametrize("name", ["radius", "sigma_d", "sigma_s"])
def test_infinity_is_refused(name):
    with pytest.raises(UserError, match=f"^{name} must be a finite number"):
        AdaptPrune(0.1, **{name: float("inf")})
