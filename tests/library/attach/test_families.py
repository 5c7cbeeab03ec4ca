"""LLaVA-1.5, LLaVA-NeXT and InternVL with several decoders: pruning is exact in each of them."""

import pytest
import torch
from helpers.attaching import WIDE, PerRow, first_fast, generate, hooks, recompute
from helpers.tiny_families import (
    CASES,
    GRID,
    IMAGE,
    IMAGES,
    QWEN,
    TODAY,
    VOCABULARY,
    batch,
    build,
    decoder_of,
    flat,
    prompt,
    ready,
    rows_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlavaConfig, LlavaForConditionalGeneration, MistralConfig, Qwen3Config

from vtprune.attach import attach
from vtprune.methods import VTW, AdaptPrune, FastV, RandomPruning
from vtprune.ops import adaptive_nms_reference, centre_prior, paper_positions

METHODS = [FastV(0.25, layer=1), RandomPruning(0.4, layer=1), AdaptPrune(0.3, layer=1, **WIDE)]
FAMILIES = [("llava_next", "llama"), ("internvl", "qwen2"), *TODAY]
by_case = pytest.mark.parametrize(("family", "decoder"), first_fast(CASES, unpack=True))
by_family = pytest.mark.parametrize(("family", "decoder"), first_fast(FAMILIES, unpack=True))
by_method = pytest.mark.parametrize("method", first_fast(METHODS), ids=lambda method: method.name)


@pytest.fixture(scope="module")
def models():
    """Each model once, by family and decoder (and attention)."""
    made = {}

    def get(*case, **options):
        key = (*case, *options.items())
        if key not in made:
            made[key] = build(*case, **options)
        return made[key]

    return get


@by_case
@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
def test_keeping_everything_is_bit_equal(models, family, decoder, attention):
    model = models(family, decoder, attention=attention)
    inputs = batch(rows_of(model, family))
    with torch.no_grad():
        expected = model(**inputs).logits
        for method in (FastV(1.0, layer=1), AdaptPrune(1.0, layer=1), RandomPruning(10_000, layer=1)):
            with method.attach(model) as pruned:
                assert torch.equal(model(**inputs).logits, expected)
                totals = (inputs["input_ids"] == IMAGE).sum(dim=1).tolist()
                assert [flat(row) for row in pruned.kept] == [list(range(total)) for total in totals]


@by_case
@by_method
def test_cached_generation_equals_recomputation(models, family, decoder, method):
    """With two images in the prompt."""
    model = models(family, decoder)
    inputs = prompt(model, IMAGES[family][1])
    with method.attach(model) as pruned:
        out = model.generate(
            **inputs, do_sample=False, max_new_tokens=5, return_dict_in_generate=True, output_logits=True
        )
        kept = flat(pruned.kept[0])
        uncached = generate(model, inputs, tokens=5, use_cache=False)
        assert flat(pruned.kept[0]) == kept
    tokens, logits = recompute(model, inputs, {1: kept}, tokens=5)
    assert out.sequences[0, -5:].tolist() == tokens == uncached[0].tolist()
    torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)
    length, total = inputs["input_ids"].shape[1], int((inputs["input_ids"] == IMAGE).sum())
    # The budget is exact over all image tokens, newlines, tiles and thumbnails alike.
    assert len(kept) == int(method.keep.fraction * total)
    cached = [out.past_key_values.get_seq_length(layer) for layer in (0, 1)]
    assert cached == [length + 4, length - total + len(kept) + 4]


@by_case
@pytest.mark.parametrize(
    "method",
    first_fast(
        [*METHODS, FastV(PerRow(), layer=1), AdaptPrune(PerRow(), layer=1, **WIDE), RandomPruning(PerRow(), layer=1)]
    ),
    ids=lambda method: f"{method.name}-{'' if isinstance(method.keep, PerRow) else method.keep}",
)
def test_left_padded_batch_equals_single_rows(models, family, decoder, method):
    model = models(family, decoder)
    rows = rows_of(model, family)
    options = {"do_sample": False, "max_new_tokens": 4, "return_dict_in_generate": True, "output_logits": True}
    with method.attach(model) as pruned:
        together = model.generate(**batch(rows), **options)
        kept = [flat(row) for row in pruned.kept]
        for number, row in enumerate(rows):
            alone = model.generate(**row, **options)
            assert [flat(part) for part in pruned.kept] == [kept[number]]
            assert alone.sequences[0, -4:].tolist() == together.sequences[number, -4:].tolist()
            for one, other in zip(together.logits, alone.logits, strict=True):
                torch.testing.assert_close(one[number], other[0], rtol=1e-4, atol=1e-4)


@by_case
@by_method
def test_sdpa_equals_eager(models, family, decoder, method):
    results = []
    for attention in ("sdpa", "eager"):
        model = models(family, decoder, attention=attention)
        inputs = batch(rows_of(model, family))
        with torch.no_grad(), method.attach(model) as pruned:
            results.append((model(**inputs).logits[:, -1], [flat(row) for row in pruned.kept]))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    assert results[0][1] == results[1][1]


@pytest.mark.slow
@by_family
def test_beam_search_and_several_sequences(models, family, decoder):
    model = models(family, decoder)
    rows = rows_of(model, family)
    for options in ({"num_beams": 3}, {"do_sample": True, "num_return_sequences": 3}):
        for method in (FastV(0.25, layer=1), RandomPruning(0.25, layer=1)):
            with method.attach(model) as pruned:
                generate(model, batch(rows), tokens=2, **options)
                kept = [flat(row) for row in pruned.kept]
                for number, row in enumerate(rows):
                    generate(model, row, tokens=2)
                    assert kept[3 * number : 3 * number + 3] == [flat(pruned.kept[0])] * 3


@by_family
def test_the_random_choice_depends_on_every_tile(models, family, decoder):
    """Also on the last tile, and not on the pictures that pad LLaVA-NeXT's batches."""
    model = models(family, decoder)
    inputs = prompt(model, IMAGES[family][0])
    other = {**inputs, "pixel_values": inputs["pixel_values"].clone()}
    other["pixel_values"].view(-1, inputs["pixel_values"].shape[-1])[-1] += 1
    with RandomPruning(0.25, layer=1).attach(model) as pruned:
        choices = []
        for arguments in (inputs, other, inputs):
            generate(model, arguments, tokens=1)
            choices.append(flat(pruned.kept[0]))
    assert choices[0] == choices[2] != choices[1]


# ---- grids


def test_both_sequences_of_llava_next_are_on_their_grids(models):
    model = models("llava_next", "llama")
    inputs = prompt(model, [(30, 70), (64, 64)])
    with torch.no_grad(), FastV(0.5, layer=1).attach(model) as pruned:
        model(**inputs)
    # 30x70 goes on 32x96 (4x12 tokens): scaled to 41 x 96, it would need 5 rows, so the width gives way
    # to 70 * 4 / 30 = 9 tokens, and 2 * ((12 - 9) // 2) columns are padding: 4 x 10 and a newline a row.
    assert [(part.image, part.part, part.grid) for part in pruned.kept[0]] == [
        (0, "base", (4, 4)),
        (0, "any-res", (4, 11)),
        (1, "base", (4, 4)),
        (1, "any-res", (8, 9)),
    ]


def test_every_tile_of_internvl_is_a_grid(models):
    model = models("internvl", "llama")
    with torch.no_grad(), FastV(0.5, layer=1).attach(model) as pruned:
        model(**prompt(model, [1, 3]))
    assert [(part.image, part.part, part.grid) for part in pruned.kept[0]] == [
        (0, "tile", (4, 4)),
        (1, "tile", (4, 4)),
        (1, "tile", (4, 4)),
        (1, "thumbnail", (4, 4)),
    ]


@pytest.mark.parametrize(
    ("size", "grid"),
    first_fast(
        [((2, 400), (0, 9)), ((400, 2), (4, 1)), ((12, 300), (0, 13)), ((30, 300), (2, 13)), ((300, 9), (12, 1))],
        unpack=True,
    ),
)
def test_extreme_aspect_ratios_of_llava_next(models, size, grid):
    """Down to an any-resolution sequence of newline tokens alone, and to none at all."""
    model = models("llava_next", "llama")
    inputs = prompt(model, [size])
    for method in METHODS:
        with method.attach(model) as pruned:
            tokens = generate(model, inputs, tokens=3)
            assert pruned.kept[0][1].grid == grid
            kept = flat(pruned.kept[0])
        assert len(kept) == int(method.keep.fraction * (16 + grid[0] * grid[1]))
        assert tokens[0].tolist() == recompute(model, inputs, {1: kept}, tokens=3)[0]


# What a picture of a prompt may be: its pixels, its tokens or its sub-images, by family; else its number of tiles.
PIXELS = st.tuples(st.integers(1, 200), st.integers(1, 200))
A_PICTURE = {"llava_next": PIXELS, "llava_onevision": PIXELS}
A_PICTURE |= dict.fromkeys(QWEN, st.tuples(st.integers(1, 9), st.integers(1, 9)))
A_PICTURE |= dict.fromkeys(("smolvlm", "idefics3"), st.sampled_from([(0, 0), (1, 1), (2, 1), (2, 3)]))


@pytest.mark.slow
@by_family
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_exact_budget_and_suppression_within_each_grid(models, family, decoder, data):
    """The tokens kept of a grid are those that Algorithm 1 chooses on that grid alone."""
    model = models(family, decoder, attention="eager")
    images = data.draw(st.lists(A_PICTURE.get(family, st.integers(1, 6)), min_size=1, max_size=2))
    keep = data.draw(st.floats(0.02, 1.0))
    inputs = prompt(model, images, seed=data.draw(st.integers(0, 1000)))
    image_at, entering, layer = inputs["input_ids"][0] == IMAGE, [], decoder_of(model).layers[1]
    handle = layer.register_forward_pre_hook(lambda module, args: entering.append(args[0]))
    with torch.no_grad():
        whole = model(**inputs, output_attentions=True)
        handle.remove()
        keys = layer.self_attn.k_proj(entering[0][0, image_at])
        with AdaptPrune(keep, layer=1, sigma_d=9.0, sigma_s=0.5, radius=18.0).attach(model) as pruned:
            model(**inputs)
    scores = whole.attentions[0][0, :, -1].mean(dim=0)[image_at]
    total, start = len(scores), 0
    assert sum(len(part.indices) for part in pruned.kept[0]) == max(1, int(keep * total))
    for part in pruned.kept[0]:
        height, width = part.grid
        span = slice(start, start + height * width)
        start = span.stop
        cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).view(-1, 2)
        grid = torch.tensor(part.grid).clamp(min=1)
        expected = adaptive_nms_reference(
            scores[span] * centre_prior(cells, grid),
            keys[span],
            paper_positions(cells, grid),
            len(part.indices),
            sigma_d=9.0,
            sigma_s=0.5,
            radius=18.0,
        )
        assert part.indices.tolist() == sorted(expected.tolist())
        assert part.positions.tolist() == cells[part.indices].tolist()
    assert start == total


# ---- entering and leaving


@by_case
def test_hooks_and_attributes_are_removed_on_leaving(models, family, decoder):
    model = models(family, decoder)
    inputs = batch(rows_of(model, family))
    before = hooks(model), {name: set(vars(module)) for name, module in model.named_modules()}
    expected = generate(model, inputs, tokens=2)
    with FastV(0.1, layer=1).attach(model):
        generate(model, inputs, tokens=2)
        assert hooks(model) > before[0]

    class Failing(FastV):
        def select(self, features, counts):
            raise RuntimeError("no selection")

    with pytest.raises(RuntimeError, match="no selection"), attach(Failing(0.1, layer=1), model):
        generate(model, inputs)
    assert (hooks(model), {name: set(vars(module)) for name, module in model.named_modules()}) == before
    assert torch.equal(generate(model, inputs, tokens=2), expected)


def test_a_method_that_somebody_else_replaced_is_put_back(models):
    model = build("llava_next", "llama")
    original, heard = model.model.get_image_features, []

    def theirs(pixel_values, image_sizes, **options):
        heard.append(image_sizes)
        return original(pixel_values, image_sizes, **options)

    model.model.get_image_features = theirs
    inputs = prompt(model, [(30, 70)])
    with FastV(0.5, layer=1).attach(model) as pruned:
        generate(model, inputs, tokens=1)
        assert len(flat(pruned.kept[0])) == 30
    assert model.model.get_image_features is theirs and len(heard) == 2


@by_case
def test_all_image_tokens_may_be_dropped(models, family, decoder):
    model = build(family, decoder, layers=3)
    inputs = prompt(model, IMAGES[family][2])
    with attach(VTW(layer=2), model) as pruned:
        tokens = generate(model, inputs, tokens=3)
        assert flat(pruned.kept[0]) == []
    assert tokens[0].tolist() == recompute(model, inputs, {2: []}, tokens=3)[0]


# ---- refusals


def test_image_sizes_of_llava_next_must_fit_its_prompts(models):
    model = models("llava_next", "llama")
    inputs = prompt(model, [(30, 70), (64, 64)])
    with torch.no_grad():
        outside = model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
    text = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    refused = [
        ({**inputs, "image_sizes": None}, "image_sizes"),
        ({**inputs, "image_sizes": inputs["image_sizes"][:1]}, "148 .* 60"),
        ({**inputs, "image_sizes": torch.tensor([[30, 70], [64, 64], [9, 9]])}, "3 image_sizes.* 2 images"),
        ({**text, "mm_encoder_outputs": {"image": outside}}, "outside the with block .* image_sizes"),
    ]
    with FastV(0.5, layer=1).attach(model):
        for these, message in refused:
            with pytest.raises(ValueError, match=message) as raised:
                model(**these)
            assert "\n" not in str(raised.value)
        expected = model(**inputs).logits
        inside = model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
        for more in (
            {"mm_encoder_outputs": {"image": inside}},
            {"mm_encoder_outputs": {"image": outside}, "image_sizes": inputs["image_sizes"]},
        ):
            torch.testing.assert_close(model(**text, **more).logits, expected)


def test_the_class_token_of_llava_next_is_refused(models):
    model = build("llava_next", "llama")
    inputs = prompt(model, [(30, 70)])
    model.config.vision_feature_select_strategy = "full"
    with pytest.raises(ValueError, match="vision_feature_select_strategy"), FastV(0.5, layer=1).attach(model):
        model(**inputs)


def test_an_image_with_a_part_of_a_tile_is_refused(models):
    model = models("internvl", "llama")
    inputs = prompt(model, [2])
    inputs["input_ids"][0, 10] = 9
    with (
        pytest.raises(ValueError, match=f"image 0 of prompt 0 .* 7 image tokens.* {GRID**2} "),
        FastV(0.5, layer=1).attach(model),
    ):
        model(**inputs)


def with_decoder(models, text, **options):
    """A tiny LLaVA with a decoder of this configuration class."""
    small = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    vision = models("llava", "qwen2").config.vision_config
    config = LlavaConfig(vision_config=vision, text_config=text(**small, **heads, **options), image_token_id=IMAGE)
    torch.manual_seed(0)
    return ready(LlavaForConditionalGeneration(config), "sdpa")


def test_scores_of_sliding_layers_are_refused(models):
    """But methods without scores prune such decoders, and layers that see everything can be scored."""
    every = with_decoder(models, MistralConfig)
    with pytest.raises(ValueError, match=r"fastv .* layer 1 needs .* layer 0, .* sliding attention .* needs no att"):
        FastV(0.5, layer=1).attach(every)
    assert RandomPruning(0.5, layer=1).attach(every).first_layer == 1
    kinds = ["sliding_attention", "full_attention"] * 2
    some = with_decoder(models, Qwen3Config, sliding_window=4, use_sliding_window=True, layer_types=kinds)
    with pytest.raises(ValueError, match=r"fastv before layer 3 .* layer 2, .* take a layer among \[2\]"):
        FastV(0.5, layer=3).attach(some)
    assert FastV(0.5, layer=2).attach(some).first_layer == 2


def test_decoders_with_layers_that_cannot_be_shortened_are_refused(models):
    model = with_decoder(models, Qwen3Config, layer_types=["full_attention", "linear_attention"] * 2)
    with pytest.raises(
        ValueError, match=r"Qwen3Model has layers of linear attention, .* of full attention and sliding"
    ):
        RandomPruning(0.5, layer=1).attach(model)
