"""Queries and keys are recorded as the configured kernel gets them, and nothing else changes."""

import copy

import pytest
import torch
from helpers.attaching import LENGTHS, first_fast, generate, indices, recorded_from_projections
from transformers import AttentionInterface, AttentionMaskInterface, LlavaForConditionalGeneration
from transformers.masking_utils import flash_attention_mask, sdpa_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

from vtprune.attach import attach
from vtprune.attach.attention import paid_by_last
from vtprune.attach.recording import Recording
from vtprune.methods import AdaptPrune, FastV, FitPrune, VisionZip


@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
@pytest.mark.parametrize("dtype", first_fast([torch.float32, torch.bfloat16]))
@pytest.mark.parametrize("cached", first_fast([True, False]))
def test_scores_have_the_bits_of_scores_from_the_projections(tiny, attention, dtype, cached):
    """For decoders whose projections and rotary function are known, as they were computed before."""
    model = tiny.build(kv_heads=2, attention=attention).to(dtype)
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    layer, seen, recorded = model.model.language_model.layers[1], {}, []
    layer.self_attn.register_forward_pre_hook(lambda m, a, k: seen.update(k), with_kwargs=True)
    layer.self_attn.q_proj.register_forward_hook(lambda m, a, output: seen.update(query=output))
    layer.self_attn.k_proj.register_forward_hook(lambda m, a, output: seen.update(key=output))
    recording = Recording(layer, recorded.append)
    with torch.no_grad():
        model(**inputs, use_cache=cached)
    recording.remove()
    attended = inputs["attention_mask"].bool()
    states = recorded_from_projections(layer.self_attn, seen["query"], seen["key"], seen["position_embeddings"])
    expected = paid_by_last(states, attended)
    assert torch.equal(paid_by_last(recorded[0], attended), expected)
    assert torch.equal(paid_by_last(recorded[0].with_last_query(), attended), expected)


def configurations(model):
    return {name: id(module.config) for name, module in model.named_modules() if hasattr(module, "config")}


@pytest.mark.parametrize("method", first_fast([FastV(0.5), FitPrune(0.5), VisionZip(0.5)]), ids=lambda m: m.name)
def test_configurations_are_restored_on_leaving_also_after_an_exception(tiny, model, method):
    def check_and_stop(model, before):
        assert configurations(model) != before
        assert model.config.text_config._attn_implementation == name  # masks are made by this one
        raise RuntimeError("stop")

    before, name = configurations(model), model.config.text_config._attn_implementation
    with pytest.raises(RuntimeError, match="stop"), method.attach(model):
        check_and_stop(model, before)
    assert configurations(model) == before


@pytest.mark.slow
def test_two_models_of_one_configuration_are_pruned_at_once(tiny, model):
    """Their blocks overlap, and each has its own attention layers recorded."""
    other = LlavaForConditionalGeneration(model.config).eval()
    other.load_state_dict(model.state_dict())
    other.generation_config = model.generation_config
    inputs = tiny.prompts(LENGTHS)
    methods = FastV(0.25), AdaptPrune(0.5, layer=3)
    alone = []
    for method in methods:
        with method.attach(model) as pruned:
            alone.append((generate(model, inputs), indices(pruned)))
    first, second = methods[0].attach(model), methods[1].attach(other)
    first.__enter__()
    second.__enter__()
    for _ in range(2):
        assert torch.equal(generate(model, inputs), alone[0][0]) and indices(first) == alone[0][1]
        assert torch.equal(generate(other, inputs), alone[1][0]) and indices(second) == alone[1][1]
    first.__exit__()
    assert torch.equal(generate(other, inputs), alone[1][0]) and indices(second) == alone[1][1]
    second.__exit__()
    assert configurations(other)["model.language_model"] == configurations(model)["model.language_model"]


def test_a_copy_of_the_model_made_within_the_block_still_runs(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    expected = generate(model, inputs)
    with FastV(0.5).attach(model):
        copied = copy.deepcopy(model.model.language_model.layers[1].self_attn)
    states = torch.randn(1, 3, model.config.text_config.hidden_size)
    rotary = model.model.language_model.rotary_emb(states, torch.arange(3)[None])
    original = model.model.language_model.layers[1].self_attn
    assert torch.equal(copied(states, rotary, None)[0], original(states, rotary, None)[0])
    assert torch.equal(generate(model, inputs), expected)


def test_the_kernel_that_is_set_within_the_block_is_called(tiny):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    with torch.no_grad(), FastV(0.5).attach(model) as pruned:
        model.set_attn_implementation("eager")
        weights = model(**inputs, output_attentions=True).attentions
        assert weights[1] is not None and len(pruned.kept) == 3
    model.set_attn_implementation("sdpa")


def test_kernels_of_the_flash_kind_get_what_they_get_without_pruning(tiny):
    """Their own configuration, two-dimensional masks, and no positions with gaps."""
    calls = []

    def kernel(module, query, key, value, attention_mask, **kwargs):
        calls.append((module.config._attn_implementation, attention_mask, kwargs.get("position_ids"), query.shape[2]))
        mask = torch.ones(len(query), key.shape[2]).bool() if attention_mask is None else attention_mask.bool()
        whole = sdpa_mask(
            len(query),
            query.shape[2],
            key.shape[2],
            key.shape[2] - query.shape[2],
            attention_mask=mask,
            allow_is_causal_skip=False,
        )
        dense = torch.zeros(whole.shape).masked_fill(~whole, torch.finfo(query.dtype).min)
        kwargs.pop("position_ids", None)
        return eager_attention_forward(module, query, key, value, dense, **kwargs)

    AttentionInterface.register("test_flash", kernel)
    AttentionMaskInterface.register("test_flash", flash_attention_mask)
    model = tiny.build(kv_heads=2, attention="eager")
    for inputs in (tiny.prompts(LENGTHS), tiny.prompts(((3, 5),))):
        model.set_attn_implementation("eager")
        with FastV(0.5).attach(model) as pruned:
            expected = generate(model, inputs), indices(pruned)
        for module in model.model.language_model.modules():
            if hasattr(module, "config"):
                module.config._attn_implementation_internal = "test_flash"
        calls.clear()
        with FastV(0.5).attach(model) as pruned:
            assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]
        length = inputs["input_ids"].shape[1]
        assert {name for name, *_ in calls} == {"test_flash"}
        short = [call for call in calls if 1 < call[3] < length]
        assert short and all(mask is None or mask.ndim == 2 for _, mask, _, _ in short)
        assert all(positions is None for _, _, positions, _ in short)


def test_attention_that_was_not_seen_is_refused(tiny):
    model = tiny.build()
    attention = model.model.language_model.layers[1].self_attn
    with FastV(0.5).attach(model), torch.no_grad():
        attention.config = model.config.text_config  # as if the layer had been compiled before
        with pytest.raises(ValueError, match=r"layer 1 was not seen: .* compiled") as raised:
            model(**tiny.prompts(LENGTHS))
    assert "\n" not in str(raised.value) and attention.config is model.config.text_config


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("softcap", "caps its logits"),
        ("s_aux", "has attention sinks"),
        ("sliding_window", "attends within a sliding window"),
    ],
)
def test_attention_that_is_no_plain_softmax_is_refused(tiny, argument, message):
    model = tiny.build(attention="eager")
    attention = model.model.language_model.layers[1].self_attn
    handle = attention.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, argument: torch.ones(4)}), with_kwargs=True
    )
    with pytest.raises(ValueError, match=f"decoder layer 1 {message}"), attach(FastV(0.5), model):
        model(**tiny.prompts(LENGTHS))
    handle.remove()
