"""Images that are encoded before their prompts: what methods use of them is found by the features, in any order."""

import gc
import inspect
import weakref

import pytest
import torch
from helpers.attaching import first_fast, generate, merged
from helpers.tiny_families import IMAGES, TODAY, build, flat, prompt

from vtprune.attach.families import family_of
from vtprune.errors import UserError
from vtprune.methods import FastV, RandomPruning, SpectralBudget, VisionZip

FAMILIES = [("llava", "mistral"), ("llava_next", "llama"), ("internvl", "qwen2"), *TODAY]
METHODS = {
    "visionzip": VisionZip(0.3, contextual=0.4),
    "vision": FastV(SpectralBudget(0.9, features="vision", centre=True), layer=1),
    "random": RandomPruning(0.4, layer=0),
    "random-1": RandomPruning(0.4, layer=1),
    "fastv": FastV(0.3, layer=1),
}
by_method = pytest.mark.parametrize("method", first_fast(list(METHODS.values())), ids=METHODS)


@pytest.fixture(scope="module", params=first_fast(FAMILIES), ids=lambda case: case[0])
def case(request):
    """A model, and three prompts for it: the first two differ in what their pictures show alone."""
    model, images = build(*request.param), IMAGES[request.param[0]]
    prompts = [prompt(model, images[0]), prompt(model, images[0], seed=1), prompt(model, images[1], seed=2)]
    prompts[1]["input_ids"] = prompts[0]["input_ids"]
    prompts[1]["pixel_values"] = simpler(prompts[1]["pixel_values"])
    return model, prompts


def simpler(pixels):
    """For which spectral budgets are smaller."""
    return pixels * torch.linspace(0.02, 2.0, pixels.shape[-1])


def encode(model, inputs):
    """The prompt's text, and the features of its images."""
    arguments = inspect.signature(model.model.get_image_features).parameters
    images = {name: inputs[name] for name in arguments if name in inputs}
    # Qwen's positions need the grids, too.
    text = {name: inputs[name] for name in inputs if name not in images or name == "image_grid_thw"}
    return text, model.get_image_features(**images, return_dict=True)


def chosen(pruned):
    return flat(pruned.kept[0]), merged(pruned)


@by_method
@torch.no_grad()
def test_features_can_be_used_in_any_order(case, method):
    model, prompts = case
    with method.attach(model) as pruned:
        expected = [(model(**inputs).logits, chosen(pruned)) for inputs in prompts]
        if method != METHODS["fastv"]:  # for which nothing needs to go with the features
            assert expected[0][1] != expected[1][1]
        for order in ((0, 1, 2), (2, 1, 0)):
            ahead = [encode(model, inputs) for inputs in prompts]
            for number in order:
                text, features = ahead[number]
                for _ in range(2):  # two questions about the same images
                    logits = model(**text, mm_encoder_outputs={"image": features}).logits
                    assert torch.equal(logits, expected[number][0]) and chosen(pruned) == expected[number][1]
                assert torch.equal(model(**prompts[1]).logits, expected[1][0])  # and one that brings its own between


@by_method
def test_generate_can_use_features_in_any_order(case, method):
    """Also where the features reach the model in another output, as from inputs of another device."""
    model, prompts = case

    def put_into_another(module, args, kwargs):
        ahead = kwargs.get("mm_encoder_outputs")
        if ahead:
            ahead = {name: type(features)(dict(features)) for name, features in ahead.items()}
        return args, {**kwargs, "mm_encoder_outputs": ahead}

    with torch.no_grad(), method.attach(model) as pruned:
        expected = [(generate(model, inputs, tokens=3), chosen(pruned)) for inputs in prompts]
        ahead = [encode(model, inputs) for inputs in prompts]
        handle = model.register_forward_pre_hook(put_into_another, with_kwargs=True)
        ahead = [(text, type(features)(dict(features))) for text, features in ahead]  # the first outputs are gone
        for number in (1, 0, 2):
            text, features = ahead[number]
            for options in ({}, {"use_cache": False}):
                tokens = generate(model, text, tokens=3, mm_encoder_outputs={"image": features}, **options)
                assert torch.equal(tokens, expected[number][0]) and chosen(pruned) == expected[number][1]
        handle.remove()


@torch.no_grad()
def test_features_from_outside_stay_unknown_when_others_are_encoded(case):
    """Features from outside the block stay unknown when others have been encoded within it."""
    model, prompts = case
    text, outside = encode(model, prompts[0])
    sizes = {name: prompts[0][name] for name in ("image_sizes",) if name in prompts[0]}
    for method in (METHODS["visionzip"], METHODS["vision"]):
        with method.attach(model):
            _, inside = encode(model, prompts[1])
            with pytest.raises(UserError, match="not seen"):
                model(**text, **sizes, mm_encoder_outputs={"image": outside})
        del inside
    chosen_without = []
    for others in (False, True):
        with METHODS["random"].attach(model) as pruned:
            features = encode(model, prompts[1])[1] if others else None
            model(**text, **sizes, mm_encoder_outputs={"image": outside})
            chosen_without.append(chosen(pruned))
            del features
    assert chosen_without[0] == chosen_without[1]


@torch.no_grad()
def test_tensors_are_freed_with_the_features_and_on_leaving(case):
    model, prompts = case
    method, seen = METHODS["visionzip"], []
    tower = family_of(model).vision_tower(model)
    attention = [module for module in tower.modules() if hasattr(module, "k_proj")]
    if not attention:
        pytest.skip("a tower that projects queries, keys and values at once frees them anyway")
    handles = [
        module.k_proj.register_forward_hook(lambda m, a, out: seen.append(weakref.ref(out))) for module in attention
    ]
    gc.disable()  # on a GPU, waiting for the collector is running out of memory
    try:
        with method.attach(model):
            text, features = encode(model, prompts[0])
            model(**text, mm_encoder_outputs={"image": features})
            assert sum(ref() is not None for ref in seen) == 1  # of the layer that the method looks at
            del features
            assert all(ref() is None for ref in seen)
            model(**prompts[0])
            assert len(seen) == 2 * len(attention) and all(ref() is None for ref in seen)
            features = encode(model, prompts[0])[1]
        assert features.pooler_output is not None and all(ref() is None for ref in seen)
    finally:
        gc.enable()
        for handle in handles:
            handle.remove()
