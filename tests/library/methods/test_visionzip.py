"""VisionZip: dominant tokens, targets and means against plain loops written from the paper's words."""

from dataclasses import replace

import pytest
import torch
from helpers.given_features import features, select

from vtprune.features import Patches
from vtprune.methods import Count, Fraction, VisionZip


def zipped(attention, keys, tokens, absent, count, contextual):
    """One prompt by the paper: ([dominant, best first], {target: [its mean's tokens]}).

    "Dominant" are those with most attention; the rest is thinned to evenly spaced targets, and every
    other token of it goes to the target with the most similar key. Tokens without a patch come last.
    """
    few = int(count * contextual)
    ranked = sorted(tokens, key=lambda token: (token in absent, 0 if token in absent else -attention[token], token))
    dominant = ranked[: count - few]
    rest = [token for token in tokens if token not in dominant]
    patches = [token for token in rest if token not in absent]
    spaced = patches[:: max(1, len(patches) // max(1, few))][:few]
    targets = spaced + [token for token in rest if token in absent][: few - len(spaced)]
    means = {target: [target] for target in targets}
    for token in patches:
        if targets and token not in targets:
            similar = [torch.cosine_similarity(keys[token], keys[target], dim=0).item() for target in targets]
            means[targets[similar.index(max(similar))]].append(token)
    return dominant, {target: sorted(members) for target, members in means.items()}


@pytest.fixture(params=["one image", "two parts with newlines", "ragged"])
def given(request):
    if request.param == "one image":
        return features(6, 6, rows=3, seed=1)
    made = features(rows=3, seed=2, images=[(3, 4), (5, 5)])
    attention, keys, present = made.tower()
    if request.param == "ragged":
        made.valid[1, 20:] = made.valid[2, :9] = False
        return made
    present = present & ~((made.image == 1) & (made.positions[..., 1] == 4))
    tower = Patches(attention.masked_fill(~present, 0), keys.masked_fill(~present[..., None], 0), present)
    return replace(made, tower=lambda: tower)


@pytest.mark.parametrize("contextual", [0.0, 10 / 64, 0.5, 0.9])
def test_choice_and_means_equal_a_loop_written_from_the_paper(given, contextual):
    attention, keys, present = given.tower()
    n = given.valid.shape[1]
    for keep in (Count(1), Count(2), Count(7), Count(13), Count(30), Count(35), Fraction(0.3), Fraction(1.0)):
        method = VisionZip(keep, contextual)
        counts = keep.count(given)
        chosen = select(method, given)
        kept = torch.zeros(3, n, dtype=torch.bool)
        for row, tokens in enumerate(chosen):
            kept[row, tokens] = True
        into = method.merge(given, kept)
        for row, count in enumerate(counts.tolist()):
            tokens = given.valid[row].nonzero().flatten().tolist()
            absent = {token for token in tokens if not present[row, token]}
            dominant, means = zipped(attention[row].tolist(), keys[row], tokens, absent, count, contextual)
            assert chosen[row] == dominant + list(means)
            if into is None:
                assert not means
                continue
            assert {target: (into[row] == target).nonzero().flatten().tolist() for target in means} == means
            assert int((into[row] >= 0).sum()) == sum(map(len, means.values()))


def test_budgets_are_split_as_in_the_paper():
    """54 + 10 of 64 tokens, 108 + 20 of 128, 162 + 30 of 192 (its section 4.1)."""
    method = VisionZip(64)
    assert [(count, method.contextual_count(count)) for count in (64, 128, 192, 6, 1)] == [
        (64, 10),
        (128, 20),
        (192, 30),
        (6, 0),
        (1, 0),
    ]
    given = features(24, 24, rows=1)
    chosen = select(method, given)[0]
    assert chosen[:54] == given.tower().attention[0].argsort(descending=True)[:54].tolist()
    rest = [token for token in range(576) if token not in chosen[:54]]
    assert chosen[54:] == rest[::52][:10]  # 522 // 10


def test_contextual_is_part_of_the_signature_and_checked():
    assert VisionZip(0.1).signature() == {"name": "visionzip", "contextual": 10 / 64, "keep": 0.1}
    for wrong in (-0.1, 1.0, 2, float("nan")):
        with pytest.raises(ValueError, match=r"^contextual must be"):
            VisionZip(0.1, contextual=wrong)
