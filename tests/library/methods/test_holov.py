"""HoloV against a plain loop that follows the authors' formula word for word, the variance of cosines included."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.given_features import constant, features, select

from vtprune.features import Patches
from vtprune.methods import Count, FasterVLM, HoloV
from vtprune.ops.choosing import apportioned


def chunks_of(patches, images, chunks):
    """The chunks of each image: consecutive tokens, the first chunks one longer where it does not divide."""
    result = []
    for image in sorted({images[token] for token in patches}):
        tokens = [token for token in patches if images[token] == image]
        length, longer = divmod(len(tokens), chunks)
        start = 0
        for number in range(chunks):
            end = start + length + (number < longer)
            if end > start:
                result.append(tokens[start:end])
            start = end
    return result


def published_weight(chunk, embeddings, attention) -> float:
    """The sum of the published token scores of a chunk: scaled attention, and variance scaled to it."""
    scaled = 1000 * np.array([attention[token] for token in chunk])
    if len(chunk) == 1:
        return scaled.sum()
    unit = np.array([embeddings[token] / np.linalg.norm(embeddings[token]) for token in chunk])
    cosines = unit @ unit.T * (1 - np.eye(len(chunk)))
    others = len(chunk) - 1
    variance = ((cosines - cosines.sum(axis=1, keepdims=True) / others) ** 2).sum(axis=1) / others
    return (scaled + 0.09 * variance * np.abs(scaled).mean() / np.abs(variance).mean()).sum()


def quotas_of(weights, sizes, count):
    """Shares in proportion to the weights, none above its size; the rest to the largest weights."""
    full = set()
    while True:
        left = count - sum(sizes[g] for g in full)
        total = sum(weight for g, weight in enumerate(weights) if g not in full)
        shares = {g: left * weights[g] / total for g in range(len(sizes)) if g not in full}
        over = {g for g, share in shares.items() if share >= sizes[g]}
        if not over:
            break
        full |= over
    quotas = [sizes[g] if g in full else int(shares[g]) for g in range(len(sizes))]
    for g in sorted(shares, key=lambda g: -weights[g])[: count - sum(quotas)]:
        quotas[g] += 1
    return quotas


def holov(given, row, count, chunks):
    embeddings, attention = given.embeddings()[row].double().numpy(), given.tower().attention[row].tolist()
    tokens = given.valid[row].nonzero().flatten().tolist()
    patches = [token for token in tokens if given.tower().present[row, token]]
    parts = chunks_of(patches, given.image[row].tolist(), chunks)
    wanted = min(count, len(patches))
    weights = [published_weight(chunk, embeddings, attention) for chunk in parts]
    if any(len(chunk) == 1 for chunk in parts):  # alone, a token has no variance; that of the others has no effect
        weights = [sum(attention[token] for token in chunk) for chunk in parts]
    chosen = set()
    for chunk, quota in zip(parts, quotas_of(weights, [len(chunk) for chunk in parts], wanted), strict=True):
        chosen |= set(sorted(chunk, key=lambda token: -attention[token])[:quota])
    return chosen | set([token for token in tokens if token not in patches][: count - wanted])


@pytest.mark.parametrize("chunks", [16, 4, 3, 1])
def test_the_choice_equals_that_of_the_authors_formula_with_its_variance(before_decoder, chunks):
    for count in (1, 2, 5, 12, 16, 20, 31, 35):
        counts = Count(count).count(before_decoder).tolist()
        expected = [holov(before_decoder, row, counts[row], chunks) for row in range(3)]
        assert [set(chosen) for chosen in select(HoloV(count, chunks), before_decoder)] == expected


def test_llava_has_16_chunks_of_36_tokens_with_shares_of_the_attention():
    given = constant(features(24, 24, rows=1))
    attention = given.tower().attention
    chunk = torch.arange(576) // 36
    assert torch.bincount(chunk[select(HoloV(64), given)[0]]).tolist() == [4] * 16
    attention[0, chunk == 3] *= 5  # 5 of 20 shares: 16 of 64 tokens; 3.2 for each other chunk, and 3 more
    assert torch.bincount(chunk[select(HoloV(64), given)[0]]).tolist() == [4, 4, 3, 17, *[3] * 12]


def test_a_chunk_never_gets_more_than_it_has():
    given = constant(features(24, 24, rows=1))
    given.tower().attention[0, 36:72] = 100.0
    chosen = select(HoloV(64), given)[0]
    assert set(range(36, 72)) <= set(chosen)
    others = torch.bincount(torch.tensor(chosen) // 36, minlength=16)
    assert others.tolist() == [2, 36, *[2] * 12, 1, 1]  # 28 for 15 chunks: 1.87 each, and 13 more


def test_one_chunk_is_fastervlm_for_one_image():
    given = features(6, 6, rows=3, seed=1)
    for count in (1, 7, 36):
        assert select(HoloV(count, chunks=1), given) == select(FasterVLM(count), given)


def test_an_image_without_attention_gets_tokens_from_everywhere():
    given = features(8, 8, rows=1)
    nothing = Patches(torch.zeros(1, 64), given.tower().keys, given.tower().present)
    chosen = select(HoloV(16), replace(given, tower=lambda: nothing))[0]
    assert sorted(chosen) == list(range(0, 64, 4))


def test_shares_are_exact():
    sizes = torch.tensor([[3, 5, 0, 4], [3, 5, 0, 4]])
    weights = torch.tensor([[9.0, 1.0, 7.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    for count in range(13):
        assert apportioned(weights, sizes, torch.tensor([count, count])).sum(dim=1).tolist() == [count, count]
    assert apportioned(weights, sizes, torch.tensor([6, 6])).tolist() == [[3, 2, 0, 1], [1, 3, 0, 2]]
    thirds = torch.full((1, 3), 1 / 3)
    assert apportioned(thirds, torch.tensor([[9, 9, 9]]), torch.tensor([12])).tolist() == [[4, 4, 4]]


def test_chunks_are_checked():
    assert HoloV(0.1).signature() == {"name": "holov", "chunks": 16, "keep": 0.1}
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"^chunks must be"):
            HoloV(0.1, chunks=wrong)
