"""VTW, FitPrune and Table 5's rows, each against a loop written from the paper's words (supplement C)."""

from collections import defaultdict

import pytest
import torch
from helpers.given_features import features, of_row, on, select

from vtprune.methods import (
    VTW,
    AvgPool3x3,
    Count,
    FitPrune,
    Fraction,
    LastTokens,
    MaxPool3x3,
    Random3x3,
    RandomPruning,
    SkipPruning,
    methods,
)
from vtprune.ops.ranking import highest, ranks
from vtprune.stages import layer_at

SHAPES = {
    "6x6": [(6, 6)],
    "4x4": [(4, 4)],
    "5x7": [(5, 7)],
    "1x8": [(1, 8)],
    "2x2": [(2, 2)],
    "several": [(4, 5), (7, 2), (3, 3)],
}
EACH = [cls for cls in methods().values() if cls.takes_keep()]


@pytest.fixture(params=SHAPES)
def given(request):
    """Three rows; of the second the last three tokens are missing, of the third every third one."""
    found = features(images=SHAPES[request.param], rows=3)
    found.valid[1, -3:] = False
    found.valid[2, ::3] = False
    return found


def budgets(given) -> range:
    return range(1, int(given.valid.sum(dim=1).max()) + 3)


def tokens(given, row) -> list[int]:
    return given.valid[row].nonzero().flatten().tolist()


def scores(given, row) -> list[float]:
    return given.attention()[row].tolist()


def place(given, row, token) -> tuple[int, int, int]:
    """(image, row, column) of a token."""
    return int(given.image[row, token]), *given.positions[row, token].tolist()


def cell(given, row, token) -> tuple[int, int, int]:
    image, down, across = place(given, row, token)
    return image, down // 3, across // 3


def top(among, score, count) -> list[int]:
    return sorted(among, key=lambda token: (-score[token], token))[:count]


# ---- against the words of the paper


def skip(given, row, count):
    order = top(tokens(given, row), scores(given, row), None)
    every_other = order[: 2 * count][::2]
    skipped = [token for token in order if token not in every_other]
    return (every_other + skipped)[:count]


def max_pooling(given, row, count):
    cells = defaultdict(list)
    for token in top(tokens(given, row), scores(given, row), None):
        cells[cell(given, row, token)].append(token)
    chosen = []
    while any(cells.values()):
        best_of_each = [found.pop(0) for found in cells.values() if found]
        chosen += top(best_of_each, scores(given, row), None)
    return chosen[:count]


def average_pooling(given, row, count):
    there = {place(given, row, token): scores(given, row)[token] for token in tokens(given, row)}
    pooled = {}
    for token in tokens(given, row):
        image, down, across = place(given, row, token)
        window = [(image, down + i, across + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        pooled[token] = sum(there.get(position, 0.0) for position in window) / 9
    return top(pooled, pooled, count)


def fitprune(given, row, count):
    from_text, from_image = given.received()
    return top(tokens(given, row), (from_text[row] * from_image[row]).tolist(), count)


def last(given, row, count):
    return tokens(given, row)[::-1][:count]


@pytest.mark.parametrize(
    ("cls", "reference"),
    [
        (SkipPruning, skip),
        (MaxPool3x3, max_pooling),
        (AvgPool3x3, average_pooling),
        (FitPrune, fitprune),
        (LastTokens, last),
    ],
)
def test_method_chooses_as_a_loop_written_from_the_paper(cls, reference, given):
    for count in budgets(given):
        assert select(cls(count), given) == [reference(given, row, count) for row in range(3)]


def test_random_3x3_takes_the_highest_of_one_token_of_each_square(given):
    for row in range(3):
        cells = {cell(given, row, token) for token in tokens(given, row)}
        candidates = select(Random3x3(len(cells)), given)[row]
        assert {cell(given, row, token) for token in candidates} == cells
        for count in range(1, len(cells)):
            assert select(Random3x3(count), given)[row] == top(candidates, scores(given, row), count)


def test_random_3x3_with_a_large_budget_takes_a_second_token_of_each_square(given):
    for count in budgets(given):
        for row, chosen in enumerate(select(Random3x3(count), given)):
            held, size = defaultdict(int), defaultdict(int)
            for token in tokens(given, row):
                size[cell(given, row, token)] += 1
            for token in chosen:
                held[cell(given, row, token)] += 1
            full = max(held.values())
            assert all(held[which] >= min(full - 1, size[which]) for which in size)


def test_random_3x3_draws_evenly_and_by_its_seed():
    given = features(3, 6, rows=1)
    drawn = [i for seed in range(300) for i in select(Random3x3(2, seed=seed), given)[0]]
    counts = torch.bincount(torch.tensor(drawn), minlength=18)
    assert counts.min() > 15 and counts.max() < 60  # 33 expected each
    assert select(Random3x3(2, seed=5), given) == select(Random3x3(2, seed=5), given)


def test_budgets_of_the_supplement():
    given = features(24, 24, rows=1)
    cells = [(down // 3, across // 3) for down in range(24) for across in range(24)]
    for cls in (Random3x3, MaxPool3x3):
        chosen = select(cls(0.1), given)[0]
        assert len(chosen) == len({cells[token] for token in chosen}) == 57  # of 64 cells
    order = given.attention()[0].argsort(descending=True).tolist()
    assert select(SkipPruning(0.1), given) == [order[:114:2]]
    assert sorted(select(LastTokens(0.1), given)[0]) == list(range(519, 576))


# ---- what holds for every method


@pytest.mark.parametrize("cls", EACH)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_budgets_are_filled_exactly(cls, step, given):
    for keep in (*(Count(count) for count in budgets(given)[::step]), Fraction(0.1), Fraction(1.0)):
        for row, chosen in enumerate(select(cls(keep), given)):
            assert len(chosen) == len(set(chosen)) == keep.count(given)[row]
            assert set(chosen) <= set(tokens(given, row))


@pytest.mark.slow
@pytest.mark.parametrize("cls", EACH)
def test_a_row_gets_the_same_tokens_alone_and_in_a_batch(cls, given):
    together = select(cls(0.4), given)
    for row in range(3):
        assert select(cls(0.4), of_row(given, row)) == [together[row]]


@pytest.mark.parametrize("cls", EACH)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_chooses_the_same_tokens_as_the_cpu(cls, given):
    for keep in (0.1, 0.5, 1.0):
        assert select(cls(keep), on("cuda", given)) == select(cls(keep), given)


def test_ranks_count_from_the_highest():
    score = torch.tensor([[0.2, 0.9, 0.9, 0.1, 0.5]])
    valid = torch.tensor([[True, True, True, True, False]])
    assert ranks(score, valid).tolist() == [[2, 0, 1, 3, 4]]
    assert highest(score, torch.tensor([3]), valid).tolist() == [[1, 2, 0]]


def test_random_tokens_of_a_small_budget_are_a_subset_of_a_larger_one():
    given = features(rows=3)
    whole = select(RandomPruning(16), given)
    assert [sorted(row) for row in whole] == [list(range(16))] * 3
    assert all(select(RandomPruning(k), given) == [row[:k] for row in whole] for k in range(1, 16))


# ---- VTW, and layers as fractions of the depth


def test_vtw_keeps_no_token(given):
    (stage,) = VTW().stages()
    assert stage.budget.count(given).tolist() == [0, 0, 0]
    assert select(VTW(), given) == [[], [], []]
    assert VTW().signature() == {"name": "vtw", "layer": 5 / 32}
    assert VTW(layer=5).signature() == {"name": "vtw", "layer": 5}


@pytest.mark.parametrize(
    ("layer", "depth", "expected"),
    [
        (5 / 32, 32, 5),
        (5 / 32, 40, 6),
        (5 / 32, 24, 4),
        (5 / 32, 6, 1),
        (5 / 32, 2, 1),
        (0.5, 5, 3),
        (0.99, 4, 3),
        (7, 4, 7),
    ],
)
def test_layer_at_takes_fractions_of_the_depth(layer, depth, expected):
    assert layer_at(layer, depth) == expected


@pytest.mark.parametrize("layer", [0.0, 1.0, 5.0, -0.1, float("nan"), True, None])
def test_layer_at_refuses_other_layers(layer):
    with pytest.raises(ValueError, match=r"^layer must be a whole number of at least 0, or a fraction [^\n]*$"):
        VTW(layer=layer)
