"""Several methods on one prompt batch: the results of separate runs, bit for bit, for one run of what they share."""

import gc
import itertools
import weakref

import pytest
import torch
from helpers.attaching import LENGTHS, METHODS, PerRow, Pyramid, hooks, indices
from hypothesis import given, settings
from hypothesis import strategies as st

from vtprune.attach import Prefix, attach
from vtprune.methods import VTW, AdaptPrune, FastV, NoPruning, RandomPruning
from vtprune.methods.base import Method
from vtprune.methods.budget import Fraction
from vtprune.stages import Stage


class Mixed(Method):
    """Its first stage does not ask for scores, its second does."""

    name = "mixed"

    def stages(self):
        return [Stage(2, RandomPruning(0.5), Fraction(0.5)), Stage(3, FastV(0.5), Fraction(0.5))]


VARIANTS = [
    *METHODS,
    FastV(PerRow()),
    AdaptPrune(1.0),
    RandomPruning(0.25, layer=0),
    RandomPruning(0.25, seed=7),
    Mixed(),
    Pyramid(),
    VTW(layer=2),
]


def answered(model, pruned, inputs, **options):
    """Tokens, logits, cache and survivors."""
    asked = {"do_sample": False, "max_new_tokens": 4, "return_dict_in_generate": True, "output_logits": True}
    with pruned:
        out = model.generate(**inputs, **(asked | options))
        cache = [(entry.keys, entry.values) for entry in out.past_key_values.layers]
        return out.sequences, out.logits, cache, indices(pruned)


def assert_same(ours, alone):
    assert ours[3] == alone[3]
    assert torch.equal(ours[0], alone[0])
    assert all(torch.equal(a, b) for a, b in zip(ours[1], alone[1], strict=True))
    for a, b in zip(itertools.chain(*ours[2]), itertools.chain(*alone[2]), strict=True):
        assert torch.equal(a, b)


def continued(model, methods, inputs, **options):
    prefix = Prefix(inputs)
    variants = sorted((attach(method, model, prefix) for method in methods), key=lambda variant: variant.first_layer)
    return [(variant.method, answered(model, variant, prefix.inputs, **options)) for variant in variants]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 2}], ids=["greedy", "beams"])
def test_the_same_bits_as_alone(tiny, attention, options):
    model = tiny.build(kv_heads=2, attention=attention)
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 1))
    for method, ours in continued(model, VARIANTS, inputs, **options):
        assert_same(ours, answered(model, attach(method, model), inputs, **options))


@settings(max_examples=15, deadline=None)
@given(chosen=st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_any_few_methods_give_what_they_give_alone(tiny, model, chosen, seed):
    inputs = tiny.prompts(((3, 5), (1, 4)), seed=seed)
    for method, ours in continued(model, chosen, inputs, max_new_tokens=2):
        assert_same(ours, answered(model, attach(method, model), inputs, max_new_tokens=2))


def test_nothing_shared_is_computed_twice(tiny, model):
    runs, handles, before = dict.fromkeys(("tower", 0, 1, 2, 3), 0), [], hooks(model)

    def count(name):
        def hook(module, args, kwargs):
            runs[name] += name == "tower" or (args[0] if args else kwargs["hidden_states"]).shape[1] > 1

        return hook

    layers = model.model.language_model.layers
    for name, module in [("tower", model.model.vision_tower), *enumerate(layers)]:
        handles.append(module.register_forward_pre_hook(count(name), with_kwargs=True))
    methods = [NoPruning(), FastV(0.5), AdaptPrune(0.5), RandomPruning(0.5, layer=1), FastV(0.5, layer=3)]
    continued(model, methods, tiny.prompts(LENGTHS))
    for handle in handles:
        handle.remove()
    # Layer 1 is left out by all but the first, layer 2 by the last two of them.
    assert runs == {"tower": 1, 0: 1, 1: 2, 2: 4, 3: 5}
    assert model.model.language_model.layers is layers and hooks(model) == before


def test_the_order_of_layers_and_the_prompt_are_checked(tiny, model):
    prefix, layers = Prefix(tiny.prompts(LENGTHS)), model.model.language_model.layers
    answered(model, attach(FastV(0.5, layer=3), model, prefix), prefix.inputs)
    with pytest.raises(ValueError, match=r"layer 2 .* layer 3.* first_layer"):
        answered(model, attach(FastV(0.5), model, prefix), prefix.inputs)
    other = tiny.prompts(LENGTHS, seed=1)
    del other["pixel_values"]
    with pytest.raises(ValueError, match="without pixels"):
        answered(model, attach(NoPruning(), model, prefix), other)
    assert model.model.language_model.layers is layers


def test_a_failure_leaves_the_model_whole(tiny, model):
    class Failing(Method):
        name = "failing"

        def stages(self):
            return [Stage(3, self, Fraction(0.5))]

        def select(self, features, counts):
            raise RuntimeError("no selection")

    prefix, layers, before = Prefix(tiny.prompts(LENGTHS)), model.model.language_model.layers, hooks(model)
    first = answered(model, attach(FastV(0.5), model, prefix), prefix.inputs)
    with pytest.raises(RuntimeError, match="no selection"):
        answered(model, attach(Failing(), model, prefix), prefix.inputs)
    assert model.model.language_model.layers is layers and hooks(model) == before
    again = answered(model, attach(FastV(0.5, layer=3), model, prefix), prefix.inputs)
    assert_same(first, answered(model, attach(FastV(0.5), model), tiny.prompts(LENGTHS)))
    assert_same(again, answered(model, attach(FastV(0.5, layer=3), model), tiny.prompts(LENGTHS)))


def test_without_a_cache_nothing_is_shared_and_all_is_right(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    prefix = Prefix(inputs)
    for method in (FastV(0.5), AdaptPrune(0.25)):
        with attach(method, model, prefix):
            ours = model.generate(**prefix.inputs, do_sample=False, max_new_tokens=3, use_cache=False)
        with attach(method, model):
            assert torch.equal(ours, model.generate(**inputs, do_sample=False, max_new_tokens=3))


def test_another_prompt_with_its_pixels_is_not_taken_for_the_first(tiny, model):
    first, other = tiny.prompts(LENGTHS), tiny.prompts(LENGTHS, seed=1)
    prefix = Prefix(first)
    answered(model, attach(FastV(0.25), model, prefix), prefix.inputs)
    with torch.no_grad(), attach(FastV(0.25), model) as pruned:
        expected = model(**other, use_cache=False).logits, indices(pruned)
    with torch.no_grad(), attach(FastV(0.25), model, prefix) as pruned:
        assert torch.equal(model(**other, use_cache=False).logits, expected[0])
        assert indices(pruned) == expected[1]


def test_a_prefix_goes_with_its_last_reference(tiny, model):
    prefix = Prefix(tiny.prompts(LENGTHS))
    variant = attach(AdaptPrune(0.5), model, prefix)
    answered(model, variant, prefix.inputs)
    hidden = weakref.ref(prefix.state.hidden)
    gc.disable()  # on a GPU, waiting for the collector is running out of memory
    try:
        del prefix, variant
        assert hidden() is None
    finally:
        gc.enable()
