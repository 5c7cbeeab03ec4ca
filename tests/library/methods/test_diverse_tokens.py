"""DivPrune, SCOPE, VisPruner and FasterVLM, each against a plain loop over one image, written from the formula."""

import numpy as np
import pytest
import torch
from helpers.given_features import features, select, with_newlines

from vtprune.methods import Count, DivPrune, FasterVLM, Scope, VisPruner
from vtprune.methods.scope import _Gains
from vtprune.ops.cosine import cosines


def row_of(given, row):
    """(cosines of all pairs, attention, all tokens, tokens with a patch) of one row, for plain loops.

    Without attention, two tokens that are each other's nearest have one gain in SCOPE. Cosines of 20 binary digits add
    up without rounding, so that such ties stay ties.
    """
    x = given.embeddings()[row].double().numpy()
    x = x / np.sqrt((x * x).sum(axis=1, keepdims=True))
    cosines = (np.round(x @ x.T * 2**20) / 2**20).tolist()
    attention, _, present = given.tower()
    tokens = given.valid[row].nonzero().flatten().tolist()
    return cosines, attention[row].tolist(), tokens, [token for token in tokens if present[row, token]]


def filled(chosen, tokens, count):
    return chosen + [token for token in tokens if token not in chosen][: count - len(chosen)]


def divprune(given, row, count):
    cosine, _, tokens, _ = row_of(given, row)
    chosen = []
    while len(chosen) < count:
        best, farthest = None, -1.0
        for i in tokens:
            if i in chosen:
                continue
            others = chosen or [j for j in tokens if j != i]
            distance = min((1 - cosine[i][j] for j in others), default=0.0)
            if distance > farthest:
                best, farthest = i, distance
        chosen.append(best)
    return chosen


def scope(given, row, count, alpha):
    cosine, attention, tokens, patches = row_of(given, row)
    cover = dict.fromkeys(patches, 0.0)
    chosen = []
    while len(chosen) < min(count, len(patches)):
        best, highest = None, -1.0
        for j in patches:
            gain = sum(max(0.0, cosine[i][j] - cover[i]) for i in patches) * attention[j] ** alpha
            if j not in chosen and gain > highest:
                best, highest = j, gain
        chosen.append(best)
        cover = {i: max(cover[i], cosine[i][best]) for i in patches}
    return filled(chosen, tokens, count)


def vispruner(given, row, count, important):
    cosine, attention, tokens, patches = row_of(given, row)
    wanted = min(count, len(patches))
    order = sorted(patches, key=lambda token: -attention[token])
    first = int(wanted * important)
    chosen, rest = order[:first], order[first:]
    goal = wanted - first
    if goal == 0:
        rest = []
    while len(rest) > goal:
        step = min(8, len(rest) - goal)
        even, odd = rest[0::2], rest[1::2]
        closest = {a: max(cosine[a][b] for b in odd) for a in even}
        even = sorted(even, key=lambda token: -closest[token])
        rest = even[step:] + odd
    return filled(chosen + rest, tokens, count)


def fastervlm(given, row, count):
    _, attention, tokens, patches = row_of(given, row)
    return filled(sorted(patches, key=lambda token: -attention[token])[:count], tokens, count)


COUNTS = (1, 2, 5, 12, 20, 33)


def check(method_of, reference, given):
    for count in COUNTS:
        counts = Count(count).count(given).tolist()
        expected = [reference(given, row, counts[row]) for row in range(3)]
        assert select(method_of(count), given) == expected


def test_divprune_equals_a_loop_written_from_the_formula(before_decoder):
    check(DivPrune, divprune, before_decoder)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1.0, 0.0, 2.5])
def test_scope_equals_a_loop_written_from_the_formula(before_decoder, alpha):
    check(lambda keep: Scope(keep, alpha), lambda *of: scope(*of, alpha), before_decoder)


@pytest.mark.parametrize("important", [0.5, 0.75, 0.0, 1.0])
def test_vispruner_equals_a_loop_written_from_the_description(before_decoder, important):
    check(lambda keep: VisPruner(keep, important), lambda *of: vispruner(*of, important), before_decoder)


def test_fastervlm_takes_the_highest_attention_in_the_tower(before_decoder):
    check(FasterVLM, fastervlm, before_decoder)


def test_fastervlm_is_vispruner_without_diverse_tokens(before_decoder):
    for count in COUNTS:
        assert select(FasterVLM(count), before_decoder) == select(VisPruner(count, important=1), before_decoder)


def test_vispruner_splits_budgets_as_the_authors_do():
    given = features(24, 24, rows=1)
    order = given.tower().attention[0].argsort(descending=True).tolist()
    for important, first in ((0.75, 48), (0.5, 32)):
        chosen = select(VisPruner(64, important), given)[0]
        assert chosen[:first] == order[:first] and len(chosen) == 64
        assert set(chosen[first:]).isdisjoint(order[:first])


def test_divprune_begins_with_the_most_isolated_token():
    # Each corner has a copy; token 4 lies between all of them and has none.
    x = torch.cat((torch.eye(4) * 2, torch.ones(1, 4), torch.eye(4)))
    given = features(3, 3, rows=1)
    given.embeddings()[:] = torch.nn.functional.pad(x, (0, 4))
    assert select(DivPrune(6), given) == [[4, 0, 1, 2, 3, 5]]


def test_scope_takes_the_token_that_covers_most():
    given = features(3, 3, rows=1)
    x = torch.eye(8)[[0, 1, 2, 2, 2, 2, 1, 1, 0]]
    given.embeddings()[:] = x
    given.tower().attention[:] = 1.0
    assert select(Scope(4), given) == [[2, 1, 0, 3]]
    given.tower().attention[0, 8] = 9.0  # attention outweighs coverage: 2 x 9 against 4 x 1
    assert select(Scope(3), given) == [[8, 2, 1]]


def test_parameters_are_checked_and_part_of_the_signature():
    assert VisPruner(0.1).signature() == {"name": "vispruner", "important": 0.5, "keep": 0.1}
    assert Scope(0.1).signature() == {"name": "scope", "alpha": 1.0, "keep": 0.1}
    assert DivPrune(0.1).signature() == {"name": "divprune", "keep": 0.1}
    for wrong in (-0.1, 1.1, float("nan"), "half"):
        with pytest.raises(ValueError, match=r"^important must be"):
            VisPruner(0.1, important=wrong)
    for wrong in (-1, float("inf")):
        with pytest.raises(ValueError, match=r"^alpha must"):
            Scope(0.1, alpha=wrong)


def test_scope_counts_gains_exactly():
    """However often they are changed: the bits of all sums made anew. Also of tokens without a patch, and copies."""
    given = with_newlines(features(images=[(9, 9), (4, 5)], rows=3, seed=7), image=1)
    embeddings = given.embeddings().index_select(1, torch.arange(101) % 60)
    similarity = cosines(embeddings)
    cover = torch.zeros(3, 101).masked_fill(~given.tower().present, float("inf"))
    gains = _Gains(similarity, cover)
    for step in range(40):
        chosen = similarity[torch.arange(3), torch.tensor([step, 2 * step, 100 - step])]
        found = gains.covered(torch.maximum(gains.cover, chosen))
        anew = (similarity - gains.cover[:, None]).clamp(min=0).sum(dim=2, dtype=torch.float64)
        assert torch.equal(found, anew)
