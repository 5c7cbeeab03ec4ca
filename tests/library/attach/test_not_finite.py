"""NaN and infinity in what a method chooses by are an error that names method, layer and prompt; elsewhere, none."""

import math

import pytest
import torch
from helpers.attaching import LENGTHS, METHODS, indices
from helpers.tiny_families import CASES, IMAGES, build, prompt

from vtprune.attach import Prefix, attach, attach_all
from vtprune.attach.attention import attention_received, paid_by_each, paid_by_last
from vtprune.attach.recording import Recorded
from vtprune.errors import UserError
from vtprune.methods import AdaptPrune, FastV, FitPrune, RandomPruning, SpectralBudget, VisionZip, get_method, methods

SCORED = [method for method in METHODS if any(stage.least_layer > 0 for stage in method.stages())]
BY_TOWER = [method for method in METHODS if any("tower" in stage.ranking.needs for stage in method.stages())]
BY_EMBEDDINGS = [
    method for method in METHODS if method.name in ("divprune", "pooled", "scope", "vispruner", "cdpruner")
]
ARBITRARY = [method for method in METHODS if method.name in ("random", "last", "none", "vtw")]


def refused(model, method, inputs, place):
    """A method refuses prompts, in one sentence that names itself and `place`."""
    with torch.no_grad(), method.attach(model) as pruned:
        with pytest.raises(UserError, match=f"^{method.name} .* {place}") as raised:
            model(**inputs)
        assert "\n" not in str(raised.value)
        with pytest.raises(UserError, match="no prompt has been pruned"):
            _ = pruned.kept


def layers(model):
    return model.model.language_model.layers


def test_a_nan_in_the_key_projection_of_a_scored_layer(tiny):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    for method in SCORED:
        first = method.attach(model).stage_layers[0]
        weight = layers(model)[first - 1].self_attn.k_proj.weight
        with torch.no_grad():
            weight[0, 0], good = math.nan, float(weight[0, 0])
            refused(model, method, inputs, f"layer {first}: .* layer {first - 1} of prompt 0 ")
            weight[0, 0] = good


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_that_overflow(tiny, dtype):
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    model = tiny.build(kv_heads=2).to(dtype)
    with torch.no_grad():
        for projection in (layers(model)[1].self_attn.k_proj, layers(model)[1].self_attn.q_proj):
            projection.weight *= 1e25
    for method in (FastV(0.25), AdaptPrune(0.25), FitPrune(0.25)):
        refused(model, method, inputs, "layer 2: .* layer 1 of prompt 0 ")


def test_keys_that_only_the_similarity_looks_at(tiny):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    with torch.no_grad():
        layers(model)[2].self_attn.k_proj.weight[0, 0] = math.inf
    for reading in ("as_published", "as_written"):
        refused(model, AdaptPrune(0.25, reading=reading), inputs, "layer 2: the keys of layer 2 of prompt 0 ")
    with torch.no_grad(), AdaptPrune(0.25, similarity=False).attach(model) as pruned:
        model(**inputs)
        assert len(pruned.kept) == 3


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_image_features_of_one_prompt(tiny, model, wrong):
    """Made by the projector: the tower's attention is finite."""
    inputs = tiny.prompts(LENGTHS)

    def spoil(module, args, output):
        output[1, 5, 3] = wrong
        return output

    handle = model.model.multi_modal_projector.register_forward_hook(spoil)
    try:
        for method in SCORED:
            refused(model, method, inputs, "prompt 1 ")
        for method in BY_EMBEDDINGS:
            refused(model, method, inputs, "layer 0: the image features of prompt 1 ")
        for features, where in (("projected", "the image features"), ("hidden", "the hidden states before layer 2")):
            budget = SpectralBudget(0.9, features=features)
            refused(model, RandomPruning(budget), inputs, f"layer 2: {where} of prompt 1 ")
    finally:
        handle.remove()


def test_pixels_of_one_prompt(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    inputs["pixel_values"][2, 0, 4, 4] = math.nan
    for method in (*SCORED, *BY_TOWER, *BY_EMBEDDINGS):
        refused(model, method, inputs, "prompt 2 ")
    budget = SpectralBudget(0.9, features="vision")
    refused(model, RandomPruning(budget), inputs, "the vision tower's outputs of prompt 2 ")


def test_the_attention_of_the_vision_tower(tiny):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    tower = model.model.vision_tower
    stack = next(module for module in tower.modules() if isinstance(module, torch.nn.ModuleList))
    with torch.no_grad():
        stack[model.config.vision_feature_layer + len(stack)].self_attn.k_proj.weight[0, 0] = math.nan
    for method in BY_TOWER:
        refused(model, method, inputs, "layer 0: the attention weights in the vision tower of prompt 0 ")


def test_choices_that_look_at_no_number_are_made(tiny, model):
    """The answer is as wrong as that of the unpruned model, and the choice is the one of finite numbers."""
    inputs, spoiled = tiny.prompts(LENGTHS), tiny.build(kv_heads=2)
    with torch.no_grad():
        layers(spoiled)[0].self_attn.k_proj.weight[0, 0] = math.nan
    for method in ARBITRARY:
        with torch.no_grad(), method.attach(model) as pruned:
            model(**inputs)
            expected = indices(pruned)
        with torch.no_grad(), method.attach(spoiled) as pruned:
            assert model.training is False and spoiled(**inputs).logits[:, -1].isnan().all()
            assert indices(pruned) == expected


def test_what_is_not_finite_in_padding_alone_changes_nothing():
    torch.manual_seed(0)
    states = Recorded(torch.randn(2, 4, 7, 8), torch.randn(2, 2, 7, 8), 0.3)
    attended = torch.ones(2, 7, dtype=torch.bool)
    attended[1, :3] = False
    groups = torch.stack((attended, attended & (torch.arange(7) % 2 == 0)), dim=1)
    payers = torch.tensor([[4, 5, 6]] * 2)

    def scores():
        return (
            paid_by_last(states, attended),
            attention_received(states, attended, groups),
            paid_by_each(states, attended, payers),
        )

    expected = scores()
    for part in (states.query, states.key):
        part[1, :, :3] = math.nan
    assert all(map(torch.equal, scores(), expected))


def test_each_method_of_a_prefix_is_named(tiny):
    model, prefix = tiny.build(kv_heads=2), Prefix(tiny.prompts(LENGTHS))
    with torch.no_grad():
        layers(model)[1].self_attn.q_proj.weight[0, 0] = math.nan
    methods = [FastV(0.25), AdaptPrune(0.25), FitPrune(0.25)]
    for index, attachment in attach_all(methods, model, prefix):
        with attachment, pytest.raises(UserError, match=f"^{methods[index].name} .*layer 1 of prompt 0"):
            model.generate(**prefix.inputs, max_new_tokens=1)


def test_a_prompt_after_one_that_was_refused_is_pruned(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    spoiled = {**inputs, "pixel_values": inputs["pixel_values"].masked_fill(inputs["pixel_values"] > 2, math.nan)}
    with torch.no_grad(), attach(VisionZip(0.5), model) as pruned:
        expected = model(**inputs).logits, indices(pruned)
        with pytest.raises(UserError, match="visionzip"):
            model(**spoiled)
        assert torch.equal(model(**inputs).logits, expected[0]) and indices(pruned) == expected[1]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("family", "decoder"), CASES)
def test_every_method_refuses_or_looks_at_nothing_in_every_family(family, decoder):
    """With pixels of the first prompt that are not numbers: a choice is made only by methods that need none."""
    model = build(family, decoder, layers=4)
    inputs = prompt(model, IMAGES[family][0])
    inputs["pixel_values"] = torch.full_like(inputs["pixel_values"], math.nan)
    blind = {method.name for method in ARBITRARY}
    for name, kind in methods().items():
        method = get_method(name, keep=0.3) if kind.takes_keep() else get_method(name)
        if name in blind:
            with torch.no_grad(), method.attach(model) as pruned:
                model(**inputs)
                assert len(pruned.kept) == 1
        else:
            refused(model, method, inputs, "layer [0-9]+: .* of prompt 0 ")
