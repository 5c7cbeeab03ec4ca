"""What holds for every method that chooses tokens before the decoder, with flat, extreme and wrong features too."""

import math
from dataclasses import replace

import pytest
import torch
from helpers.given_features import constant, features, of_type, select, with_newlines

from vtprune.errors import UserError
from vtprune.features import FeatureWidths, Text
from vtprune.methods import (
    BeforeDecoder,
    CDPruner,
    Count,
    DivPrune,
    FasterVLM,
    Fraction,
    HoloV,
    Pooled,
    PruMergePlus,
    Scope,
    SpectralBudget,
    VisPruner,
    methods,
)
from vtprune.ops.cosine import cosines

METHODS = [CDPruner, DivPrune, FasterVLM, HoloV, Pooled, PruMergePlus, Scope, VisPruner]
BY_TOWER = [FasterVLM, HoloV, PruMergePlus, Scope, VisPruner]
by_method = pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.name)
by_tower = pytest.mark.parametrize("cls", BY_TOWER, ids=lambda cls: cls.name)


def kept_of(method, given) -> torch.Tensor:
    kept = torch.zeros_like(given.valid)
    for row, tokens in enumerate(select(method, given)):
        kept[row, tokens] = True
    return kept


def test_every_method_of_this_kind_is_tested_here():
    assert set(METHODS) == {cls for cls in methods().values() if issubclass(cls, BeforeDecoder)}


@by_method
@pytest.mark.parametrize("flat", [False, True], ids=["random", "flat"])
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_budgets_are_exact_and_no_token_is_chosen_twice(cls, step, flat, before_decoder):
    given = constant(before_decoder) if flat else before_decoder
    most = int(given.valid.sum(dim=1).max())
    for keep in (*map(Count, range(1, most + 2, step)), Fraction(0.1), Fraction(1.0)):
        counts = keep.count(given).tolist()
        for row, chosen in enumerate(select(cls(keep), given)):
            assert len(chosen) == len(set(chosen)) == counts[row]
            assert given.valid[row, chosen].all()


@pytest.mark.slow
@by_method
def test_a_merged_token_joins_a_kept_token_of_its_row(cls, before_decoder):
    for keep in (1, 2, 5, 9, 0.5, 0.9):
        method = cls(keep)
        kept = kept_of(method, before_decoder)
        into = method.merge(before_decoder, kept)
        if into is None:
            continue
        joins = into >= 0
        assert not (joins & ~before_decoder.valid).any()
        assert kept.gather(1, into.clamp(min=0))[joins].all()
        # A kept token is unchanged, or the mean of itself and others; no kept token joins another one.
        itself = torch.arange(kept.shape[1]).expand_as(into)
        assert torch.equal(into[joins & kept], itself[joins & kept])
        for row in range(3):
            members = into[row][joins[row]].tolist()
            assert all(members.count(target) > 1 for target in members)


@pytest.mark.slow
@by_method
def test_a_row_gets_the_same_tokens_alone_and_in_a_batch(cls, before_decoder):
    given = constant(before_decoder)
    for features_of_batch in (before_decoder, given):
        method = cls(0.4)
        together = select(method, features_of_batch)
        into = method.merge(features_of_batch, kept_of(method, features_of_batch))
        for row in range(3):
            length = int(features_of_batch.valid[row].nonzero().max()) + 1  # without the padding at the end
            alone = cut(features_of_batch, row, length)
            assert select(method, alone) == [together[row]]
            if into is not None:
                assert method.merge(alone, kept_of(method, alone)).tolist() == [into[row, :length].tolist()]


def cut(given, row, length):
    """One row of the features, the first `length` tokens."""

    def of_row(tensor):
        return tensor[row : row + 1, :length]

    return replace(
        given,
        **{name: of_row(getattr(given, name)) for name in ("valid", "positions", "grids", "image")},
        embeddings=lambda: of_row(given.embeddings()),
        text=lambda: Text(*(part[row : row + 1] for part in given.text())),
        tower=lambda: type(given.tower())(*map(of_row, given.tower())),
    )


@pytest.mark.parametrize("cls", [DivPrune, FasterVLM, Scope], ids=lambda cls: cls.name)
def test_flat_images_keep_the_first_tokens(cls):
    assert select(cls(5), constant(features(6, 6))) == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("cls", [CDPruner, DivPrune, Scope], ids=lambda cls: cls.name)
def test_all_distinct_tokens_are_chosen_before_a_copy(cls):
    given = features(4, 6, rows=2, seed=3)
    distinct = torch.eye(8)[:5]  # five tokens, in turns
    embeddings = distinct[torch.arange(24) % 5].expand(2, -1, -1)
    given = replace(given, embeddings=lambda: embeddings)
    for count in (5, 6, 12, 24):
        for chosen in select(cls(count), given):
            assert {token % 5 for token in chosen[:5]} == set(range(5))
            assert len(set(chosen)) == count


@pytest.mark.slow
@by_method
def test_the_size_and_type_of_features_do_not_change_the_choice(cls, before_decoder):
    # Halving and doubling is exact, so that the choice must be the same to the last tie.
    expected = select(cls(0.4), before_decoder)
    for scale in (2.0**-100, 2.0**100):
        assert select(cls(0.4), of_type(before_decoder, torch.float32, scale)) == expected
    for dtype, scale in ((torch.float16, 2.0**-16), (torch.float16, 2.0**13), (torch.bfloat16, 2.0**124)):
        scaled = of_type(before_decoder, dtype, scale)
        exact = replace(
            scaled,
            embeddings=lambda s=scaled: s.embeddings().double(),
            tower=lambda s=scaled: s.tower()._replace(keys=s.tower().keys.double()),
        )
        assert select(cls(0.4), scaled) == select(cls(0.4), exact)


@by_method
def test_autocast_does_not_change_the_choice(cls, before_decoder):
    method = cls(0.4)
    kept = kept_of(method, before_decoder)
    into = method.merge(before_decoder, kept)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(kept_of(method, before_decoder), kept)
        if into is not None:
            assert torch.equal(method.merge(before_decoder, kept), into)


@by_method
def test_zero_vectors_are_tokens_like_others(cls, before_decoder):
    nothing = of_type(before_decoder, torch.float32, 0.0)
    for chosen, tokens in zip(select(cls(0.5), nothing), nothing.valid.sum(dim=1).tolist(), strict=True):
        assert len(set(chosen)) == int(tokens * 0.5)


@by_method
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_features_that_are_not_finite_are_refused(cls, wrong):
    def spoiled(where):
        given = features(4, 4, rows=3)
        part = given.embeddings() if where == "embeddings" else given.tower().attention
        part[1, 7] = wrong
        return given

    uses_embeddings = cls in (CDPruner, DivPrune, Pooled, Scope, VisPruner)
    for where, used in (("embeddings", uses_embeddings), ("tower", cls in BY_TOWER)):
        if used:
            with pytest.raises(UserError, match=rf"{cls.name} .*prompt 1 ") as raised:
                select(cls(4), spoiled(where))
            assert "\n" not in str(raised.value)
        else:
            assert len(select(cls(4), spoiled(where))) == 3


@by_method
def test_padding_may_hold_anything(cls):
    given = features(images=[(3, 4), (5, 5)], rows=2, seed=5)
    given.valid[1, 12:] = False
    expected = select(cls(0.4), given)
    given.embeddings()[1, 12:] = math.nan
    given.tower().attention[1, 12:] = math.inf
    given.tower().keys[1, 12:] = math.nan
    assert select(cls(0.4), given) == expected
    method = cls(0.4)
    into = method.merge(given, kept_of(method, given))
    assert into is None or (into[1, 12:] == -1).all()


@by_tower
def test_tokens_without_a_patch_are_the_last_to_be_kept(cls):
    given = with_newlines(features(images=[(3, 4), (5, 5)], rows=2, seed=4), image=1)
    newlines = [16, 21, 26, 31, 36]
    for count in range(1, 38):
        for chosen in select(cls(count), given):
            assert sorted(set(chosen) & set(newlines)) == newlines[: max(0, count - 32)]


@by_method
def test_spectral_budgets(cls, before_decoder):
    budget = SpectralBudget(0.9)
    counts = budget.count(before_decoder).tolist()
    assert [len(chosen) for chosen in select(cls(budget), before_decoder)] == counts
    assert min(counts) > 1


@by_method
def test_flops_of_the_selection_grow_with_the_tokens(cls):
    few, many = (cls(0.1).selection_flops(n, n // 10, FeatureWidths(64, 32, 16, 7, n)) for n in (100, 200))
    assert (few, many) == (0, 0) if cls in (FasterVLM, HoloV) else 0 < few < many


def test_cosines_of_equal_tokens_are_equal_wherever_they_stand():
    x = torch.randn(1, 1, 301).expand(3, 97, -1) * torch.tensor([1e-20, 1.0, 1e20])[:, None, None]
    assert torch.equal(cosines(x), torch.ones(3, 97, 97))
    y = torch.randn(2, 13, 5)
    expected = torch.nn.functional.cosine_similarity(y[:, :, None], y[:, None], dim=-1)
    torch.testing.assert_close(cosines(y), expected, rtol=0, atol=2e-6)
