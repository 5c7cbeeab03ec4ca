"""The attention and keys of the vision tower, at the image tokens that its patches become."""

from dataclasses import replace

import pytest
import torch
from helpers.attaching import LENGTHS, first_fast, generate, indices, merged
from helpers.tiny_families import (
    GRID,
    IMAGE,
    IMAGES,
    SIDE,
    batch,
    build,
    flat,
    prompt,
    ready,
    rows_of,
    text_config,
    tiling,
)
from transformers import LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

from vtprune.attach import attach
from vtprune.methods import FastV, Fraction, Method, RandomPruning, SpectralBudget, VisionZip
from vtprune.ops.ranking import highest
from vtprune.stages import Stage

FAMILIES = [("llava", "mistral"), ("llava_next", "llama"), ("internvl", "qwen2")]


class Spy(Method):
    """Ranks before layer 1 by the tower's attention, and remembers its patches."""

    name = "spy"
    needs = frozenset({"tower"})

    def stages(self):
        return [Stage(1, self, Fraction(0.5))]

    def select(self, features, counts):
        object.__setattr__(self, "seen", features.tower())
        return highest(self.seen.attention, counts, features.valid)


def patches_of(model, inputs):
    spy = Spy()
    with torch.no_grad(), attach(spy, model):
        model(**inputs)
    return spy.seen


@torch.no_grad()
def tower_of(model, pixels, layer: int, class_token: bool = True):
    """Attention `[pictures, patches]` and keys (mean over heads) of each patch, from the eager tower's own outputs."""
    seen, tower = {}, model.model.vision_tower
    attention = [module for module in tower.modules() if hasattr(module, "k_proj")][layer]
    handle = attention.k_proj.register_forward_hook(lambda module, args, output: seen.update(key=output))
    weights = tower(pixels, output_attentions=True).attentions[layer]
    handle.remove()
    paid = weights[:, :, 0, 1:].mean(dim=1) if class_token else weights.mean(dim=(1, 2))
    return paid, seen["key"].unflatten(-1, (2, -1)).mean(dim=2)[:, int(class_token) :]


@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
@pytest.mark.parametrize(("family", "decoder"), first_fast(FAMILIES, unpack=True))
def test_patches_are_those_of_the_image_tokens(family, decoder, attention):
    """The model itself says where a patch goes: it gets scores in place of features."""
    eager = build(family, decoder, attention="eager")
    rows = rows_of(eager, family)
    layer = 1 if family == "internvl" else 0  # of two, whose output the projector gets
    patches = patches_of(build(family, decoder, attention=attention), batch(rows))
    for row, inputs in enumerate(rows):
        pixels = inputs["pixel_values"]
        if family == "llava_next":
            core, sizes = eager.model, inputs["image_sizes"]
            grids = [1 + down * across for down, across in (tiling(tuple(size)) for size in sizes.tolist())]
            pixels = torch.cat([part[:count] for part, count in zip(pixels, grids, strict=True)])
        paid, keys = tower_of(eager, pixels, layer)
        values = torch.cat((paid[..., None], keys, torch.ones_like(paid)[..., None]), dim=-1)
        if family == "llava_next":
            newline = torch.zeros(values.shape[-1])
            wanted = torch.cat(core.pack_image_features(values.split(grids), sizes, "default", newline)[0])
        elif family == "internvl":
            side = 2 * GRID
            shuffled = eager.model.pixel_shuffle(values.view(-1, side, side, values.shape[-1])).flatten(0, 2)
            wanted = shuffled.unflatten(-1, (4, -1)).mean(dim=1)
        else:
            wanted = values.flatten(0, 1)
        count = int((inputs["input_ids"] == IMAGE).sum())
        torch.testing.assert_close(patches.attention[row, :count], wanted[:, 0])
        torch.testing.assert_close(patches.keys[row, :count], wanted[:, 1:-1])
        assert torch.equal(patches.present[row, :count], wanted[:, -1] == 1)
        assert not patches.present[row, count:].any()


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        ({}, 0),
        ({"vision_feature_layer": -1}, 1),
        ({"vision_feature_layer": 1}, 0),
        ({"vision_feature_layer": [0, -1]}, 1),
    ],
)
@pytest.mark.parametrize("strategy", ["default", "full"])
def test_patches_come_from_the_layer_whose_output_the_projector_gets(tiny, options, layer, strategy):
    model = tiny.build(attention="eager", vision_feature_select_strategy=strategy, **options)
    extra = int(strategy == "full")
    inputs = tiny.prompts(LENGTHS, per_image=tiny.grid**2 + extra)
    patches = patches_of(model, inputs)
    paid, keys = tower_of(model, inputs["pixel_values"], layer)
    torch.testing.assert_close(patches.attention[:, extra:], paid)
    torch.testing.assert_close(patches.keys[:, extra:], keys)
    # The class token itself may not be dropped, whatever it pays.
    assert patches.present[:, extra:].all() and not patches.present[:, :extra].any()


def test_without_a_class_token_all_patches_pay():
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text_config("llama"),
        image_token_id=IMAGE,
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(0)
    model = ready(LlavaForConditionalGeneration(config), "eager")
    inputs = batch([prompt(model, [1], seed=seed) for seed in range(2)])
    patches = patches_of(model, inputs)
    paid, keys = tower_of(model, inputs["pixel_values"], 0, class_token=False)
    torch.testing.assert_close(patches.attention, paid)
    torch.testing.assert_close(patches.keys, keys)
    assert patches.present.all()
    with VisionZip(0.5, contextual=0.5).attach(model) as pruned:
        assert torch.equal(generate(model, inputs, tokens=3), generate(model, inputs, tokens=3, use_cache=False))
        assert [len(row[0].indices) for row in pruned.kept] == [8, 8]


def test_visionzip_drops_newlines_first_and_merges_none():
    model = build("llava_next", "llama")
    inputs = prompt(model, IMAGES["llava_next"][1])
    patches = patches_of(model, inputs)
    with torch.no_grad(), VisionZip(0.4, contextual=0.3).attach(model) as pruned:
        model(**inputs)
        means = merged(pruned)
        kept = torch.zeros(len(patches.present[0]), dtype=torch.bool)
        kept[flat(pruned.kept[0])] = True
    only_means = [replace(part, indices=part.indices[part.merged]) for part in pruned.kept[0]]
    assert flat(only_means) == sorted(means) != []
    newline = ~patches.present[0]
    assert newline.sum() > 4 and not (kept & newline).any()
    together = sorted(token for members in means.values() for token in members)
    assert len(together) == len(set(together)) and not newline[together].any()
    # Every patch is either dominant or in one mean.
    assert len(together) + int(kept.sum()) - len(means) == int((~newline).sum())


# ---- what is refused


def test_images_encoded_outside_the_block_are_refused(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad():
        encoded = {"image": model.get_image_features(inputs.pop("pixel_values"), return_dict=True)}
        with (
            VisionZip(0.5).attach(model),
            pytest.raises(ValueError, match="attention was not seen"),
        ):
            model(**inputs, mm_encoder_outputs=dict(encoded))
        with VisionZip(1.0).attach(model):  # needs to know nothing
            model(**inputs, mm_encoder_outputs=dict(encoded))


def test_images_encoded_within_the_block_are_seen(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), VisionZip(0.5).attach(model) as pruned:
        model(**inputs)
        kept = indices(pruned)
        encoded = {"image": model.get_image_features(inputs.pop("pixel_values"), return_dict=True)}
        model(**inputs, mm_encoder_outputs=encoded)
        assert indices(pruned) == kept


def test_a_tower_without_the_layer_is_refused(tiny):
    model = tiny.build(vision_feature_layer=0)
    with pytest.raises(
        ValueError,
        match=r"visionzip .* CLIPVisionModel .* vision_feature_layer 0",
    ):
        VisionZip(0.5).attach(model)
    assert FastV(0.5).attach(model).first_layer == 2  # others do not need it


def test_the_tower_has_hooks_only_for_methods_that_name_it_in_their_needs(tiny, model):
    class Silent(RandomPruning):
        def select(self, features, counts):
            return highest(features.tower().attention, counts, features.valid)

    before = [len(module._forward_hooks) for module in model.model.vision_tower.modules()]
    with Silent(0.5).attach(model):
        assert [len(module._forward_hooks) for module in model.model.vision_tower.modules()] == before
        with pytest.raises(ValueError, match=r"Silent.*needs.*tower"):
            model(**tiny.prompts(LENGTHS))


def test_spectral_budgets_of_the_towers_output_for_tiled_images():
    """One budget for all tiles of a prompt, whether the family has as many grids as tiles or not."""
    for family, decoder in FAMILIES:
        model = build(family, decoder)
        rows = rows_of(model, family)
        method = FastV(SpectralBudget(0.9, features="vision", centre=True), layer=1)
        with torch.no_grad(), method.attach(model) as pruned:
            model(**batch(rows))
            together = [sum(len(part.indices) for part in row) for row in pruned.kept]
            for number, row in enumerate(rows):
                model(**row)
                assert sum(len(part.indices) for part in pruned.kept[0]) == together[number]
        assert len(set(together)) > 1
