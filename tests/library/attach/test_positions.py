"""The option positions="reindexed": the tokens that are left have consecutive positions, in prompts and answers."""

import pytest
import torch
from helpers.attaching import first_fast, generate, merged, recompute
from helpers.tiny_families import IMAGES, QWEN, batch, build, decoder_of, flat, prompt, rows_of
from transformers import DynamicCache

from vtprune.attach import Prefix, attach, attach_all
from vtprune.errors import UserError
from vtprune.methods import DivPrune, FastV, PyramidDrop, RandomPruning, SparseVLM, VisionZip

FAMILIES = [("llava", "mistral"), ("internvl", "qwen2"), ("llava_next", "llama"), ("internvl", "qwen3"), ("gemma3", "")]
METHODS = [FastV(0.3, layer=1), VisionZip(0.4, contextual=0.4), PyramidDrop(0.3), SparseVLM(0.3), DivPrune(0.3)]
OPTIONS = {"do_sample": False, "max_new_tokens": 5, "return_dict_in_generate": True, "output_logits": True}
by_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@pytest.fixture(scope="module")
def models():
    made = {}

    def get(family, decoder):
        if (family, decoder) not in made:
            made[family, decoder] = build(family, decoder, layers=4)
        return made[family, decoder]

    return get


@pytest.mark.slow
@pytest.mark.parametrize(("family", "decoder"), [*FAMILIES[:2], *first_fast(FAMILIES[1:], unpack=True)[1:]])
@by_method
def test_generation_equals_recomputation(models, family, decoder, method):
    """With two images in the prompt, with and without a cache."""
    model = models(family, decoder)
    inputs = prompt(model, IMAGES[family][1])
    with method.attach(model, positions="reindexed") as pruned:
        out = model.generate(**inputs, **OPTIONS)
        kept = {layer: flat(pruned.kept_at(layer)[0]) for layer in pruned.stage_layers}
        means = {layer: merged(pruned, layer=layer) for layer in pruned.stage_layers}
        uncached = generate(model, inputs, tokens=5, use_cache=False)
    tokens, logits = recompute(model, inputs, kept, tokens=5, means=means.pop(0, {}), later_means=means, reindexed=True)
    assert out.sequences[0, -5:].tolist() == tokens == uncached[0].tolist()
    torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "decoder"), first_fast(FAMILIES, unpack=True))
@by_method
def test_a_padded_batch_equals_its_rows(models, family, decoder, method):
    model = models(family, decoder)
    rows = rows_of(model, family)
    with method.attach(model, positions="reindexed") as pruned:
        together = model.generate(**batch(rows), **OPTIONS)
        kept = [flat(row) for row in pruned.kept]
        for number, row in enumerate(rows):
            alone = model.generate(**row, **OPTIONS)
            assert flat(pruned.kept[0]) == kept[number]
            for one, other in zip(together.logits, alone.logits, strict=True):
                torch.testing.assert_close(one[number], other[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [FastV(0.3, layer=2), DivPrune(0.3)], ids=lambda method: method.name)
def test_layers_see_consecutive_positions(models, method):
    model = models("llava", "mistral")
    inputs = prompt(model, [1])
    seen = {}
    with method.attach(model, positions="reindexed") as pruned:
        handles = [
            layer.register_forward_pre_hook(
                lambda m, a, k, i=index: seen.setdefault(i, []).append(k["position_ids"][0].tolist()), with_kwargs=True
            )
            for index, layer in enumerate(decoder_of(model).layers)
        ]
        generate(model, inputs, tokens=3)
        length, left = inputs["input_ids"].shape[1], len(flat(pruned.kept[0]))
    for handle in handles:
        handle.remove()
    short = length - 16 + left
    for index, found in seen.items():
        end = length if index < pruned.first_layer else short
        assert found[0] == list(range(end))
        assert found[1:] == [[end], [end + 1]]


def test_keeping_everything_is_bit_equal(models):
    model = models("llava", "mistral")
    inputs = batch(rows_of(model, "llava"))
    expected = generate(model, inputs)
    with torch.no_grad():
        logits = model(**inputs).logits
        for method in (FastV(1.0, layer=1), VisionZip(1.0)):
            with method.attach(model, positions="reindexed"):
                assert torch.equal(model(**inputs).logits, logits)
                assert torch.equal(generate(model, inputs), expected)


@pytest.mark.parametrize("method", [FastV(0.3, layer=1), RandomPruning(0.3, layer=0)], ids=lambda method: method.name)
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_a_cache_is_continued_by_hand_at_the_right_position(models, method, masked):
    model = models("internvl", "qwen2")
    inputs = prompt(model, IMAGES["internvl"][1])
    new = torch.tensor([[9, 8, 7]])
    with torch.no_grad(), method.attach(model, positions="reindexed") as pruned:
        cache = DynamicCache(config=model.config.text_config)
        model(**inputs, past_key_values=cache)
        kept = {layer: flat(pruned.kept_at(layer)[0]) for layer in pruned.stage_layers}
        for stop in (2, 3):
            part = new[:, stop - 2 : stop] if stop == 2 else new[:, 2:]
            mask = {"attention_mask": torch.ones(1, inputs["input_ids"].shape[1] + stop, dtype=torch.long)}
            logits = model(input_ids=part, past_key_values=cache, **(mask if masked else {})).logits[:, -1]
    longer = {**inputs, "input_ids": torch.cat((inputs["input_ids"], new), dim=1)}
    expected = recompute(model, longer, kept, tokens=1, reindexed=True)[1]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_methods_that_share_a_prefix_and_beams(models):
    model = models("llava", "mistral")
    inputs = batch(rows_of(model, "llava"))
    methods = [VisionZip(0.4), FastV(0.3, layer=1), FastV(0.2, layer=2)]
    prefix = Prefix(inputs)
    for index, attachment in attach_all(methods, model, prefix, positions="reindexed"):
        with attachment:
            shared = model.generate(**prefix.inputs, **OPTIONS)
        with attach(methods[index], model, positions="reindexed"):
            alone = model.generate(**inputs, **OPTIONS)
            beams = generate(model, inputs, num_beams=2)
        assert all(torch.equal(a, b) for a, b in zip(shared.logits, alone.logits, strict=True))
        assert len(beams) == 3


@pytest.mark.parametrize("family", QWEN)
def test_positions_of_several_axes_are_kept_or_refused(family):
    model = build(family, layers=2)
    with pytest.raises(UserError, match="M-RoPE") as said:
        FastV(0.3, layer=1).attach(model, positions="reindexed")
    assert "\n" not in str(said.value)
    FastV(0.3, layer=1).attach(model, positions="kept")


def test_what_cannot_be_reindexed_is_refused(models):
    model = models("llava", "mistral")
    with pytest.raises(UserError, match="positions must be one of 'kept', 'reindexed', not 'new'"):
        FastV(0.3).attach(model, positions="new")
    inputs = prompt(model, [1])
    gaps = torch.arange(inputs["input_ids"].shape[1])[None] * 2
    with (
        torch.no_grad(),
        FastV(0.3, layer=1).attach(model, positions="reindexed"),
        pytest.raises(UserError, match="consecutive"),
    ):
        model(**inputs, position_ids=gaps)
    stretched = build("llava", "llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    with pytest.raises(UserError, match="length of the sequence"):
        FastV(0.3, layer=1).attach(stretched, positions="reindexed")
