"""Pooled tokens against torch's average pooling, and against a plain loop over one image."""

import math
from itertools import pairwise

import pytest
import torch
from helpers.given_features import features, select, with_newlines

from vtprune.attach.kept import Choice
from vtprune.methods import Count, Pooled


def pooled(method, given):
    """The kept tokens of each row, `into`, and the embeddings with the means in their places."""
    chosen = select(method, given)
    kept = torch.zeros_like(given.valid)
    for row, tokens in enumerate(chosen):
        kept[row, tokens] = True
    into = method.merge(given, kept)
    slots = torch.arange(kept.shape[1]).expand_as(kept)
    return kept, into, Choice(kept, into).merge(given.embeddings(), slots)


def parts_of(size, parts):
    """Consecutive indices in as many parts; each begins where the fraction rounds up to."""
    borders = [math.ceil(i * size / parts) for i in range(parts + 1)]
    return [list(range(a, b)) for a, b in pairwise(borders)]


def cells_of(height, width, count, newline):
    """The cells of a grid: lists of (row, column)."""
    bands = min(max(round(math.sqrt(count * height / width)), math.ceil(count / width)), height, count)
    cells = []
    for number, rows in enumerate(parts_of(height, bands)):
        here = (number + 1) * count // bands - number * count // bands
        patch_cells = max(1, here - newline)
        cells += [[(r, c) for r in rows for c in columns] for columns in parts_of(width - newline, patch_cells)]
        if newline and here > 1:
            cells.append([(r, width - 1) for r in rows])
    return cells


def nearest_to_the_middle(cell):
    middle = [(min(axis) + max(axis)) / 2 for axis in zip(*cell, strict=True)]
    return min(cell, key=lambda at: (math.dist(at, middle), at))


def expected_means(given, row, count, newline_image):
    """{kept token: the tokens whose mean it is}, for complete grids."""
    tokens = given.valid[row].nonzero().flatten().tolist()
    images = sorted({int(given.image[row, token]) for token in tokens})
    result, before = {}, 0
    for image in images:
        mine = [token for token in tokens if given.image[row, token] == image]
        after = before + len(mine)
        share = after * count // len(tokens) - before * count // len(tokens)
        before = after
        if share == 0:
            continue
        height, width = given.grids[row, mine[0]].tolist()
        for cell in cells_of(height, width, share, int(image == newline_image)):
            target = nearest_to_the_middle(cell)
            result[mine[0] + target[0] * width + target[1]] = [mine[0] + r * width + c for r, c in cell]
    return result


GIVEN = {
    "one image": (lambda: features(6, 6, rows=3, seed=1), None),
    "wide": (lambda: features(3, 11, rows=3, seed=2), None),
    "line": (lambda: features(1, 8, rows=3), None),
    "several images": (lambda: features(images=[(4, 5), (7, 2), (1, 3)], rows=3, seed=3), None),
    "newlines": (lambda: with_newlines(features(images=[(3, 4), (5, 5)], rows=3, seed=4), image=1), 1),
    "two columns with newlines": (lambda: with_newlines(features(7, 2, rows=3), image=0), 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GIVEN)
def test_means_equal_a_plain_loop(name):
    make, newline_image = GIVEN[name]
    given = make()
    if name == "several images":
        given.valid[1, 20:] = False  # a row with one image
    for count in range(1, given.valid.shape[1] + 1):
        kept, into, means = pooled(Pooled(count), given)
        targets = into.tolist()
        for row, share in enumerate(Count(count).count(given).tolist()):
            expected = expected_means(given, row, share, newline_image)
            assert len(expected) == share
            assert kept[row].nonzero().flatten().tolist() == sorted(expected)
            for target, members in expected.items():
                joined = members if len(members) > 1 else []
                assert [token for token, joins in enumerate(targets[row]) if joins == target] == joined
            average = torch.stack([given.embeddings()[row, members].mean(dim=0) for members in expected.values()])
            torch.testing.assert_close(means[row, list(expected)], average)


@pytest.mark.parametrize(("grid", "smaller"), [((24, 24), (12, 12)), ((24, 24), (8, 8)), ((12, 36), (4, 12))])
def test_a_budget_that_fits_the_grid_is_average_pooling(grid, smaller):
    given = features(*grid, rows=2)
    kept, _, means = pooled(Pooled(smaller[0] * smaller[1]), given)
    picture = given.embeddings().mT.reshape(2, 8, *grid)
    expected = torch.nn.functional.adaptive_avg_pool2d(picture, smaller).flatten(2).mT
    got = torch.stack([means[row, kept[row]] for row in range(2)])
    torch.testing.assert_close(got, expected)


def test_keeping_all_tokens_changes_nothing():
    given = features(images=[(3, 4), (5, 5)], rows=2)
    kept, into, means = pooled(Pooled(1.0), given)
    assert kept.all() and (into == -1).all()
    assert torch.equal(means, given.embeddings())


def test_newline_tokens_stay_newline_tokens():
    given = with_newlines(features(8, 9, rows=1), image=0)
    kept, _, means = pooled(Pooled(18), given)  # 4 bands of 4 or 5 cells
    newlines = torch.arange(8, 72, 9)
    assert int(kept[0, newlines].sum()) == 4
    assert torch.equal(means[0, newlines], given.embeddings()[0, newlines])


def test_cells_without_tokens_give_their_places_to_others():
    given = features(6, 6, rows=1)
    given.valid[0, :18] = False  # an earlier stage dropped the upper half
    kept, into, means = pooled(Pooled(16), given)  # 4 x 4 cells, 8 of them empty
    assert int(kept.sum()) == 16 and not kept[0, :18].any()
    alone = (kept & (into == -1))[0].nonzero().flatten()
    assert torch.equal(means[0, alone], given.embeddings()[0, alone])
    assert set(into[0, 18:].tolist()) - {-1} <= set(kept[0].nonzero().flatten().tolist())
