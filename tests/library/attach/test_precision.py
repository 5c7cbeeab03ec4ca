"""Smaller types: float16, bfloat16 and autocast choose as float32 does, as far as the states that they make allow."""

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


@pytest.mark.parametrize("dtype", first_fast(SMALL), ids=str)
@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_a_batch_equals_its_rows_under_autocast(tiny, model, method, dtype):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), method.attach(model) as pruned, torch.autocast("cpu", dtype=dtype):
        together, kept = generate(model, inputs), indices(pruned)
        assert torch.equal(generate(model, inputs, use_cache=False), together)
        for row in range(len(LENGTHS)):
            generate(model, tiny.single(inputs, row))
            assert indices(pruned)[0] == kept[row]


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_float16_chooses_as_float32(tiny, method):
    half = tiny.build(kv_heads=2).half()
    full = tiny.build(kv_heads=2)
    full.load_state_dict({name: value.float() for name, value in half.state_dict().items()})
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"] = inputs["pixel_values"].half()
    with torch.no_grad(), method.attach(half) as pruned:
        logits, kept = half(**inputs).logits[:, -1], indices(pruned)
        assert torch.equal(generate(half, inputs), generate(half, inputs, use_cache=False))
    assert logits.dtype == torch.float16
    inputs["pixel_values"] = inputs["pixel_values"].float()
    with torch.no_grad(), method.attach(full) as pruned:
        expected = full(**inputs).logits[:, -1]
        if method.name in ("random", "random3x3", "skip"):  # their choice depends on the bits of the pixels
            assert [len(row[0]) for row in indices(pruned)] == [len(row[0]) for row in kept]
        else:
            assert indices(pruned) == kept
            assert (logits.float() - expected).norm() < 0.02 * expected.norm()


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
