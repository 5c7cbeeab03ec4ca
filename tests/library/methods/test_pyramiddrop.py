"""PyramidDrop: its stages' counts, and its choice against the paper's words."""

from dataclasses import replace
from fractions import Fraction as Exact

import pytest
import torch
from helpers.given_features import features, select
from hypothesis import given as drawn
from hypothesis import strategies as st

from vtprune.methods import Count, Fraction, PyramidDrop, SpectralBudget
from vtprune.stages import Goal, Stage, layer_at, placed


def counts(method, n: int) -> list[int]:
    goal, found, given = None, [], features(1, n, rows=1)
    for stage in method.stages():
        left, goal = stage.counts(given, goal)
        found.append(int(left))
        given = replace(given, valid=torch.arange(n)[None] < left)
    return found


def test_default_halves_the_tokens_as_in_the_paper():
    """Half at each of three stages: 576, 288, 144, 72 (its section 3.2, lambda = 0.5)."""
    assert counts(PyramidDrop(), 576) == [288, 144, 72]
    assert [layer_at(layer, 32) for layer in PyramidDrop().layers] == [8, 16, 24]
    assert [layer_at(layer, 6) for layer in PyramidDrop().layers] == [2, 3, 5]
    # An eighth of 2880 is 360, reached by halves too; 0.1 of 576 is 57, by 0.462 each.
    assert counts(PyramidDrop(), 2880) == [1440, 720, 360]
    assert counts(PyramidDrop(0.1), 576) == [266, 123, 57]
    assert counts(PyramidDrop(1.0), 576) == [576, 576, 576]
    assert counts(PyramidDrop(Count(9), layers=(1, 2)), 144) == [36, 9]


@pytest.mark.slow
@drawn(n=st.integers(1, 3000), keep=st.integers(1, 3000), steps=st.integers(1, 6))
def test_counts_are_exact_and_never_rise(n, keep, steps):
    goal = Goal(torch.tensor([n]), torch.tensor([min(n, keep)]))
    found = [n]
    for step in range(1, steps + 1):
        stage = Stage(step, None, Fraction(1.0), step, steps)
        if step == 1:
            stage = replace(stage, budget=Count(keep))
        left, goal = stage.counts(features(1, n, rows=1), goal)
        found.append(int(left))
        # The largest whole number that is at most n (k / n)^(i / m), in exact fractions of its m-th power.
        wanted = n**steps * Exact(min(n, keep), n) ** step
        assert found[-1] ** steps <= wanted < (found[-1] + 1) ** steps
    assert found == sorted(found, reverse=True) and found[-1] == min(n, keep)


def test_each_stage_takes_the_highest_remaining_tokens():
    """Written from the paper: rank by what the last token pays, drop the lowest part, go on."""
    given = features(6, 6, rows=3)
    given.valid[1, 20:] = False
    scores = given.attention().tolist()
    chosen = select(PyramidDrop(), given)
    # 36 tokens and a budget of 4: 36 (1/9)^(1/3) = 17.3, then 8.3. Of 20 and 2: 20 (1/10)^(1/3) = 9.3, then 4.3.
    for row, stages in enumerate(((17, 8, 4), (9, 4, 2), (17, 8, 4))):
        left = [token for token in range(36) if given.valid[row, token]]
        for count in stages:
            left = sorted(left, key=lambda token: -scores[row][token])[:count]
        assert chosen[row] == left


def test_a_budget_that_depends_on_the_image_is_counted_once():
    class Counted:
        calls = 0

        def count(self, features):
            self.calls += 1
            return SpectralBudget(0.8).count(features)

        def signature(self):
            return "counted"

    given, budget = features(6, 6, rows=3, seed=1), Counted()
    chosen = select(PyramidDrop(budget), given)
    assert budget.calls == 1
    assert [len(row) for row in chosen] == SpectralBudget(0.8).count(given).tolist()


def test_layers_are_checked_and_stored_as_a_tuple():
    assert PyramidDrop(layers=[1, 2]) == PyramidDrop(layers=(1, 2))
    assert PyramidDrop().signature() == {"name": "pyramiddrop", "keep": 0.125, "layers": [0.25, 0.5, 0.75]}
    for wrong in ((), 3, [1.5], [True], ["2"]):
        with pytest.raises(ValueError, match=r"^layers? must [^\n]*$"):
            PyramidDrop(layers=wrong)


def test_stages_are_placed_by_the_depth_of_the_decoder():
    assert [list(placed(PyramidDrop(), depth)) for depth in (4, 5, 6, 24, 32, 40)] == [
        [1, 2, 3],
        [1, 3, 4],
        [2, 3, 5],
        [6, 12, 18],
        [8, 16, 24],
        [10, 20, 30],
    ]
    for depth in (2, 3):
        with pytest.raises(ValueError, match=f"two stages before layer {depth - 1} "):
            placed(PyramidDrop(), depth)
    with pytest.raises(ValueError, match="layer 1 comes after layer 2"):
        placed(PyramidDrop(layers=(2, 1)), 4)
    with pytest.raises(ValueError, match="stage 2 of 3"):
        PyramidDrop().stages()[1].counts(features())
