"""Pruned prompts: the right tokens, positions and caches, alone and in batches."""

import pytest
import torch
from helpers.attaching import (
    BY_NAME,
    LENGTHS,
    METHODS,
    PerRow,
    Pyramid,
    first_fast,
    generate,
    indices,
    merged,
    one_of_each,
    recompute,
    recorded_from_projections,
)

from vtprune.attach import attach
from vtprune.attach.attention import paid_by_last
from vtprune.methods import VTW, AdaptPrune, Count, FastV, Fraction, NoPruning, methods
from vtprune.ops import adaptive_nms_reference, centre_prior, grid_positions


def test_every_registered_method_is_tested_here():
    assert {method.name for method in METHODS} == set(methods())


# ---- nothing dropped


@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
@pytest.mark.parametrize("method", first_fast([*one_of_each(1.0), FastV(400), NoPruning()]), **BY_NAME)
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


@pytest.mark.parametrize("kv_heads", first_fast([2, 4, 1]))
@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_cached_generation_equals_recomputation(tiny, method, kv_heads):
    model = tiny.build(kv_heads=kv_heads)
    inputs = tiny.prompts(((4, 6),))
    with method.attach(model) as pruned:
        full = model.generate(
            **inputs, do_sample=False, max_new_tokens=6, return_dict_in_generate=True, output_logits=True
        )
        survivors, means = indices(pruned), merged(pruned)
        kept = {layer: pruned.kept_at(layer)[0][0].indices.tolist() for layer in pruned.stage_layers}
        later_means = {layer: merged(pruned, layer=layer) for layer in pruned.stage_layers if layer}
        uncached = generate(model, inputs, use_cache=False)
        assert indices(pruned) == survivors
    tokens, logits = recompute(model, inputs, kept, means=means, later_means=later_means)
    assert full.sequences[0, -6:].tolist() == tokens == uncached[0].tolist()
    torch.testing.assert_close(torch.cat(full.logits), logits, rtol=1e-4, atol=1e-4)
    lengths, left = [], tiny.grid**2
    for layer in range(4):
        left = len(kept.get(layer, range(left)))
        lengths.append(inputs["input_ids"].shape[1] - tiny.grid**2 + left + 5)
    assert [full.past_key_values.get_seq_length(layer) for layer in range(4)] == lengths


@pytest.mark.parametrize("kv_heads", first_fast([2, 4]))
def test_attention_of_the_last_token_is_that_of_the_eager_model(tiny, kv_heads):
    model = tiny.build(kv_heads=kv_heads, attention="eager")
    inputs = tiny.prompts(LENGTHS)
    attended = inputs["attention_mask"].bool()
    for index, layer in enumerate(model.model.language_model.layers):
        seen = {}
        handle = layer.self_attn.register_forward_pre_hook(lambda m, a, k, s=seen: s.update(k), with_kwargs=True)
        with torch.no_grad():
            expected = model(**inputs, output_attentions=True).attentions[index][:, :, -1].mean(dim=1)
            states = (project(seen["hidden_states"]) for project in (layer.self_attn.q_proj, layer.self_attn.k_proj))
            recorded = recorded_from_projections(layer.self_attn, *states, seen["position_embeddings"])
            got = paid_by_last(recorded, attended)
        handle.remove()
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("reading", ["as_published", "as_written"])
@pytest.mark.parametrize("layer", first_fast([2, 1, 3]))
def test_adaptprune_chooses_as_algorithm_1_does(tiny, layer, reading):
    model = tiny.build(kv_heads=2, attention="eager")
    inputs = tiny.prompts(LENGTHS)
    # On this small grid the paper's radius is less than a cell: widen everything, so that it matters.
    method = AdaptPrune(5, layer=layer, reading=reading, sigma_d=9.0, sigma_s=0.5, radius=18.0)
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
        expected = adaptive_nms_reference(scores, keys, cells, 5, sigma_d=1.5, sigma_s=0.5, radius=3.0)
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


@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
@pytest.mark.parametrize("method", first_fast([*METHODS, *one_of_each(PerRow()), Pyramid()]), **BY_NAME)
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


@pytest.mark.parametrize("method", first_fast([*one_of_each(0.3), AdaptPrune(PerRow()), VTW()]), **BY_NAME)
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
    if getattr(method, "keep", None) == 0.3:
        assert [sum(map(len, row)) for row in kept] == [4, 9, 14]


@pytest.mark.parametrize("budget", first_fast([Count(7), Count(1), Count(20), Fraction(0.1), Fraction(0.7)]))
def test_budgets_are_exact(tiny, model, budget):
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 3))
    expected = [min(budget.tokens, n) if isinstance(budget, Count) else int(budget.fraction * n) for n in (16, 32, 48)]
    for method in one_of_each(budget):
        with torch.no_grad(), method.attach(model) as pruned:
            model(**inputs)
        assert [sum(map(len, row)) for row in indices(pruned)] == expected


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
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


def test_a_method_of_two_stages_equals_recomputation(tiny, model):
    inputs = tiny.prompts(((4, 6),))
    with Pyramid().attach(model) as pruned:
        out = generate(model, inputs)
        kept = {layer: pruned.kept_at(layer)[0][0].indices.tolist() for layer in (1, 3)}
        assert torch.equal(out, generate(model, inputs, use_cache=False))
    assert out[0].tolist() == recompute(model, inputs, kept)[0]
    assert [len(tokens) for tokens in kept.values()] == [8, 4]


def test_a_fraction_of_the_depth_is_the_layer_that_it_rounds_to(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad():
        for fraction, whole in ((0.5, 2), (0.99, 3), (0.01, 1)):
            with FastV(0.25, layer=whole).attach(model):
                expected = model(**inputs).logits
            with FastV(0.25, layer=fraction).attach(model) as pruned:
                assert torch.equal(model(**inputs).logits, expected)
                assert len(pruned.kept_at(whole)) == 3
