"""Attaching to LLaVA: what must hold, each shown on tiny random models."""

import copy

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache

from vtprune.models import attach
from vtprune.models.attention import attention_row
from vtprune.pruning import (
    AdaptPrune,
    FastV,
    NoPruning,
    RandomPruning,
    Stage,
    adaptive_nms_reference,
    centre_prior,
    grid_positions,
)
from vtprune.pruning.base import Method
from vtprune.pruning.budget import Fraction

METHODS = [
    FastV(0.25),
    FastV(0.5, layer=1),
    FastV(3, layer=3),
    RandomPruning(0.4),
    AdaptPrune(0.25),
    AdaptPrune(0.5, reading="as_written"),
    AdaptPrune(0.3, similarity=False),
    NoPruning(),
]
LENGTHS = ((3, 5), (1, 9), (6, 2))
by_name = {"ids": lambda method: f"{method.name}-{getattr(method, 'keep', '')}"}


class PerRow:
    """A budget that gives each row another count, by its longest text."""

    def count(self, features):
        counts = torch.tensor([1 + fingerprint[-1] % 9 for fingerprint in features.fingerprint()])
        return counts

    def signature(self):
        return "per row"


class Pyramid(Method):
    """Several stages: half of the tokens before layer 1, half of those before layer 3."""

    name = "pyramid"
    uses_attention = True

    def stages(self):
        return [Stage(1, FastV(0.5), Fraction(0.5)), Stage(3, FastV(0.5), Fraction(0.5))]


class KeepNothing(Method):
    """All image tokens are dropped before layer 2."""

    name = "nothing"

    class Zero:
        def count(self, features):
            return torch.zeros(len(features.valid), dtype=torch.long)

    def stages(self):
        return [Stage(2, RandomPruning(1.0), self.Zero())]


def hooks(model) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._forward_hooks_always_called)
        for module in model.modules()
    )


def indices(pruned) -> list[list[list[int]]]:
    return [[image.indices.tolist() for image in row] for row in pruned.kept]


def generate(model, inputs, tokens=6, **options):
    options = {"do_sample": False, "max_new_tokens": tokens, **options}
    return model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]


@torch.no_grad()
def recompute(model, inputs, kept: dict[int, list[int]], tokens=6):
    """Greedy generation of one unpadded prompt without cache, hooks or any of our code.

    ``kept`` holds, by layer, the image tokens that are left from that layer on. Every step runs the
    decoder layers by hand on the whole sequence, leaving out what is dropped.
    """
    core, decoder = model.model, model.model.language_model
    ids, generated, logits = inputs["input_ids"], [], []
    image_at = (ids[0] == model.config.image_token_id).nonzero().flatten()
    features = core.get_image_features(inputs["pixel_values"]).pooler_output
    for _ in range(tokens):
        embeds = core.get_input_embeddings()(ids)
        embeds[0, image_at] = torch.cat(list(features)).to(embeds)
        where = torch.arange(ids.shape[1])
        hidden = embeds
        for index, layer in enumerate(decoder.layers):
            if index in kept:
                dropped = set(image_at.tolist()) - {int(image_at[i]) for i in kept[index]}
                stay = torch.tensor([slot for slot, at in enumerate(where.tolist()) if at not in dropped])
                hidden, where = hidden[:, stay], where[stay]
            length = len(where)
            mask = torch.full((length, length), torch.finfo(hidden.dtype).min).triu(1)[None, None]
            rotary = decoder.rotary_emb(hidden, position_ids=where[None])
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary)
        step = model.lm_head(decoder.norm(hidden))[0, -1]
        logits.append(step.clone())
        step[model.generation_config.suppress_tokens] = -torch.inf
        generated.append(int(step.argmax()))
        ids = torch.cat((ids, torch.tensor([[generated[-1]]])), dim=1)
    return generated, torch.stack(logits)


# ---- nothing dropped


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("method", [FastV(1.0), AdaptPrune(1.0), RandomPruning(1.0), FastV(400), NoPruning()], **by_name)
def test_keeping_everything_is_bit_equal(tiny, method, attention):
    model = tiny.build(kv_heads=2, attention=attention)
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad():
        expected = model(**inputs).logits
        with method.attach(model) as pruned:
            got = model(**inputs).logits
            everything = list(range(tiny.grid**2))
            assert indices(pruned) == [[everything]] * 3
            continued = generate(model, inputs)
    assert torch.equal(got, expected)
    assert torch.equal(continued, generate(model, inputs))


# ---- the right tokens, at the right positions


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("method", METHODS, **by_name)
def test_cached_generation_equals_recomputation(tiny, method, kv_heads):
    model = tiny.build(kv_heads=kv_heads)
    inputs = tiny.prompts(((4, 6),))
    with method.attach(model) as pruned:
        full = model.generate(
            **inputs, do_sample=False, max_new_tokens=6, return_dict_in_generate=True, output_logits=True
        )
        ((kept,),) = indices(pruned)
        uncached = generate(model, inputs, use_cache=False)
        assert indices(pruned) == [[kept]]
    layer = getattr(method, "layer", 0)
    tokens, logits = recompute(model, inputs, {layer: kept})
    assert full.sequences[0, -6:].tolist() == tokens == uncached[0].tolist()
    torch.testing.assert_close(torch.cat(full.logits), logits, rtol=1e-4, atol=1e-4)
    if not isinstance(method, NoPruning):
        cache = full.past_key_values
        prompt = inputs["input_ids"].shape[1]
        short = prompt - tiny.grid**2 + len(kept)
        lengths = [cache.get_seq_length(index) for index in range(4)]
        assert lengths == [prompt + 5] * layer + [short + 5] * (4 - layer)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_one_row_equals_the_eager_models_attentions(tiny, kv_heads):
    model = tiny.build(kv_heads=kv_heads, attention="eager")
    inputs = tiny.prompts(LENGTHS)
    attended = inputs["attention_mask"].bool()
    for index, layer in enumerate(model.model.language_model.layers):
        seen = {}
        handle = layer.self_attn.register_forward_pre_hook(lambda m, a, k, s=seen: s.update(k), with_kwargs=True)
        with torch.no_grad():
            expected = model(**inputs, output_attentions=True).attentions[index][:, :, -1].mean(dim=1)
            query = layer.self_attn.q_proj(seen["hidden_states"])[:, -1]
            key = layer.self_attn.k_proj(seen["hidden_states"])
            got = attention_row(layer.self_attn, query, key, seen["position_embeddings"], attended)
        handle.remove()
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("reading", ["as_published", "as_written"])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_adaptprune_chooses_as_the_definition_says(tiny, layer, reading):
    model = tiny.build(kv_heads=2, attention="eager")
    inputs = tiny.prompts(LENGTHS)
    method = AdaptPrune(5, layer=layer, reading=reading, sigma_s=0.5)
    with torch.no_grad():
        whole = model(**inputs, output_attentions=True, output_hidden_states=True)
        with method.attach(model) as pruned:
            model(**inputs)
    grid = torch.tensor((tiny.grid, tiny.grid))
    cells = grid_positions(tiny.grid, tiny.grid)
    decoder_layer = model.model.language_model.layers[layer]
    for row in range(3):
        image_at = inputs["input_ids"][row] == tiny.image
        scores = whole.attentions[layer - 1][row, :, -1].mean(dim=0)[image_at] * centre_prior(cells, grid)
        states = whole.hidden_states[layer][row, image_at]
        if reading == "as_written":
            states = decoder_layer.input_layernorm(states)
        keys = decoder_layer.self_attn.k_proj(states)
        expected = adaptive_nms_reference(
            scores, keys, cells, 5, sigma_d=1.5 * tiny.grid / 24, sigma_s=0.5, radius=5 * tiny.grid / 24
        )
        kept = pruned.kept[row][0]
        assert kept.indices.tolist() == sorted(expected.tolist())
        assert kept.positions.tolist() == cells[kept.indices].tolist()
        assert kept.grid == (tiny.grid, tiny.grid)


def test_layers_see_the_kept_tokens_at_their_own_positions(tiny, model):
    inputs = tiny.prompts(((4, 6),))
    seen = {}
    handles = []
    with FastV(0.25).attach(model) as pruned:
        for index, layer in enumerate(model.model.language_model.layers):
            handles.append(
                layer.register_forward_pre_hook(
                    lambda m, a, k, i=index: seen.update({i: k["position_ids"][0].tolist()}), with_kwargs=True
                )
            )
        generate(model, inputs, tokens=1)
        ((kept,),) = indices(pruned)
    for handle in handles:
        handle.remove()
    whole = list(range(4 + 16 + 6))
    short = whole[:4] + [4 + i for i in kept] + whole[20:]
    assert seen == {0: whole, 1: whole, 2: short, 3: short}


# ---- batches


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "method",
    [*METHODS, FastV(PerRow()), AdaptPrune(PerRow()), RandomPruning(PerRow(), layer=1), Pyramid(), KeepNothing()],
    **by_name,
)
def test_left_padded_batch_equals_single_rows(tiny, method, attention):
    model = tiny.build(kv_heads=2, attention=attention)
    inputs = tiny.prompts(LENGTHS)
    options = {"do_sample": False, "max_new_tokens": 6, "return_dict_in_generate": True, "output_logits": True}
    with attach(method, model) as pruned:
        batch = model.generate(**inputs, **options)
        kept = indices(pruned)
        for row in range(3):
            alone = model.generate(**tiny.single(inputs, row), **options)
            assert indices(pruned) == [kept[row]]
            assert alone.sequences[0, -6:].tolist() == batch.sequences[row, -6:].tolist()
            for together, by_itself in zip(batch.logits, alone.logits, strict=True):
                torch.testing.assert_close(together[row], by_itself[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [FastV(0.3), AdaptPrune(0.3), RandomPruning(0.3), AdaptPrune(PerRow())], **by_name)
def test_several_images_and_different_numbers_of_them(tiny, model, method):
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 3))
    with method.attach(model) as pruned:
        batch = generate(model, inputs)
        kept = indices(pruned)
        assert [len(row) for row in kept] == [1, 2, 3]
        for row in range(3):
            alone = generate(model, tiny.single(inputs, row, images=(1, 2, 3)))
            assert indices(pruned) == [kept[row]]
            assert alone[0].tolist() == batch[row].tolist()
    if method.keep == 0.3:
        assert [sum(map(len, row)) for row in kept] == [4, 9, 14]


@pytest.mark.parametrize("method", METHODS, **by_name)
def test_sdpa_equals_eager(tiny, method):
    inputs = tiny.prompts(LENGTHS)
    results = []
    for attention in ("sdpa", "eager"):
        model = tiny.build(kv_heads=2, attention=attention)
        with torch.no_grad(), method.attach(model) as pruned:
            results.append((model(**inputs).logits[:, -1], generate(model, inputs), indices(pruned)))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][2] == results[1][2]


@pytest.mark.parametrize("method", [Pyramid(), KeepNothing()], **by_name)
def test_methods_of_other_shapes_fit_the_same_mechanism(tiny, model, method):
    inputs = tiny.prompts(((4, 6),))
    with method.attach(model) as pruned:
        out = generate(model, inputs)
        kept = {layer: pruned.kept_at(layer)[0][0].indices.tolist() for layer in [s.layer for s in method.stages()]}
        assert torch.equal(out, generate(model, inputs, use_cache=False))
    assert out[0].tolist() == recompute(model, inputs, kept)[0]
    assert [len(tokens) for tokens in kept.values()] == ([8, 4] if isinstance(method, Pyramid) else [0])


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


def test_random_goes_by_the_pixels_too(tiny, model):
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


def test_bfloat16(tiny):
    model = tiny.build(kv_heads=2).to(torch.bfloat16)
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
    for method in METHODS:
        with method.attach(model) as pruned:
            assert generate(model, inputs).shape == (3, 6)
            assert len(pruned.kept) == 3


def test_class_token_of_the_full_strategy_stays(tiny):
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


def test_one_pruner_at_a_time(tiny, model):
    with FastV(0.5).attach(model):
        with pytest.raises(ValueError, match="being pruned already, by FastV"):
            AdaptPrune(0.1).attach(model).__enter__()
        inputs = tiny.prompts()
        generate(model, inputs)  # the first still works
    with AdaptPrune(0.1).attach(model):
        pass


@pytest.mark.parametrize("method", [FastV(0.5, layer=0), FastV(0.5, layer=4), AdaptPrune(0.1, layer=99)], **by_name)
def test_layer_beyond_the_model(model, method):
    with pytest.raises(ValueError, match=r"layer must lie between 1 and 3 for \w+ on this model of 4 layers"):
        method.attach(model)


def test_random_needs_no_layer_before_its_own(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with RandomPruning(0.25, layer=0).attach(model) as pruned:
        batch = generate(model, inputs)
        for row in range(3):
            assert generate(model, tiny.single(inputs, row))[0].tolist() == batch[row].tolist()
        ((kept,),) = indices(pruned)
    assert batch[2].tolist() == recompute(model, tiny.single(inputs, 2), {0: kept})[0]


def test_unsupported_family():
    small = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    other = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **small))
    with pytest.raises(ValueError, match="LlamaForCausalLM cannot be pruned; supported: LlavaForConditionalGeneration"):
        FastV(0.5).attach(other)


def test_prompts_that_cannot_be_pruned(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    text = {"input_ids": torch.tensor([[5, 6, 7]])}
    cache = DynamicCache(config=model.config.text_config)
    with torch.no_grad():
        model(**inputs, past_key_values=cache)
    static = StaticCache(config=model.config.text_config, max_cache_len=64)
    refused = [
        (text, "no image"),
        ({**inputs, "input_ids": ids.masked_fill(torch.tensor([[False], [True], [False]]), 7)}, "prompt 1 .* no image"),
        ({**inputs, "input_ids": torch.cat((torch.full((3, 1), 3), ids[:, 1:]), 1)}, "17 image tokens"),
        ({"inputs_embeds": torch.rand(1, 4, 32)}, "needs input_ids"),
        ({**inputs, "attention_mask": mask.flip(1)}, "padded on the left"),
        ({**inputs, "attention_mask": torch.ones(3, 1, 24, 24)}, "two-dimensional attention mask"),
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
