"""Several methods on one batch of prompts: the results of separate runs, bit for bit, with the shared part run once."""

import gc
import itertools
import weakref

import pytest
import torch
from helpers.attaching import LENGTHS, METHODS, PerRow, Pyramid, hooks, indices
from hypothesis import given, settings
from hypothesis import strategies as st

from vtprune.attach import Prefix, attach, attach_all
from vtprune.methods import VTW, AdaptPrune, FastV, NoPruning, RandomPruning
from vtprune.methods.base import Method
from vtprune.methods.budget import Fraction
from vtprune.stages import Stage


class Mixed(Method):
    """A method whose first stage needs no attention, but its second does."""

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
    defaults = {"do_sample": False, "max_new_tokens": 4, "return_dict_in_generate": True, "output_logits": True}
    with pruned:
        out = model.generate(**inputs, **(defaults | options))
        cache = [(entry.keys, entry.values) for entry in out.past_key_values.layers]
        return out.sequences, out.logits, cache, indices(pruned)


def assert_same(shared, alone):
    assert shared[3] == alone[3]
    assert torch.equal(shared[0], alone[0])
    assert all(torch.equal(a, b) for a, b in zip(shared[1], alone[1], strict=True))
    for a, b in zip(itertools.chain(*shared[2]), itertools.chain(*alone[2]), strict=True):
        assert torch.equal(a, b)


def answered_with_a_prefix(model, methods, inputs, **options):
    prefix = Prefix(inputs)
    return [
        (methods[index], answered(model, attachment, prefix.inputs, **options))
        for index, attachment in attach_all(methods, model, prefix)
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 2}], ids=["greedy", "beams"])
def test_every_method_gives_the_bits_that_it_gives_alone(tiny, attention, options):
    model = tiny.build(kv_heads=2, attention=attention)
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 1))
    for method, shared in answered_with_a_prefix(model, VARIANTS, inputs, **options):
        assert_same(shared, answered(model, attach(method, model), inputs, **options))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(chosen=st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_any_few_methods_give_the_bits_that_they_give_alone(tiny, model, chosen, seed):
    inputs = tiny.prompts(((3, 5), (1, 4)), seed=seed)
    for method, shared in answered_with_a_prefix(model, chosen, inputs, max_new_tokens=2):
        assert_same(shared, answered(model, attach(method, model), inputs, max_new_tokens=2))


def test_shared_layers_run_once(tiny, model):
    model(**tiny.prompts(LENGTHS))  # transformers adds hooks of its own to a model that runs for the first time
    runs, handles, before = dict.fromkeys(("tower", 0, 1, 2, 3), 0), [], hooks(model)

    def count(name):
        def hook(module, args, kwargs):
            runs[name] += name == "tower" or (args[0] if args else kwargs["hidden_states"]).shape[1] > 1

        return hook

    layers = model.model.language_model.layers
    for name, module in [("tower", model.model.vision_tower), *enumerate(layers)]:
        handles.append(module.register_forward_pre_hook(count(name), with_kwargs=True))
    methods = [NoPruning(), FastV(0.5), AdaptPrune(0.5), RandomPruning(0.5, layer=1), FastV(0.5, layer=3)]
    answered_with_a_prefix(model, methods, tiny.prompts(LENGTHS))
    for handle in handles:
        handle.remove()
    # Layer 1 is left out by all but the first, layer 2 by the last two of them.
    assert runs == {"tower": 1, 0: 1, 1: 2, 2: 4, 3: 5}
    assert model.model.language_model.layers is layers and hooks(model) == before


def test_a_later_state_and_another_prompt_are_refused(tiny, model):
    prefix, layers = Prefix(tiny.prompts(LENGTHS)), model.model.language_model.layers
    answered(model, attach(FastV(0.5, layer=3), model, prefix), prefix.inputs)
    with pytest.raises(ValueError, match=r"layer 2 .* layer 3.* first_layer"):
        answered(model, attach(FastV(0.5), model, prefix), prefix.inputs)
    other = tiny.prompts(LENGTHS, seed=1)
    del other["pixel_values"]
    with pytest.raises(ValueError, match="without pixels"):
        answered(model, attach(NoPruning(), model, prefix), other)
    assert model.model.language_model.layers is layers


def test_after_a_failure_the_model_and_the_prefix_still_work(tiny, model):
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


def test_without_a_cache_the_results_are_those_of_separate_runs(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    prefix = Prefix(inputs)
    for method in (FastV(0.5), AdaptPrune(0.25)):
        with attach(method, model, prefix):
            shared = model.generate(**prefix.inputs, do_sample=False, max_new_tokens=3, use_cache=False)
        with attach(method, model):
            assert torch.equal(shared, model.generate(**inputs, do_sample=False, max_new_tokens=3))


def test_a_prompt_with_pixels_does_not_start_from_the_prefix(tiny, model):
    first, other = tiny.prompts(LENGTHS), tiny.prompts(LENGTHS, seed=1)
    prefix = Prefix(first)
    answered(model, attach(FastV(0.25), model, prefix), prefix.inputs)
    with torch.no_grad(), attach(FastV(0.25), model) as pruned:
        expected = model(**other, use_cache=False).logits, indices(pruned)
    with torch.no_grad(), attach(FastV(0.25), model, prefix) as pruned:
        assert torch.equal(model(**other, use_cache=False).logits, expected[0])
        assert indices(pruned) == expected[1]


def test_a_prefix_is_freed_with_its_last_reference(tiny, model):
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


def test_attachments_come_by_increasing_first_layer(model):
    methods = [FastV(0.5, layer=3), NoPruning(), RandomPruning(0.5, layer=0), AdaptPrune(0.5, layer=3)]
    attachments = attach_all(methods, model, Prefix({}))
    assert [index for index, _ in attachments] == [2, 0, 3, 1]
    assert all(attachment.method is methods[index] for index, attachment in attachments)
