"""adaptive_nms against a hand-worked example, the reference loop, and its own contract."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtprune.ops import adaptive_nms, adaptive_nms_reference, grid_positions

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
PAPER = {"sigma_d": 1.5, "sigma_s": 0.05, "radius": 5.0}


@st.composite
def cases(draw, rows=1):
    """Scores, keys, positions, keep and parameters; values from few levels, so that ties are common."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    n, d = height * width, draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scores = torch.rand(rows, n, generator=generator)
    match draw(st.sampled_from(["any", "few levels", "equal", "zero", "half zero"])):
        case "few levels":
            scores = (scores * 3).floor() / 3
        case "equal":
            scores = torch.full_like(scores, 0.3)
        case "zero":
            scores = torch.zeros_like(scores)
        case "half zero":
            scores = scores.masked_fill(torch.rand(rows, n, generator=generator) < 0.5, 0.0)
    keys = torch.randn(rows, n, d, generator=generator)
    match draw(st.sampled_from(["any", "repeated", "equal", "zero"])):
        case "repeated":
            keys = keys[:, torch.randint(0, min(3, n), (n,), generator=generator)]
        case "equal":
            keys = keys[:, :1].expand(-1, n, -1)
        case "zero":
            keys = torch.zeros_like(keys)
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16]))
    parameters = {
        "sigma_d": draw(st.sampled_from([None, 0.5, 1.5, 4.0])),
        "sigma_s": draw(st.sampled_from([None, 0.05, 0.5])),
        "radius": draw(st.sampled_from([0.0, 1.0, 2.0, 2.5, 5.0, 100.0])),
    }
    keep = draw(st.sampled_from([0, 1, n, n + 2]) | st.integers(0, n))
    positions = grid_positions(height, width).expand(rows, -1, -1)
    return scores.to(dtype), keys.to(dtype), positions, keep, parameters


def check_against_the_reference(case):
    scores, keys, positions, keep, parameters = case
    expected = adaptive_nms_reference(scores[0], keys[0], positions[0], keep, **parameters)
    assert adaptive_nms(scores[0], keys[0], positions[0], keep, **parameters).tolist() == expected.tolist()
    assert len(set(expected.tolist())) == min(keep, scores.shape[1])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(cases())
def test_adaptive_nms_equals_the_reference(case):
    check_against_the_reference(case)


@settings(max_examples=2500, deadline=None)
@given(cases())
@pytest.mark.exhaustive
def test_adaptive_nms_equals_the_reference_in_many_cases(case):
    check_against_the_reference(case)


@settings(max_examples=500, deadline=None)
@given(cases(rows=3), st.lists(st.integers(0, 40), min_size=3, max_size=3), st.integers(0, 2**31))
@pytest.mark.exhaustive
def test_ragged_batch_equals_the_reference_row_by_row(case, keep, seed):
    scores, keys, positions, _, parameters = case
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(scores.shape, generator=generator) < 0.7
    chosen = adaptive_nms(scores, keys, positions, torch.tensor(keep), valid=valid, **parameters)
    assert chosen.shape == (3, min(max(keep), scores.shape[1]))
    for row in range(3):
        there = valid[row].nonzero().flatten()
        expected = there[
            adaptive_nms_reference(scores[row][there], keys[row][there], positions[row][there], keep[row], **parameters)
        ].tolist()
        assert chosen[row].tolist() == expected + [-1] * (chosen.shape[1] - len(expected))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(cases(rows=2))
def test_a_group_gets_the_tokens_that_it_gets_alone(case):
    scores, keys, positions, _, parameters = case
    n = scores.shape[1]
    joined = [torch.cat((part[0], part[1])) for part in (scores, keys, positions)]
    groups = torch.arange(2 * n) // n
    order = adaptive_nms(*joined, 2 * n, groups=groups, **parameters)
    for group in (0, 1):
        alone = adaptive_nms(scores[group], keys[group], positions[group], n, **parameters)
        assert (order[groups[order] == group] - group * n).tolist() == alone.tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(cases(), min_size=1, max_size=4), st.integers(0, 80))
@pytest.mark.exhaustive
def test_groups_behave_as_if_out_of_each_others_reach(spans, keep):
    """Suppression never crosses groups, whose tokens compete under one budget all the same.

    The reference knows no groups. Given the same tokens with the groups moved further apart than any
    radius, it chooses the same ones in the same order; and of each group what it would of that alone.
    """
    sizes = [scores.shape[1] for scores, *_ in spans]
    groups = torch.arange(len(spans)).repeat_interleave(torch.tensor(sizes))
    width = min(keys.shape[2] for _, keys, *_ in spans)
    scores = torch.cat([scores[0].float() for scores, *_ in spans])
    keys = torch.cat([keys[0, :, :width].float() for _, keys, *_ in spans])
    positions = torch.cat([positions[0] for _, _, positions, *_ in spans])
    parameters = spans[0][4]
    chosen = adaptive_nms(scores, keys, positions, keep, groups=groups, **parameters)
    apart = positions + torch.stack((1000 * groups, torch.zeros_like(groups)), dim=1)
    assert chosen.tolist() == adaptive_nms_reference(scores, keys, apart, keep, **parameters).tolist()
    assert len(set(chosen.tolist())) == min(keep, len(scores))
    for group, size in enumerate(sizes):
        there, start = groups == group, sum(sizes[:group])
        alone = adaptive_nms_reference(scores[there], keys[there], positions[there], size, **parameters)
        of_it = (chosen[groups[chosen] == group] - start).tolist()
        assert of_it == alone[: len(of_it)].tolist()


@pytest.mark.parametrize("select", [adaptive_nms, adaptive_nms_reference])
def test_example_worked_by_hand(select):
    # Four tokens in a row, one cell apart; sigma_d = 1, radius 1. Token 1 leads, token 0 has its
    # key, token 2 an orthogonal one, token 3 is out of reach.
    scores = torch.tensor([0.9, 1.0, 0.5, 0.4])
    keys = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    positions = torch.tensor([[0, 0], [0, 1], [0, 2], [0, 3]])
    # After token 1: token 0 keeps 1 - exp(-1/2) = 0.39 of 0.9 = 0.354; token 2 nearly all of 0.5,
    # as 1 - cos = 1 is 20 sigma_s. So 2 is next; it leaves 3 (orthogonal too) at 0.4 > 0.354.
    assert 0.9 * (1 - math.exp(-0.5)) < 0.4
    options = {"sigma_d": 1.0, "radius": 1.0}
    assert select(scores, keys, positions, 4, sigma_s=0.05, **options).tolist() == [1, 2, 3, 0]
    # Without similarity token 2 falls to 0.5 * 0.39 = 0.197, so token 3 is second and takes 2 to 0.078.
    assert select(scores, keys, positions, 4, sigma_s=None, **options).tolist() == [1, 3, 0, 2]
    # The radius includes its end: just below one cell nothing is suppressed.
    assert select(scores, keys, positions, 4, sigma_d=1.0, sigma_s=None, radius=0.99).tolist() == [1, 0, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_full_size_equals_the_reference(device):
    generator = torch.Generator().manual_seed(1)
    scores, keys = torch.rand(2, 576, generator=generator), torch.randn(2, 576, 64, generator=generator)
    # Neighbours alike, so that the similarity term is not 0 throughout.
    keys = keys + 20 * torch.randn(2, 1, 64, generator=generator)
    positions = grid_positions(24, 24).expand(2, -1, -1)
    got = adaptive_nms(scores.to(device), keys.to(device), positions.to(device), 57, **PAPER)
    assert got.device.type == device
    for row in range(2):
        assert got[row].tolist() == adaptive_nms_reference(scores[row], keys[row], positions[row], 57, **PAPER).tolist()
    without = adaptive_nms(scores, keys, positions, 57, **{**PAPER, "sigma_s": None})
    assert without.tolist() != got.tolist()


def test_zero_scores_are_taken_by_index_and_inputs_are_not_changed():
    scores, keys, positions = torch.zeros(9), torch.randn(9, 4), grid_positions(3, 3)
    before = scores.clone(), keys.clone()
    assert adaptive_nms(scores, keys, positions, 9, **PAPER).tolist() == list(range(9))
    assert torch.equal(scores, before[0]) and torch.equal(keys, before[1])


def test_empty_inputs_give_empty_results():
    assert adaptive_nms(torch.rand(0), torch.rand(0, 3), torch.rand(0, 2), 4, **PAPER).shape == (0,)
    assert adaptive_nms(torch.rand(0, 5), torch.rand(0, 5, 3), torch.rand(0, 5, 2), 4, **PAPER).shape == (0, 4)
    nothing = torch.zeros(5, dtype=torch.bool)
    assert adaptive_nms(torch.rand(5), torch.rand(5, 3), torch.rand(5, 2), 4, valid=nothing, **PAPER).shape == (0,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": torch.rand(2, 2, 2)}, "scores must be"),
        ({"positions": torch.rand(5, 2)}, "positions must be"),
        ({"keys": torch.rand(5, 3)}, "keys must be"),
        ({"keys": None}, "keys must be"),
        ({"keep": -1}, "keep must not be negative"),
        ({"keep": torch.tensor([1, 2])}, "one count or one per row"),
        ({"radius": -1.0}, "radius must not be negative"),
        ({"sigma_d": 0.0}, "sigma_d must be positive"),
        ({"sigma_s": -0.1}, "sigma_s must be positive"),
        ({"valid": torch.ones(3, dtype=torch.bool)}, "valid must be"),
        ({"groups": torch.ones(3)}, "groups must be"),
    ],
)
def test_bad_arguments_are_refused(changed, message):
    arguments = {"scores": torch.rand(4), "keys": torch.rand(4, 3), "positions": torch.rand(4, 2), "keep": 2, **PAPER}
    with pytest.raises(ValueError, match=message):
        adaptive_nms(**{**arguments, **changed})


def test_a_batch_has_the_bits_of_its_rows():
    generator = torch.Generator().manual_seed(5)
    scores, keys = torch.rand(3, 49, generator=generator), torch.randn(3, 49, 16, generator=generator)
    positions = grid_positions(7, 7).expand(3, -1, -1)
    groups = torch.arange(49).expand(3, -1) // 20
    together = adaptive_nms(scores, keys, positions, 20, **PAPER, groups=groups)
    for row in range(3):
        alone = adaptive_nms(scores[row], keys[row], positions[row], 20, **PAPER, groups=groups[row])
        assert torch.equal(together[row], alone)
