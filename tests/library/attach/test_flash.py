"""What FlashAttention's kernel is given: never position ids that look like those of several packed sequences."""

import pytest
import torch
from helpers.attaching import BY_NAME, METHODS, first_fast, generate, indices
from helpers.tiny_families import CASES, IMAGES, build, prompt
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.integrations import flash_attention
from transformers.masking_utils import flash_attention_mask, sdpa_mask
from transformers.modeling_flash_attention_utils import _is_packed_sequence
from transformers.models.llama.modeling_llama import repeat_kv

from vtprune.methods import FastV, VisionZip, get_method

pytestmark = pytest.mark.slow

NAME = "test_flash_attention_2"
OTHER = "test_another_kernel"  # transformers would not recognise this one by its name


@pytest.fixture
def given(monkeypatch):
    """What the kernel gets: (query length, key length, position ids). It computes with SDPA."""
    calls = []

    def kernel(query, key, value, attention_mask, query_length, is_causal, softmax_scale=None, **kwargs):
        calls.append((query.shape[1], key.shape[1], kwargs.get("position_ids")))
        assert not _is_packed_sequence(kwargs.get("position_ids"), len(query))
        assert kwargs.get("cu_seq_lens_q") is None and is_causal
        rows, queries, keys = len(query), query.shape[1], key.shape[1]
        assert attention_mask is None or attention_mask.shape == (rows, keys)
        seen = sdpa_mask(rows, queries, keys, keys - queries, attention_mask=attention_mask, allow_is_causal_skip=False)
        groups = query.shape[2] // key.shape[2]
        states = [query.transpose(1, 2), *(repeat_kv(part.transpose(1, 2), groups) for part in (key, value))]
        weights = states[0] @ states[1].mT * softmax_scale
        weights = weights.masked_fill(~seen, torch.finfo(weights.dtype).min).softmax(dim=-1)
        return (weights @ states[2]).transpose(1, 2)

    monkeypatch.setattr(flash_attention, "_flash_attention_forward", kernel)
    for name in (NAME, OTHER):
        AttentionInterface.register(name, flash_attention.flash_attention_forward)
        AttentionMaskInterface.register(name, flash_attention_mask)
    return calls


def with_kernel(model, name):
    """Name the kernel in the decoder's configuration, as transformers does where FlashAttention is installed."""
    decoder = getattr(model.model, "language_model", None) or model.model.text_model
    for module in decoder.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation_internal = name
    return model


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_positions_with_gaps_do_not_reach_the_kernel(tiny, given, method):
    inputs = tiny.prompts(((3, 5),))
    eager = tiny.build(kv_heads=2, attention="eager")
    with torch.no_grad(), method.attach(eager) as pruned:
        expected = generate(eager, inputs), indices(pruned), eager(**inputs).logits
    for name in (NAME, OTHER):
        model = with_kernel(tiny.build(kv_heads=2, attention="eager"), name)
        given.clear()
        with torch.no_grad(), method.attach(model) as pruned:
            assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]
            torch.testing.assert_close(model(**inputs).logits, expected[2], rtol=1e-4, atol=1e-4)
            assert torch.equal(generate(model, inputs, use_cache=False), expected[0])
        assert len({keys for queries, keys, _ in given if queries > 1}) > 1 or method.name == "none"


@pytest.mark.parametrize("case", first_fast(CASES), ids=lambda case: "-".join(case))
def test_in_every_family(given, case):
    model, other = build(*case, attention="eager", layers=4), build(*case, attention="eager", layers=4)
    with_kernel(model, NAME)
    images = {"llava": [1], "llava_next": [(30, 70)], "internvl": [2]}.get(case[0])
    inputs = prompt(model, images or IMAGES[case[0]][0])
    methods = [get_method("divprune", keep=0.3), get_method("random", keep=0.3, layer=2)]
    for method in [*methods, *([] if case[0] == "gemma3" else [FastV(0.3, layer=2)])]:
        with method.attach(other) as pruned:
            expected = generate(other, inputs), indices(pruned)
        with method.attach(model) as pruned:
            assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]


@pytest.mark.parametrize("method", [FastV(0.3), VisionZip(0.3)], **BY_NAME)
def test_several_tokens_that_continue_a_cache(tiny, given, method):
    model = with_kernel(tiny.build(kv_heads=2, attention="eager"), NAME)
    eager, inputs = tiny.build(kv_heads=2, attention="eager"), tiny.prompts(((3, 5),))
    logits = []
    for host in (eager, model):
        cache = DynamicCache(config=host.config.text_config)
        with torch.no_grad(), method.attach(host):
            host(**inputs, past_key_values=cache)
            mask = torch.ones(1, inputs["input_ids"].shape[1] + 3, dtype=torch.long)
            more = torch.tensor([[7, 8, 9]])
            logits.append(host(input_ids=more, attention_mask=mask, past_key_values=cache).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-4)
    assert any(queries == 3 for queries, *_ in given)
