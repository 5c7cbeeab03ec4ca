"""Spectra by three routes, the rank that holds a share of the energy, and the budget made of it."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtprune.features import Features
from vtprune.methods import AdaptPrune, FastV, RandomPruning, SpectralBudget, get_method
from vtprune.ops import energy_rank, grid_positions, spectrum
from vtprune.ops.spectrum import ROUNDING, energy_outside

FEW = settings(max_examples=60, deadline=None, derandomize=True)
KINDS = ("decaying", "steep", "steps", "flat", "low-rank", "duplicated", "zero", "random", "one spike")


def matrix(kind: str, tokens: int, width: int, seed: int) -> torch.Tensor:
    """``[tokens, width]`` float64 with a spectrum of that kind."""
    generator = torch.Generator().manual_seed(seed)
    least = min(tokens, width)
    if kind == "random":
        return torch.randn(tokens, width, generator=generator, dtype=torch.float64)
    if kind == "duplicated":
        few = torch.randn(max(1, least // 4), width, generator=generator, dtype=torch.float64)
        return few[torch.randint(len(few), (tokens,), generator=generator)]
    index = torch.arange(least, dtype=torch.float64)
    values = {
        "decaying": 1 / (1 + index),
        "steep": 0.5**index,
        "steps": 1.0 / (1 + index // 7),
        "flat": torch.ones(least, dtype=torch.float64),
        "low-rank": (index < max(1, least // 5)).double() * (2 + torch.cos(index)),
        "zero": torch.zeros(least, dtype=torch.float64),
        "one spike": torch.where(index == 0, 30.0, 1.0).double(),
    }[kind]
    left = torch.linalg.qr(torch.randn(tokens, least, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(width, least, generator=generator, dtype=torch.float64)).Q
    return left * values @ right.T


def oracle(x: torch.Tensor, energy: float) -> tuple[int, int]:
    """The ranks between which float32 may choose: in float64, with the target moved by its rounding."""
    shares = torch.linalg.svdvals(x.double()).square().cumsum(0) / x.double().square().sum().clamp(min=1e-300)
    if shares[-1] == 0:
        return 0, 0
    moved = [energy - ROUNDING - 5e-6, energy - ROUNDING + 5e-6]
    low, high = (int((shares < target).sum()) + 1 for target in moved)
    return low, min(high, len(shares))


shapes = st.tuples(st.sampled_from(KINDS), st.integers(1, 70), st.integers(1, 90), st.integers(0, 10**6))
energies = st.one_of(st.floats(0.01, 1.0), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))


@pytest.mark.slow
@FEW
@given(shapes, energies, st.integers(1, 12))
def test_every_route_finds_the_rank(shape, energy, rank):
    x = matrix(*shape)
    low, high = oracle(x, energy)
    for route in ("svd", "gram", "randomised"):
        ranks, used = energy_rank(x[None].float(), energy, route=route, rank=rank, oversampling=4)
        assert low <= ranks.item() <= high, route
        assert used.item() <= max(rank, *x.shape)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_randomised_equals_exact(kind):
    """On images of a real size, in one batch; where the spectrum allows it, without all energies."""
    x = torch.stack([matrix(kind, 144, 128, seed) for seed in range(4)]).float()
    for energy in (0.6, 0.9, 0.95, 0.99):
        exact, _ = energy_rank(x, energy, route="svd")
        found, used = energy_rank(x, energy, rank=8)
        assert found.tolist() == exact.tolist()
        if kind in ("steep", "zero") or (kind == "decaying" and energy < 0.95):
            assert used.max() < 128
        assert (found[used < 128] <= used[used < 128] + 8).all()


@pytest.mark.slow
@FEW
@given(shapes, st.integers(1, 12), st.integers(0, 3))
def test_randomised_bounds_hold(shape, rank, iterations):
    """Sums of randomised energies are never above the exact ones, and never below by more than the slack."""
    x = matrix(*shape).float()[None]
    exact = spectrum(x, route="svd")
    found = spectrum(x, route="randomised", rank=rank, iterations=iterations)
    length = found.shares.shape[1]
    assert length <= rank
    sums, wanted = found.shares.cumsum(1), exact.shares.cumsum(1)[:, :length]
    assert (sums <= wanted + 1e-5).all() and (wanted <= sums + found.slack + 1e-5).all()
    assert (found.slack >= 0).all() and (exact.slack == 0).all()
    torch.testing.assert_close(found.total, x.square().sum((1, 2)), rtol=1e-5, atol=0)
    torch.testing.assert_close(exact.total, found.total, rtol=1e-5, atol=0)


def test_the_estimate_of_the_energy_outside_is_a_tight_bound():
    x = matrix("decaying", 60, 80, 0).float()[None]
    x = x / torch.linalg.vector_norm(x)
    q = torch.linalg.svd(x).U[:, :, :10]
    left = torch.linalg.svdvals(x)[0, 10].square()
    for seed in range(20):
        assert left <= energy_outside(x, q, seed) <= 5 * left


def test_too_small_a_target_rank_is_enlarged():
    x = matrix("steep", 100, 120, 0).float()[None]
    ranks, used = energy_rank(x, 1 - 4.0**-12, rank=2, oversampling=2)
    assert ranks.item() == energy_rank(x, 1 - 4.0**-12, route="svd")[0].item() > 4
    assert 4 <= used.item() < 100
    flat = matrix("flat", 100, 120, 0).float()[None]
    assert [part.item() for part in energy_rank(flat, 0.5, rank=2)] == [50, 100]


def test_limits_settle_what_the_spectrum_leaves_open():
    x = matrix("flat", 100, 120, 0).float()[None]
    assert [part.item() for part in energy_rank(x, 0.9, rank=4, most=2)] == [2, 4]
    assert energy_rank(x, 0.05, least=30)[0].item() == 30
    assert energy_rank(x, 0.9, least=300)[0].item() == 100


def test_a_seed_gives_the_same_result_in_any_batch():
    x = torch.stack([matrix("decaying", 50, 40, seed) for seed in range(3)]).float()
    first = spectrum(x, route="randomised", rank=6, seed=3)
    again = spectrum(x, route="randomised", rank=6, seed=3)
    assert torch.equal(first.shares, again.shares) and torch.equal(first.slack, again.slack)
    assert not torch.equal(first.shares, spectrum(x, route="randomised", rank=6, iterations=0, seed=4).shares)
    for row in range(3):
        alone = spectrum(x[row : row + 1], route="randomised", rank=6, seed=3)
        torch.testing.assert_close(alone.shares[0], first.shares[row])


@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
def test_padding_does_not_count(route):
    x = torch.randn(2, 30, 20, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 30, dtype=torch.bool)
    valid[0, 11:] = False
    x[0, 11:] = float("nan")
    for centre in (False, True):
        ranks, _ = energy_rank(x, 0.9, valid, route=route, centre=centre)
        assert ranks[0] == energy_rank(x[:1, :11], 0.9, route=route, centre=centre)[0]
        assert ranks[1] == energy_rank(x[1:], 0.9, route=route, centre=centre)[0]


@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_the_features_does_not_matter(route, scale):
    x = matrix("decaying", 40, 60, 0).float()[None]
    assert energy_rank(x * scale, 0.9, route=route)[0] == energy_rank(x, 0.9, route=route)[0]


@pytest.mark.slow
@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
def test_one_dominant_direction_does_not_drown_the_others(route):
    """As of hidden states: all but 1e-4 of the energy in one direction, 1e-5 in each of the next ones.

    Float32 totals and eigenvalues err by more than a tenth of that, and gave every thirtieth image
    another budget than the exact one.
    """
    generator = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(64, 144, 100, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(64, 192, 100, generator=generator, dtype=torch.float64)).Q
    tail = 2e-5 * 0.97 ** torch.arange(99) * (0.8 + 0.4 * torch.rand(64, 1, generator=generator))
    values = torch.cat((torch.ones(64, 1), tail), dim=1).double().sqrt()
    x = ((left * values[:, None]) @ right.mT + 1e-6).float()
    sums = torch.linalg.svdvals(x.double()).square()
    sums = (sums / sums.sum(dim=1, keepdim=True)).cumsum(dim=1)
    for energy in (0.9996, 0.9998):
        wanted = (sums < energy - ROUNDING).sum(dim=1) + 1
        near = (sums - (energy - ROUNDING)).abs().amin(dim=1) < 3e-7  # where float32 products decide
        found, _ = energy_rank(x, energy, route=route)
        assert near.sum() < 16 and 5 < wanted.min() < wanted.max() < 90
        assert torch.equal(found[~near], wanted[~near])


def test_bfloat16_is_computed_in_float32():
    x = matrix("decaying", 100, 120, 0).bfloat16()[None]
    for route in ("svd", "gram", "randomised"):
        found = spectrum(x, route=route, rank=8)
        assert found.shares.dtype == torch.float64
        wanted = torch.linalg.svdvals(x.double())[0].square() / x.double().square().sum()
        exact = route != "randomised"
        torch.testing.assert_close(found.shares[0, :4].double(), wanted[:4], rtol=1e-4 if exact else 0.01, atol=0)


def test_autocast_does_not_cut_the_arithmetic():
    x = matrix("decaying", 60, 80, 0).float()[None]
    for route in ("gram", "randomised"):
        plain = spectrum(x, route=route, rank=8).shares
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(spectrum(x, route=route, rank=8).shares, plain)
            assert energy_rank(x, 0.9, route=route)[0] == energy_rank(x, 0.9, route="svd")[0]


@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
@pytest.mark.parametrize("energy", [0.6, 0.9, 0.99])
def test_every_threshold_is_met_within_rounding(route, energy):
    """Not 1.0 alone: sums that miss any threshold by less than 1e-5 meet it, by more they do not."""
    for missing, rank in ((0.5 * ROUNDING, 1), (1.5 * ROUNDING, 2)):
        first = energy - missing
        x = torch.diag(torch.tensor([first, 1 - first] + [0.0] * 98, dtype=torch.float64).sqrt()).float()[None]
        assert energy_rank(x, energy, route=route, rank=4)[0].item() == rank
        assert SpectralBudget(energy, route=route).count(features(x)).item() == rank
    assert ROUNDING == 1e-5


def test_other_powers_than_2_need_svd():
    x = torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))[None]
    assert spectrum(x, route="svd", power=1.0).shares[0].tolist() == pytest.approx([0.5, 0.25, 0.125, 0.125])
    assert spectrum(x, route="svd", power=1.0).total.item() == pytest.approx(8)
    assert energy_rank(x, 0.75, route="svd", power=1.0)[0].item() == 2
    assert energy_rank(x, 0.75, route="svd")[0].item() == 2 and energy_rank(x, 0.72)[0].item() == 1  # 16 / 22


# ---- the budget


def features(x: torch.Tensor, valid: torch.Tensor | None = None) -> Features:
    rows, tokens, _ = x.shape
    generator = torch.Generator().manual_seed(0)
    valid = torch.ones(rows, tokens, dtype=torch.bool) if valid is None else valid
    attention = torch.rand(rows, tokens, generator=generator)
    return Features(
        valid=valid,
        positions=grid_positions(1, tokens).expand(rows, -1, -1),
        grids=torch.tensor((1, tokens)).expand(rows, tokens, 2),
        image=torch.zeros(rows, tokens, dtype=torch.long),
        attention=lambda: attention,
        received=lambda: (attention, attention),
        keys=lambda normalised: x,
        embeddings=lambda: x,
        fingerprint=lambda: [bytes([row]) for row in range(rows)],
        hidden=lambda: 1 + x,
        vision=lambda: (x.repeat(1, 2, 1), valid.repeat(1, 2)),
    )


def same(a: torch.Tensor, b: torch.Tensor, energy: float, **options) -> bool:
    """Whether both have one budget, or differ by one at a tie that float32 cannot decide."""
    first, second = (SpectralBudget(energy, **options).count(features(x[None])).item() for x in (a, b))
    if first == second:
        return True
    centred = a.double() - a.double().mean(0) if options.get("centre") else a.double()
    sums = torch.linalg.svdvals(centred).square().cumsum(0) / centred.square().sum()
    return abs(first - second) == 1 and abs(sums[min(first, second) - 1] - (energy - ROUNDING)).item() < 5e-6


@pytest.mark.slow
@FEW
@given(shapes, energies, st.booleans(), st.sampled_from(["gram", "randomised"]))
def test_order_rotation_and_duplication_do_not_change_the_budget(shape, energy, centre, route):
    x = matrix(*shape).float()
    if centre and x.square().sum() > 0:
        left = (x - x.mean(0)).square().sum() / x.square().sum()
        centre = bool(left > 1e-3)  # what is less is of the size of rounding, in the data already
    options = {"centre": centre, "route": route, "rank": 4}
    generator = torch.Generator().manual_seed(shape[3])
    order = torch.randperm(len(x), generator=generator)
    assert same(x, x[order], energy, **options)
    rotation = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=generator)).Q
    assert same(x, x @ rotation, energy, **options)
    assert same(x, x.repeat(2, 1), energy, **options)
    assert same(x, x.repeat_interleave(3, dim=0), energy, **options)


def test_each_source_of_features_is_used():
    x = matrix("decaying", 30, 40, 0).float()[None]
    given = features(x)
    counts = {
        source: SpectralBudget(0.9, features=source).count(given).item() for source in ("projected", "vision", "hidden")
    }
    assert counts["projected"] == counts["vision"] == energy_rank(x, 0.9)[0].item()
    assert counts["hidden"] == energy_rank(1 + x, 0.9)[0].item() != counts["projected"]


def test_budget_is_clamped_to_its_limits_and_the_row():
    x = torch.stack([matrix("flat", 20, 30, 0), matrix("steep", 20, 30, 1)]).float()
    valid = torch.ones(2, 20, dtype=torch.bool)
    valid[0, 5:] = False
    given = features(x, valid)
    assert SpectralBudget(1.0).count(given)[0] == 5
    assert SpectralBudget(0.5, k_min=8, k_max=9).count(given).tolist() == [5, 8]
    assert SpectralBudget(0.999, k_max=3).count(given).tolist() == [3, 3]


@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
def test_a_constant_image_has_one_singular_value(route):
    x = torch.full((1, 40, 50), 0.3) * torch.rand(50, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.bfloat16):
        given = features(x.to(dtype))
        assert SpectralBudget(0.99, route=route).count(given).item() == 1
        assert SpectralBudget(0.99, route=route, k_min=3).count(given).item() == 3
        assert SpectralBudget(0.99, route=route, centre=True, k_min=2).count(given).item() == 2
        assert SpectralBudget(0.99, route=route).count(features(torch.zeros(1, 40, 50, dtype=dtype))).item() == 1


@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(route, bad):
    x = torch.ones(3, 10, 12)
    x[1, 4, 2] = bad
    with pytest.raises(ValueError, match="features of row 1 of the batch hold NaN or infinity"):
        SpectralBudget(0.9, route=route).count(features(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"energy": 0}, r"energy must lie in \(0, 1\], not be 0"),
        ({"energy": 1.01}, r"energy must lie in \(0, 1\]"),
        ({"energy": float("nan")}, r"energy must lie in \(0, 1\]"),
        ({"energy": "0.9"}, "energy must be a number, not '0.9'"),
        ({"energy": 0.9, "k_min": 0}, "k_min must be at least 1, not 0"),
        ({"energy": 0.9, "k_min": 0.1}, "k_min must be a whole number, not 0.1"),
        ({"energy": 0.9, "k_min": 9, "k_max": 8}, "k_max must be at least k_min, which is 9, not 8"),
        ({"energy": 0.9, "features": "pixels"}, "features must be one of .*vision"),
        ({"energy": 0.9, "route": "qr"}, "route must be one of .*gram"),
        ({"energy": 0.9, "rank": 0}, "rank must be at least 1, not 0"),
        ({"energy": 0.9, "power": 1}, "power of 1 needs the route 'svd'"),
        ({"energy": 0.9, "power": -1, "route": "svd"}, "power must be positive"),
        ({"energy": 0.9, "centre": 1}, "centre must be True or False"),
    ],
)
def test_bad_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SpectralBudget(**options)


@pytest.mark.parametrize("route", ["svd", "gram", "randomised"])
def test_a_matrix_of_another_shape_is_refused(route):
    for wrong in ((1, 0, 5), (1, 5, 0)):
        for function in (lambda x: spectrum(x, route=route), lambda x: energy_rank(x, 0.9, route=route)):
            with pytest.raises(
                ValueError, match=rf"at least one token and one dimension, not be of shape \[{str(wrong)[1:-1]}\]$"
            ):
                function(torch.ones(wrong))
    assert [part.tolist() for part in energy_rank(torch.ones(0, 5, 6), 0.9, route=route)] == [[], []]  # no image at all
    with pytest.raises(ValueError, match=r"must be of shape \[b, n, d\], not \[3, 4\]"):
        energy_rank(torch.ones(3, 4), 0.9, route=route)
    with pytest.raises(ValueError, match=r"must be of shape \[b, n, d\]"):
        spectrum(torch.ones(3, 4))
    with pytest.raises(ValueError, match=r"valid of shape \[2, 3\]"):
        spectrum(torch.ones(2, 4, 5), torch.ones(2, 3, dtype=torch.bool))


def test_features_that_were_not_recorded_are_refused():
    x = torch.ones(1, 4, 5)
    given = features(x)
    bare = Features(**{name: getattr(given, name) for name in vars(given) if name not in ("vision", "hidden")})
    with pytest.raises(ValueError, match="not recorded"):
        SpectralBudget(0.9, features="vision").count(bare)


def test_any_ranking_takes_a_spectral_budget():
    x = torch.stack([matrix("decaying", 24, 30, 0), matrix("flat", 24, 30, 1)]).float()
    given = features(x)
    budget = SpectralBudget(0.9)
    counts = budget.count(given).tolist()
    assert counts[0] < counts[1]
    for name in ("fastv", "adaptprune", "random"):
        method = get_method(name, keep=budget)
        (stage,) = method.stages()
        chosen = stage.ranking.select(given, stage.budget.count(given))
        assert (chosen >= 0).sum(dim=1).tolist() == counts
        assert json.loads(json.dumps(method.signature()))["keep"]["energy"] == 0.9
    assert FastV(budget).signature() != FastV(SpectralBudget(0.9, centre=True)).signature()
    assert AdaptPrune(budget).keep is budget and RandomPruning(budget).keep is budget
