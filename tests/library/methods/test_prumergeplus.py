"""PruMerge+: its tokens and means against plain loops over one image, written from the description."""

import numpy as np
import pytest
import torch
from helpers.given_features import features, select

from vtprune.methods import Count, PruMergePlus


def chosen_tokens(given, row, count, share):
    attention = given.tower().attention[row].tolist()
    tokens = given.valid[row].nonzero().flatten().tolist()
    patches = [token for token in tokens if given.tower().present[row, token]]
    wanted = min(count, len(patches))
    first = min(wanted, max(int(wanted * share), 1 if share else 0))
    attended = sorted(patches, key=lambda token: -attention[token])[:first]
    rest = [token for token in patches if token not in attended]
    samples = wanted - first
    spaced = [rest[i * len(rest) // samples] for i in range(samples)]
    return attended, spaced, [token for token in tokens if token not in patches][: count - wanted]


def means(given, row, kept, neighbours):
    """{kept token: the tokens whose mean it becomes}, for those that others join."""
    keys = given.tower().keys[row].double().numpy()
    patches = [token for token in range(len(keys)) if given.tower().present[row, token] and given.valid[row, token]]

    def cosine(a, b):
        return keys[a] @ keys[b] / np.linalg.norm(keys[a]) / np.linalg.norm(keys[b])

    targets = [token for token in patches if token in kept]
    near = {
        target: sorted((t for t in patches if t != target), key=lambda t: -cosine(t, target))[:neighbours]
        for target in targets
    }
    joined = {}
    for token in patches:
        if token not in kept:
            target = max(targets, key=lambda target: cosine(token, target))
            if token in near[target]:
                joined.setdefault(target, [target]).append(token)
    return {target: sorted(tokens) for target, tokens in joined.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("share", "neighbours"), [(0.25, 32), (0.25, 3), (0.0, 5), (1.0, 1), (0.5, 0)])
def test_choice_and_means_equal_loops_written_from_the_description(before_decoder, share, neighbours):
    given = before_decoder
    for count in (1, 2, 5, 12, 20, 31, 35):
        method = PruMergePlus(count, share, neighbours)
        counts = Count(count).count(given).tolist()
        chosen = select(method, given)
        kept = torch.zeros_like(given.valid)
        for row, tokens in enumerate(chosen):
            kept[row, tokens] = True
            attended, spaced, other = chosen_tokens(given, row, counts[row], share)
            assert tokens[: len(attended)] == attended
            assert set(tokens) == {*attended, *spaced, *other}
        into = method.merge(given, kept)
        for row, tokens in enumerate(chosen):
            expected = means(given, row, tokens, neighbours)
            if into is None:
                assert not expected
                continue
            targets = sorted(set(into[row].tolist()) - {-1})
            assert {target: (into[row] == target).nonzero().flatten().tolist() for target in targets} == expected


def test_a_budget_of_64_is_16_attended_and_48_evenly_spaced_tokens():
    given = features(24, 24, rows=1)
    chosen = select(PruMergePlus(64), given)[0]
    assert chosen[:16] == given.tower().attention[0].argsort(descending=True)[:16].tolist()
    rest = [token for token in range(576) if token not in chosen[:16]]
    assert sorted(chosen[16:]) == [rest[i * 560 // 48] for i in range(48)]


def test_parameters_are_checked_and_part_of_the_signature():
    assert PruMergePlus(0.1).signature() == {"name": "prumergeplus", "attended": 0.25, "keep": 0.1, "neighbours": 32}
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"^attended must be"):
            PruMergePlus(0.1, attended=wrong)
    for wrong in (-1, 2.5):
        with pytest.raises(ValueError, match=r"^neighbours must"):
            PruMergePlus(0.1, neighbours=wrong)
