"""Ways of calling a pruned model, entering and leaving, and what is refused."""

import copy

import pytest
import torch
from helpers.attaching import BY_NAME, LENGTHS, METHODS, first_fast, generate, hooks, indices, recompute
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache

from vtprune.attach import attach
from vtprune.methods import AdaptPrune, FastV, RandomPruning
from vtprune.methods.base import Method
from vtprune.methods.budget import Fraction
from vtprune.stages import Stage

# ---- ways of calling the model


def test_decoding_by_hand_in_pieces_equals_generate(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), AdaptPrune(0.25).attach(model):
        expected = generate(model, inputs, tokens=5)
        # Two prompts at a time, and two tokens per step.
        caches = [DynamicCache(config=model.config.text_config) for _ in range(2)]
        mask = inputs["attention_mask"]
        for cache in caches:
            model(**inputs, position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0), past_key_values=cache)
        position = mask.sum(dim=1, keepdim=True)
        for start in (0, 2):
            mask = torch.cat((mask, torch.ones(3, 2, dtype=torch.long)), dim=1)
            logits = model(
                input_ids=expected[:, start : start + 2],
                attention_mask=mask,
                position_ids=position + torch.arange(start, start + 2),
                past_key_values=caches[0],
            ).logits
            logits[..., model.generation_config.suppress_tokens] = -torch.inf
            assert logits.argmax(dim=-1).tolist() == expected[:, start + 1 : start + 3].tolist()


@pytest.mark.slow
def test_beam_search_and_sampling(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    for options in ({"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}):
        for method in (FastV(0.25), RandomPruning(0.25)):
            with method.attach(model) as pruned:
                torch.manual_seed(0)
                batch = generate(model, inputs, **options)
                kept = indices(pruned)
                if "num_beams" in options:
                    for row in range(3):
                        alone = generate(model, tiny.single(inputs, row), **options)
                        assert indices(pruned)[0] == kept[3 * row]
                        assert alone[0].tolist() == batch[row].tolist()


def test_a_new_prompt_is_not_taken_for_a_continuation(tiny, model):
    first, other = tiny.prompts(((3, 5),), seed=0), tiny.prompts(((3, 5),), seed=1)
    longer = {
        **other,
        "input_ids": torch.cat((first["input_ids"], torch.tensor([[9, 9]])), dim=1),
        "attention_mask": torch.ones(1, first["input_ids"].shape[1] + 2, dtype=torch.long),
    }
    with torch.no_grad(), FastV(0.25).attach(model) as pruned:
        model(**longer, use_cache=False)
        expected = indices(pruned)
        for call in (lambda x: model(**x, use_cache=False), lambda x: generate(model, x, use_cache=False)):
            call(first)
            before = indices(pruned)
            call(longer)
            assert indices(pruned) == expected != before


def test_the_random_choice_depends_on_the_pixels(tiny, model):
    inputs = tiny.prompts(((3, 5),))
    other = {**inputs, "pixel_values": inputs["pixel_values"] + 1}
    with RandomPruning(0.25).attach(model) as pruned:
        chosen = []
        for given in (inputs, other, inputs):
            generate(model, given, tokens=1)
            chosen.append(indices(pruned))
            with torch.no_grad():
                model(**given)
            assert indices(pruned) == chosen[-1]
    assert chosen[0] == chosen[2] != chosen[1]


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_bfloat16(tiny, method):
    model = tiny.build(kv_heads=2).to(torch.bfloat16)
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
    with method.attach(model) as pruned:
        assert generate(model, inputs).shape == (3, 6)
        assert len(pruned.kept) == 3


def test_gradients_flow_through_the_kept_tokens(tiny):
    model = tiny.build()
    inputs = tiny.prompts(LENGTHS)
    with AdaptPrune(0.25).attach(model):
        model(**inputs).logits[:, -1].sum().backward()
    for layer in model.model.language_model.layers:
        assert layer.self_attn.k_proj.weight.grad.abs().sum() > 0


def test_the_class_token_of_the_full_strategy_stays(tiny):
    model = tiny.build(vision_feature_select_strategy="full")
    inputs = tiny.prompts(((3, 5), (2, 2)), per_image=tiny.grid**2 + 1)
    with FastV(0.25).attach(model) as pruned:
        out = model.generate(**inputs, max_new_tokens=2, do_sample=False, return_dict_in_generate=True)
        assert [len(row[0].indices) for row in pruned.kept] == [4, 4]
        # Text, class token, four kept tokens, and the first generated one.
        assert out.past_key_values.get_seq_length(2) == 8 + 1 + 4 + 1


# ---- entering and leaving


def test_hooks_are_gone_afterwards(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    before, expected = hooks(model), generate(model, inputs)
    attachment = FastV(0.1).attach(model)
    assert hooks(model) == before
    for _ in range(2):
        with attachment:
            assert hooks(model) > before
            pruned = generate(model, inputs)
        assert hooks(model) == before
    assert torch.equal(generate(model, inputs), expected)
    assert not torch.equal(pruned, expected)


def test_hooks_are_gone_after_an_exception(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    before, expected = hooks(model), generate(model, inputs)

    class Failing(Method):
        name = "failing"

        def stages(self):
            return [Stage(2, self, Fraction(0.5))]

        def select(self, features, counts):
            raise RuntimeError("no selection")

    with pytest.raises(RuntimeError, match="no selection"), attach(Failing(), model):
        generate(model, inputs)
    assert hooks(model) == before
    assert torch.equal(generate(model, inputs), expected)


def test_a_failed_prompt_leaves_the_next_one_unharmed(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    text = {name: inputs[name][:, -2:] for name in ("input_ids", "attention_mask")}
    with AdaptPrune(0.25).attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
        with pytest.raises(ValueError, match="no image"):
            model(**text)
        assert torch.equal(generate(model, inputs), expected[0])
        assert indices(pruned) == expected[1]


def test_the_model_itself_is_untouched(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    weights, config = copy.deepcopy(model.state_dict()), model.config.to_json_string()
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    with AdaptPrune(0.25).attach(model):
        generate(model, inputs)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.config.to_json_string() == config
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes


# ---- refusals


def test_a_second_method_on_one_model_is_refused(tiny, model):
    with FastV(0.5).attach(model):
        with pytest.raises(ValueError, match=r"already.* FastV"):
            AdaptPrune(0.1).attach(model).__enter__()
        inputs = tiny.prompts()
        generate(model, inputs)  # the first still works
    with AdaptPrune(0.1).attach(model):
        pass


@pytest.mark.parametrize("method", [FastV(0.5, layer=0), FastV(0.5, layer=4), AdaptPrune(0.1, layer=99)], **BY_NAME)
def test_a_layer_that_the_model_lacks_is_refused(model, method):
    with pytest.raises(ValueError, match="between 1 and 3"):
        method.attach(model)


def test_two_stages_on_one_layer_are_refused(model):
    class Clash(Method):
        name = "clash"

        def stages(self):
            return [Stage(0.5, RandomPruning(0.5), Fraction(0.5)), Stage(2, RandomPruning(0.5), Fraction(0.5))]

    with pytest.raises(ValueError, match=r"clash .* layer 2 "):
        attach(Clash(), model)


def test_random_pruning_before_layer_0(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with RandomPruning(0.25, layer=0).attach(model) as pruned:
        batch = generate(model, inputs)
        for row in range(3):
            assert generate(model, tiny.single(inputs, row))[0].tolist() == batch[row].tolist()
        ((kept,),) = indices(pruned)
    assert batch[2].tolist() == recompute(model, tiny.single(inputs, 2), {0: kept})[0]


def test_an_unsupported_family_is_refused():
    small = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    other = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **small))
    with pytest.raises(ValueError, match=r"LlamaForCausalLM .* LlavaForConditionalGeneration"):
        FastV(0.5).attach(other)


def test_prompts_that_cannot_be_pruned_are_refused(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    text = {"input_ids": torch.tensor([[5, 6, 7]])}
    cache = DynamicCache(config=model.config.text_config)
    with torch.no_grad():
        model(**inputs, past_key_values=cache)
    static = StaticCache(config=model.config.text_config, max_cache_len=64)
    refused = [
        (text, "image"),
        ({**inputs, "input_ids": ids.masked_fill(torch.tensor([[False], [True], [False]]), 7)}, "prompt 1 .* image"),
        ({**inputs, "input_ids": torch.cat((torch.full((3, 1), 3), ids[:, 1:]), 1)}, "17 image tokens"),
        ({"inputs_embeds": torch.rand(1, 4, 32)}, "input_ids"),
        ({**inputs, "attention_mask": mask.flip(1)}, "left"),
        ({**inputs, "attention_mask": torch.ones(3, 1, 24, 24)}, "attention mask"),
        ({**text, "past_key_values": cache}, "outside the with block"),
        ({**inputs, "past_key_values": static}, "dynamic cache"),
    ]
    with FastV(0.5).attach(model) as pruned:
        for given, message in refused:
            with pytest.raises(ValueError, match=message) as raised:
                model(**given)
            assert "\n" not in str(raised.value)
        with pytest.raises(ValueError, match="no prompt has been pruned yet"):
            _ = pruned.kept
