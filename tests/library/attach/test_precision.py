"""Smaller types: float16, bfloat16 and autocast choose as float32 does, as far as the states that they make allow.

Processors round sums of smaller types differently: some add float16 in float16. So what two different computations give
is compared within a tolerance here, and never by the tokens that they generate, where a last bit can decide.
"""

import pytest
import torch
from helpers.attaching import BY_NAME, LENGTHS, METHODS, first_fast, generate, indices
from helpers.tiny_families import IMAGES, TODAY, build, prompt

from vtprune.attach import attach
from vtprune.features import Features
from vtprune.methods import FastV, Fraction, Method, get_method
from vtprune.stages import Stage

pytestmark = pytest.mark.slow

SMALL = [torch.float16, torch.bfloat16]


class Watching(Method):
    """Remembers features, and keeps what FastV keeps."""

    name = "watching"
    needs = frozenset({"attention", "received"})

    def __init__(self):
        self.seen = {}

    def stages(self):
        return [Stage(2, self, Fraction(0.25))]

    def select(self, features: Features, counts):
        self.seen |= {"attention": features.attention(), "received": torch.stack(features.received())}
        self.seen |= {"keys": features.keys(True), "product": features.attention() @ features.attention().T}
        return FastV(0.25).select(features, counts)


@pytest.mark.parametrize("dtype", SMALL, ids=str)
def test_scores_are_computed_in_float32_under_autocast(tiny, model, dtype):
    """They differ from those of float32 only because the queries and keys are rounded."""
    inputs, exact, watching = tiny.prompts(LENGTHS), Watching(), Watching()
    with torch.no_grad(), attach(exact, model):
        model(**inputs)
    with torch.no_grad(), attach(watching, model), torch.autocast("cpu", dtype=dtype):
        model(**inputs)
    for name in ("attention", "received", "product"):
        assert watching.seen[name].dtype == torch.float32
        torch.testing.assert_close(watching.seen[name], exact.seen[name], rtol=0.3, atol=0.05)
    attention = watching.seen["attention"]
    assert torch.equal(watching.seen["product"], attention @ attention.T)
    assert watching.seen["keys"].dtype == dtype  # the model's projection runs as in the model


def differing_logits(model, inputs) -> float:
    """By how much logits that are recomputed without a cache differ from cached ones, in shares of their norm.

    Each prompt is compared up to the first token that differs, with the logits that decided it.
    """
    options = {"do_sample": False, "max_new_tokens": 6, "output_logits": True, "return_dict_in_generate": True}
    cached = model.generate(**inputs, **options)
    recomputed = model.generate(**inputs, **options, use_cache=False)
    prompt, largest = inputs["input_ids"].shape[1], 0.0
    same = torch.ones(len(cached.sequences), dtype=torch.bool)
    for step, (one, other) in enumerate(zip(cached.logits, recomputed.logits, strict=True)):
        one, other = one[same].float(), other[same].float()
        if len(one):
            largest = max(largest, ((one - other).norm(dim=1) / one.norm(dim=1)).max().item())
        same &= cached.sequences[:, prompt + step] == recomputed.sequences[:, prompt + step]
    return largest


def share_chosen_alike(one, other) -> float:
    """The share of tokens that two choices of the same numbers of tokens have in common."""
    counts = [[[len(image) for image in row] for row in kept] for kept in (one, other)]
    assert counts[0] == counts[1]
    pairs = [images for rows in zip(one, other, strict=True) for images in zip(*rows, strict=True)]
    common = sum(len(set(image) & set(twin)) for image, twin in pairs)
    return common / total if (total := sum(len(image) for image, _ in pairs)) else 1.0


@pytest.mark.parametrize("dtype", first_fast(SMALL), ids=str)
@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_a_batch_equals_its_rows_under_autocast(tiny, model, method, dtype):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), method.attach(model) as pruned, torch.autocast("cpu", dtype=dtype):
        generate(model, inputs)
        together, alone = indices(pruned), []
        assert differing_logits(model, inputs) < 0.08
        for row in range(len(LENGTHS)):
            generate(model, tiny.single(inputs, row))
            alone += indices(pruned)
    assert share_chosen_alike(alone, together) > 0.7


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_float16_chooses_as_float32(tiny, method):
    half = tiny.build(kv_heads=2).half()
    full = tiny.build(kv_heads=2)
    full.load_state_dict({name: value.float() for name, value in half.state_dict().items()})
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"] = inputs["pixel_values"].half()
    with torch.no_grad(), method.attach(half) as pruned:
        logits, kept = half(**inputs).logits[:, -1], indices(pruned)
        assert differing_logits(half, inputs) < 0.02
    assert logits.dtype == torch.float16
    inputs["pixel_values"] = inputs["pixel_values"].float()
    with torch.no_grad(), method.attach(full) as pruned:
        expected = full(**inputs).logits[:, -1]
        if method.name in ("random", "random3x3", "skip"):  # their choice depends on the bits of the pixels
            assert [len(row[0]) for row in indices(pruned)] == [len(row[0]) for row in kept]
        else:
            assert share_chosen_alike(kept, indices(pruned)) > 0.7
            assert (logits.float() - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("dtype", SMALL, ids=str)
@pytest.mark.parametrize("case", first_fast(TODAY), ids=lambda case: case[0])
def test_every_family_under_autocast(case, dtype):
    model = build(*case, layers=4)
    inputs = prompt(model, IMAGES[case[0]][1])
    methods = [get_method("divprune", keep=0.3), get_method("visionzip", keep=0.3)]
    methods += [] if case[0] == "gemma3" else [FastV(0.3, layer=3), get_method("adaptprune", keep=0.3, layer=3)]
    for method in methods:
        with torch.no_grad(), method.attach(model) as pruned:
            model(**inputs)
            expected = [[len(part) for part in row] for row in indices(pruned)]
            with torch.autocast("cpu", dtype=dtype):
                cached = generate(model, inputs)
                assert sum(len(part) for part in indices(pruned)[0]) == sum(expected[0])
                kept = indices(pruned)
                generate(model, inputs, use_cache=False)
                assert indices(pruned) == kept
            assert cached.shape == (1, 6)


@pytest.mark.parametrize("method", [FastV(0.25), get_method("visionzip", keep=0.5)], **BY_NAME)
def test_the_type_is_changed_within_the_block(tiny, method):
    inputs = tiny.prompts(LENGTHS)
    half = {**inputs, "pixel_values": inputs["pixel_values"].bfloat16()}
    with method.attach(tiny.build(kv_heads=2).bfloat16()) as pruned:
        expected = generate(pruned.model, half), indices(pruned)
    model = tiny.build(kv_heads=2)
    with method.attach(model) as pruned:
        before = generate(model, inputs)
        model.bfloat16()
        assert torch.equal(generate(model, half), expected[0]) and indices(pruned) == expected[1]
        assert before.shape == expected[0].shape
