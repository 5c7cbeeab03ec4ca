"""Models that are compiled or wrapped are pruned as others are, or refused."""

import copy
import warnings

import pytest
import torch
from helpers.attaching import LENGTHS, generate, hooks, indices
from torch import nn

from vtprune.errors import UserError
from vtprune.methods import AdaptPrune, FastV, RandomPruning, VisionZip

pytestmark = pytest.mark.slow

METHODS = [RandomPruning(0.25), FastV(0.25), VisionZip(0.5)]


def compile_parts(model):
    """Each in one of the ways in which people compile: torch's method, a wrapper in the part's place, its forward."""
    decoder = model.model.language_model
    for layer in list(decoder.layers)[:2]:
        layer.compile(backend="eager")
    decoder.layers[2] = torch.compile(decoder.layers[2], backend="eager")
    decoder.compile(backend="eager")
    model.model.vision_tower = torch.compile(model.model.vision_tower, backend="eager")
    projector = model.model.multi_modal_projector
    projector.forward = torch.compile(projector.forward, backend="eager")
    model.compile(backend="eager")


def test_compiled_parts_are_pruned_uncompiled_and_told(tiny, model):
    inputs, compiled = tiny.prompts(LENGTHS), tiny.build(kv_heads=2)
    expected = []
    for method in METHODS:
        with torch.no_grad(), method.attach(model) as pruned:
            expected.append((model(**inputs).logits, indices(pruned)))
    compile_parts(compiled)
    parts = {name: (type(part), part._compiled_call_impl) for name, part in compiled.named_modules()}
    forward = compiled.model.multi_modal_projector.forward
    for method, (logits, kept) in zip(METHODS, expected, strict=True):
        with pytest.warns(UserWarning, match="uncompiled"), method.attach(compiled) as pruned, torch.no_grad():
            assert torch.equal(compiled(**inputs).logits, logits) and indices(pruned) == kept
    assert {name: (type(part), part._compiled_call_impl) for name, part in compiled.named_modules()} == parts
    assert compiled.model.multi_modal_projector.forward is forward


def test_a_model_that_is_not_compiled_is_attached_to_without_a_warning(tiny, model):
    with warnings.catch_warnings(), FastV(0.5).attach(model):
        warnings.simplefilter("error")
        generate(model, tiny.prompts(), tokens=1)


@pytest.mark.exhaustive
def test_what_was_compiled_around_the_model_before_the_block_prunes(tiny):
    """torch does not notice hooks that are added later; the compiled code notices the core's forward."""
    torch._dynamo.reset()
    model, inputs = tiny.build(kv_heads=2, layers=2), tiny.prompts()
    method = RandomPruning(0.25, layer=1)
    with torch.no_grad():
        with method.attach(model) as pruned:
            expected = model(**inputs).logits, indices(pruned)
        around = torch.compile(model, backend="eager")
        whole = around(**inputs).logits
        for attached in (model, around):
            with method.attach(attached) as pruned:
                assert torch.equal(around(**inputs).logits, expected[0]) and indices(pruned) == expected[1]
        assert torch.equal(around(**inputs).logits, whole)
    torch._dynamo.reset()


class Adapted(nn.Module):
    """What PEFT's models look like from outside."""

    def __init__(self, model):
        super().__init__()
        self.inside = model

    def get_base_model(self):
        return self.inside


def test_a_wrapped_model_is_unwrapped(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with AdaptPrune(0.25).attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
    parallel = type("DistributedDataParallel", (nn.Module,), {})()
    parallel.module = Adapted(model)
    for wrapped in (Adapted(model), torch.compile(model, backend="eager"), parallel):
        with AdaptPrune(0.25).attach(wrapped) as pruned:
            assert pruned.model is model
            assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]


def test_adapters_of_peft(tiny):
    peft = pytest.importorskip("peft")
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "k_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    torch.manual_seed(0)
    adapted = peft.get_peft_model(model, config).eval()
    merged = copy.deepcopy(adapted).merge_and_unload()
    for method in (AdaptPrune(0.25), VisionZip(0.5)):
        with method.attach(adapted) as pruned:
            found = generate(adapted, inputs), indices(pruned)
        with method.attach(merged) as pruned:
            assert torch.equal(found[0], generate(merged, inputs)) and found[1] == indices(pruned)
    assert hooks(adapted) == hooks(merged)


def test_virtual_tokens_of_peft_are_refused(tiny):
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=2,
        token_dim=32,
        num_transformer_submodules=1,
        num_attention_heads=4,
        num_layers=4,
    )
    adapted = peft.get_peft_model(tiny.build(kv_heads=2), config)
    with pytest.raises(UserError, match=r"virtual tokens") as raised:
        FastV(0.5).attach(adapted)
    assert "\n" not in str(raised.value)


def test_wrappers_that_cannot_be_unwrapped_are_refused(model):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = model

    for wrapped, message in ((nn.DataParallel(model), "its module"), (Other(), "LlavaForConditionalGeneration inside")):
        with pytest.raises(UserError, match=message) as raised:
            FastV(0.5).attach(wrapped)
        assert "\n" not in str(raised.value)


def test_a_model_that_accelerate_prepared(tiny, model):
    accelerate = pytest.importorskip("accelerate")
    inputs = tiny.prompts(LENGTHS)
    with FastV(0.25).attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
    prepared = accelerate.Accelerator(cpu=True).prepare(tiny.build(kv_heads=2)).eval()
    with FastV(0.25).attach(prepared) as pruned:
        assert torch.equal(generate(prepared, inputs), expected[0]) and indices(pruned) == expected[1]
