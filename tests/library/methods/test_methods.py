"""Registry, budgets, geometry, and what each method selects from given features."""

import json
import math
import re
from dataclasses import dataclass, fields, replace

import pytest
import torch
from helpers import ROOT
from helpers.given_features import features, select

from vtprune.errors import UserError
from vtprune.methods import (
    AdaptPrune,
    Count,
    FastV,
    Fraction,
    NoPruning,
    PyramidDrop,
    RandomPruning,
    SpectralBudget,
    VisionZip,
    as_budget,
    get_method,
    methods,
    parse_method,
)
from vtprune.ops import adaptive_nms_reference, centre_prior, grid_positions, paper_positions

# ---- registry


def test_registry_names_every_method_and_describes_it():
    assert set(methods()) >= {"adaptprune", "fastv", "random", "none"}
    for name, cls in methods().items():
        assert cls.name == name
        assert cls.__doc__.splitlines()[0].strip()


def test_all_but_two_take_a_budget():
    assert {name for name, cls in methods().items() if not cls.takes_keep()} == {"none", "vtw"}


def test_get_method_creates_a_method():
    assert get_method("adaptprune", keep=0.1, similarity=False) == AdaptPrune(keep=0.1, similarity=False)
    assert get_method("none") == NoPruning()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("fastvv", {"keep": 0.1}, "no method 'fastvv'; the methods are .*, fastv, "),
        ("fastv", {"kep": 0.1}, "no parameter 'kep'; it takes keep, layer"),
        ("none", {"keep": 0.1}, "no parameter 'keep'; it takes no parameters"),
        ("vtw", {"keep": 0.1}, "no parameter 'keep'; it takes layer"),
        ("adaptprune", {"keep": 0.1, "backend": "cuda"}, "backend must be one of"),
        ("fastv", {}, "needs the parameter 'keep'"),
        ("adaptprune", {"keep": 0.1, "reading": "as_read"}, "reading must be one of .*as_written"),
        ("adaptprune", {"keep": 0.1, "sigma_d": 0}, "sigma_d must be positive"),
        ("adaptprune", {"keep": 0.1, "radius": -1}, "radius must not be negative"),
        ("adaptprune", {"keep": 0.1, "distance": 1}, "distance must be True or False"),
        ("fastv", {"keep": 0.1, "layer": -1}, "layer must be a whole number"),
        ("fastv", {"keep": 0.1, "layer": 1.5}, "layer must be a whole number"),
    ],
)
def test_get_method_refuses_bad_names_and_parameters(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        get_method(name, **parameters)


@pytest.mark.parametrize("keep", [0, 0.0, -1, -0.5, 1.0001, 2.0, float("nan"), float("inf"), True, False, "0.1", None])
def test_keep_outside_its_range_is_refused(keep):
    for cls in (FastV, RandomPruning, AdaptPrune):
        with pytest.raises(ValueError, match=r"^keep [^\n]*$"):
            cls(keep=keep)


@pytest.mark.parametrize("cls", [FastV, RandomPruning, AdaptPrune, PyramidDrop, VisionZip])
def test_keep_is_stored_as_a_budget(cls):
    assert cls(0.25).keep == cls(Fraction(0.25)).keep == Fraction(0.25)
    assert cls(3).keep == Count(3)
    budget = SpectralBudget(0.9)
    assert cls(budget).keep is budget
    assert replace(cls(3), keep=0.5) == cls(0.5)
    assert cls(1) != cls(1.0)  # one token; every token


def test_budgets_print_as_users_write_them():
    assert [str(FastV(keep).keep) for keep in (0.1, 12, 1.0)] == ["0.1", "12", "1"]
    assert "0.9" in str(SpectralBudget(0.9))


@pytest.mark.parametrize("keep", [0.5, "0.5"])
def test_parse_method_reads_keep_as_a_fraction(keep):
    assert parse_method("fastv", keep, layer=3) == FastV(0.5, layer=3)


@pytest.mark.parametrize("keep", [1, 1.0, "1"])
def test_parse_method_takes_1_for_every_token(keep):
    assert parse_method("fastv", keep) == FastV(1.0)
    assert parse_method("none", keep) == NoPruning()


def test_parse_method_without_keep():
    assert parse_method("pyramiddrop") == PyramidDrop() and parse_method("none") == NoPruning()


@pytest.mark.parametrize(
    ("name", "keep", "message"),
    [
        ("fastv", 0, "keep must lie in"),
        ("fastv", 12, "keep must lie in"),
        ("fastv", "nan", "keep must lie in"),
        ("fastv", "many", "keep must be a fraction"),
        ("fastv", True, "keep must be a fraction"),
        ("fastv", None, "needs the parameter 'keep'"),
        ("none", 0.5, "'none' keeps every token, so keep must be 1"),
        ("vtw", 0.5, "'vtw' has no parameter 'keep'"),
        ("fastvv", 0.5, "no method 'fastvv'"),
    ],
)
def test_parse_method_refuses_other_values_of_keep(name, keep, message):
    with pytest.raises(UserError, match=message):
        parse_method(name, keep)


def test_signatures_are_canonical_json():
    for method in (FastV(0.1), AdaptPrune(keep=12), RandomPruning(keep=Fraction(0.5), seed=3), NoPruning()):
        signature = method.signature()
        assert json.loads(json.dumps(signature)) == signature
        assert set(signature) == {"name"} | {field.name for field in fields(method)} - {"backend"}
    assert FastV(0.1).signature() == FastV(Fraction(0.1)).signature() == {"name": "fastv", "keep": 0.1, "layer": 2}
    assert json.dumps(AdaptPrune(0.1, radius=5).signature()) == json.dumps(AdaptPrune(0.1).signature())
    # 1.0 keeps everything, 1 one token: equal numbers, but they must not share stored predictions.
    assert json.dumps(FastV(1).signature()) != json.dumps(FastV(1.0).signature())


def test_the_backend_is_in_the_signature_only_where_it_is_not_the_default():
    assert "backend" not in AdaptPrune(0.1).signature()
    assert AdaptPrune(0.1, backend="triton").signature()["backend"] == "triton"


def test_adaptprune_with_triton_is_refused_on_a_cpu():
    with pytest.raises(UserError, match="CUDA"):
        select(AdaptPrune(4, backend="triton"), features())


# ---- budgets


@pytest.mark.parametrize(
    ("keep", "n", "count"),
    [(0.1, 576, 57), (1.0, 576, 576), (0.29, 100, 28), (0.01, 16, 1), (1, 16, 1), (20, 16, 16), (5, 16, 5)],
)
def test_budgets_count_tokens(keep, n, count):
    assert as_budget(keep).count(features(1, n)).tolist() == [count, count]


def test_budgets_count_the_valid_tokens_of_each_row():
    given = features(1, 10)
    given.valid[1, 4:] = False
    assert Fraction(0.5).count(given).tolist() == [5, 2]
    assert Count(6).count(given).tolist() == [6, 4]


def test_any_budget_works_with_any_ranking():
    @dataclass(frozen=True)
    class RowNumber:
        def count(self, given):
            return torch.arange(len(given.valid)) + 1

        def signature(self):
            return {"budget": "row number"}

    for cls in (FastV, RandomPruning, AdaptPrune):
        method = cls(keep=RowNumber())
        assert [len(row) for row in select(method, features(rows=3))] == [1, 2, 3]
        assert method.signature()["keep"] == {"budget": "row number"}


# ---- geometry


def test_centre_prior_equals_the_published_one():
    axis = torch.linspace(-12, 12, 24)
    published = torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 12**2)).flatten()
    prior = centre_prior(grid_positions(24, 24), torch.tensor((24, 24)))
    torch.testing.assert_close(prior, published)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (3, 3), (5, 9), (12, 12)])
def test_centre_prior_is_symmetric_on_any_grid(height, width):
    prior = centre_prior(grid_positions(height, width), torch.tensor((height, width))).view(height, width)
    torch.testing.assert_close(prior, prior.flip(0).flip(1))
    if height % 2 and width % 2:
        assert prior[height // 2, width // 2] == 1
    edge = math.exp(-0.5 * ((height > 1) + (width > 1)))
    assert math.isclose(prior[0, 0].item(), edge, rel_tol=1e-6)


def test_positions_are_scaled_to_the_papers_grid():
    cells = grid_positions(24, 24)
    assert torch.equal(paper_positions(cells, torch.tensor((24, 24))), cells.float())
    assert torch.equal(paper_positions(torch.tensor([[1, 2]]), torch.tensor((12, 12))), torch.tensor([[2.0, 4.0]]))
    torch.testing.assert_close(
        paper_positions(torch.tensor([[1, 0]]), torch.tensor((8, 18))), torch.tensor([[2.0, 0.0]])
    )


# ---- what the methods choose


def test_fastv_takes_the_highest_attention():
    given = features()
    order = given.attention().argsort(dim=1, descending=True)
    assert select(FastV(5), given) == order[:, :5].tolist()


def test_ties_go_to_the_lowest_index_and_padding_is_never_chosen():
    given = features(rows=1)
    given.attention().fill_(0.5)
    given.valid[0, :3] = False
    assert select(FastV(4), given) == [[3, 4, 5, 6]]
    for method in (RandomPruning(1.0), AdaptPrune(1.0), FastV(1.0)):
        assert sorted(select(method, given)[0]) == list(range(3, 16))


def test_adaptprune_without_cues_gives_the_ablation_rows():
    given = features(6, 6)
    prior = centre_prior(given.positions, given.grids)
    off = {"correction": False, "distance": False, "similarity": False}
    assert select(AdaptPrune(9, **off), given) == select(FastV(9), given)  # row (a)
    corrected = (given.attention() * prior).argsort(dim=1, descending=True)[:, :9]
    assert select(AdaptPrune(9, **{**off, "correction": True}), given) == corrected.tolist()  # row (b)
    scaled = {"sigma_d": 1.5, "radius": 5.0}
    for options, keys in (
        ({"similarity": False}, None),  # row (c)
        ({}, given.keys(False)),  # row (d), the published keys
        ({"reading": "as_written"}, given.keys(True)),
    ):
        expected = [
            adaptive_nms_reference(
                (given.attention() * prior)[row],
                None if keys is None else keys[row],
                given.positions[row] * 4.0,  # 24 / 6
                9,
                sigma_s=None if keys is None else 0.05,
                **scaled,
            ).tolist()
            for row in range(2)
        ]
        assert select(AdaptPrune(9, **options), given) == expected


def test_random_depends_on_seed_and_row_alone():
    given = features(rows=3)
    chosen = select(RandomPruning(6), given)
    assert chosen == select(RandomPruning(6), given)
    assert chosen != select(RandomPruning(6, seed=1), given)
    assert chosen[0] != chosen[1]
    assert [row[:3] for row in chosen] == select(RandomPruning(3), given)
    drawn = [i for seed in range(200) for i in select(RandomPruning(4, seed=seed), features(rows=1))[0]]
    counts = torch.bincount(torch.tensor(drawn), minlength=16)
    assert counts.min() > 20 and counts.max() < 90  # 50 expected each


def test_no_two_registered_methods_have_one_name():
    """The later one would replace the other without a word."""
    files = (ROOT / "src/vtprune/methods").glob("*.py")
    names = [name for file in files for name in re.findall(r'name: ClassVar\[str\] = "(\w+)"', file.read_text())]
    assert sorted(names) == sorted(methods())
