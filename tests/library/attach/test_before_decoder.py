"""Methods that choose before the decoder, in every family: tiles, newline tokens, several images, extreme sizes."""

import pytest
import torch
from helpers.attaching import PerRow, first_fast, generate, merged, recompute
from helpers.tiny_families import IMAGE, IMAGES, TODAY, batch, build, flat, prompt, rows_of

from vtprune.methods import BeforeDecoder, methods

FAMILIES = [("llava_next", "llama"), ("internvl", "qwen2"), ("llava", "mistral"), *TODAY]
METHODS = [cls(0.3) for cls in methods().values() if issubclass(cls, BeforeDecoder)]
by_family = pytest.mark.parametrize(("family", "decoder"), first_fast(FAMILIES, unpack=True))
by_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@pytest.fixture(scope="module")
def models():
    """Each model once."""
    made = {}

    def get(*case):
        if case not in made:
            made[case] = build(*case)
        return made[case]

    return get


@pytest.mark.slow
@by_family
@by_method
def test_cached_generation_equals_recomputation_with_the_means(models, family, decoder, method):
    """With two images in the prompt."""
    model = models(family, decoder)
    inputs = prompt(model, IMAGES[family][1])
    with method.attach(model) as pruned:
        out = model.generate(
            **inputs, do_sample=False, max_new_tokens=3, return_dict_in_generate=True, output_logits=True
        )
        kept, means = flat(pruned.kept[0]), merged(pruned)
    tokens, logits = recompute(model, inputs, {0: kept}, tokens=3, means=means)
    assert out.sequences[0, -3:].tolist() == tokens
    torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)
    assert len(kept) == int(0.3 * int((inputs["input_ids"] == IMAGE).sum()))


@pytest.mark.slow
@by_family
@by_method
def test_left_padded_batch_equals_single_rows(models, family, decoder, method):
    model = models(family, decoder)
    rows = rows_of(model, family)
    for budgeted in (method, type(method)(PerRow())):
        with torch.no_grad(), budgeted.attach(model) as pruned:
            together = model(**batch(rows)).logits[:, -1]
            kept = [flat(row) for row in pruned.kept]
            means = [merged(pruned, row) for row in range(3)]
            for number, row in enumerate(rows):
                alone = model(**row).logits[0, -1]
                assert flat(pruned.kept[0]) == kept[number]
                assert merged(pruned) == means[number]
                torch.testing.assert_close(together[number], alone, rtol=1e-4, atol=1e-4)


@by_family
def test_keeping_everything_is_bit_equal(models, family, decoder):
    model = models(family, decoder)
    inputs = batch(rows_of(model, family))
    with torch.no_grad():
        expected = model(**inputs).logits
        for method in METHODS:
            with type(method)(1.0).attach(model) as pruned:
                assert torch.equal(model(**inputs).logits, expected)
                assert not any(part.merged.any() for row in pruned.kept for part in row)


@pytest.mark.slow
@by_method
@pytest.mark.parametrize(
    "size", [(2, 400), (300, 9), *(pytest.param(size, marks=pytest.mark.exhaustive) for size in [(400, 2), (12, 300)])]
)
def test_extreme_sizes_of_llava_next(models, size, method):
    """Down to an any-resolution sequence of newline tokens alone, and to none at all."""
    model = models("llava_next", "llama")
    inputs = prompt(model, [size])
    total = int((inputs["input_ids"] == IMAGE).sum())
    for keep in (1, 0.3, total - 1):
        with type(method)(keep).attach(model) as pruned:
            tokens = generate(model, inputs, tokens=2)
            kept, means = flat(pruned.kept[0]), merged(pruned)
        assert len(kept) == (keep if isinstance(keep, int) else int(keep * total))
        assert tokens[0].tolist() == recompute(model, inputs, {0: kept}, tokens=2, means=means)[0]


def test_pooled_newline_tokens_are_recognised_in_a_model(models):
    model = models("llava_next", "llama")
    pooled = next(method for method in METHODS if method.name == "pooled")
    inputs = prompt(model, [(64, 64)])
    with torch.no_grad(), type(pooled)(20).attach(model) as pruned:
        model(**inputs)
        base, whole = pruned.kept[0]
        means = merged(pruned)
    width = whole.grid[1]
    start = base.grid[0] * base.grid[1]
    assert (whole.positions[:, 1] == width - 1).any()
    for target, members in means.items():
        if target >= start:
            newline = {(member - start) % width == width - 1 for member in members}
            assert len(newline) == 1
