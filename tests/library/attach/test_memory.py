"""Ways to save memory: quantised and offloaded caches, weights that live elsewhere, gradient checkpointing."""

import copy
from functools import partial

import pytest
import torch
from helpers.attaching import BY_NAME, LENGTHS, METHODS, first_fast, generate, indices
from helpers.tiny_families import IMAGES, TODAY, batch, build, prompt
from transformers import DynamicCache, QuantizedCache
from transformers.cache_utils import Cache, DynamicLayer, Fp8QuantizedLayer, QuantizedLayer
from transformers.utils import is_hqq_available, is_optimum_quanto_available

from vtprune.attach import Prefix, attach_all
from vtprune.errors import UserError
from vtprune.methods import FastV, PyramidDrop, RandomPruning, VisionZip, get_method

pytestmark = pytest.mark.slow

accelerate = pytest.importorskip("accelerate")  # offloads weights; the library does not need it

FEW = [FastV(0.25), VisionZip(0.5), PyramidDrop(0.25), get_method("divprune", keep=0.3)]
CPU = torch.device("cpu")


class LosslessLayer(QuantizedLayer):
    """A quantised layer whose quantisation changes nothing; of the last tokens, three are not quantised yet."""

    def __init__(self):
        super().__init__(residual_length=3)

    def _quantize(self, tensor, axis):
        return tensor.clone()

    def _dequantize(self, q_tensor):
        return q_tensor


def caches(model):
    """Functions that make a cache, by name."""
    config = model.config.text_config
    return {
        "dynamic": lambda: DynamicCache(config=config),
        "growing": DynamicCache,
        "quantised": lambda: Cache(layer_class_to_replicate=LosslessLayer),
        "quantised, all layers": lambda: Cache(layers=[LosslessLayer() for _ in range(config.num_hidden_layers)]),
    }


# ---- caches


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_quantised_caches_hold_the_pruned_prompt(tiny, model, method, options):
    inputs = tiny.prompts(LENGTHS)
    with method.attach(model) as pruned:
        expected = generate(model, inputs, **options), indices(pruned)
        for make in caches(model).values():
            found = generate(model, inputs, past_key_values=make(), **options)
            assert torch.equal(found, expected[0]) and indices(pruned) == expected[1]


@pytest.mark.parametrize("method", FEW, **BY_NAME)
def test_an_8_bit_cache_holds_the_pruned_prompt_in_8_bits(tiny, model, method):
    inputs, calls = tiny.prompts(LENGTHS), {"do_sample": False, "max_new_tokens": 2}
    quantised = {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}}
    with torch.no_grad(), method.attach(model) as pruned:
        exact = generate(model, inputs, tokens=2), indices(pruned)
        outputs = {"output_logits": True, "return_dict_in_generate": True}
        found = model.generate(**inputs, **calls, **outputs, **quantised)
        assert indices(pruned) == exact[1]
        # A prompt is quantised after it was used, so the first answered token is the same.
        assert torch.equal(found.sequences[:, -2], exact[0][:, 0])
        # The same by hand: an exact cache whose layers are quantised afterwards.
        cache, mask = DynamicCache(config=model.config.text_config), inputs["attention_mask"]
        model(**inputs, position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0), past_key_values=cache)
        for number, layer in enumerate(cache.layers):
            cache.layers[number] = Fp8QuantizedLayer()
            cache.layers[number].update(layer.keys, layer.values)
        expected = model(
            input_ids=found.sequences[:, -2:-1],
            attention_mask=torch.nn.functional.pad(mask, (0, 1), value=1),
            position_ids=mask.sum(dim=1, keepdim=True),
            past_key_values=cache,
        ).logits[:, -1]
    assert torch.equal(found.logits[1], expected)


@pytest.mark.parametrize("backend", ["hqq", "quanto"])
def test_a_backend_that_is_not_installed_is_named_by_transformers(tiny, model, backend):
    inputs = tiny.prompts(LENGTHS)
    quantised = {"cache_implementation": "quantized", "cache_config": {"backend": backend}}
    with FastV(0.25).attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
        if is_hqq_available() if backend == "hqq" else is_optimum_quanto_available():
            assert generate(model, inputs, **quantised).shape == expected[0].shape
        else:
            with pytest.raises(ImportError, match=f"(?i){backend}"):
                generate(model, inputs, **quantised)
            assert torch.equal(generate(model, inputs), expected[0])
        assert indices(pruned) == expected[1]


class Stream:
    """As much of a CUDA stream as an offloaded cache uses."""

    def __init__(self, *arguments):
        pass

    def wait_stream(self, other):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


class Away:
    """States on another device: they have a shape, and can be brought back, but nothing can be computed with them."""

    def __init__(self, states):
        self.states, self.shape, self.device = states, states.shape, "away"

    def numel(self):
        return self.states.numel()

    def clone(self):
        return Away(self.states.clone())


@pytest.fixture
def offloading(monkeypatch):
    """Let offloaded caches work without a GPU; states that are away cannot be used."""

    def offload(layer):
        layer.keys, layer.values = Away(layer.keys), Away(layer.values)

    def prefetch(layer):
        if layer.is_initialized and isinstance(layer.keys, Away):
            layer.keys, layer.values = layer.keys.states, layer.values.states

    monkeypatch.setattr(torch, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "default_stream", Stream)
    monkeypatch.setattr(DynamicLayer, "offload", offload)
    monkeypatch.setattr(DynamicLayer, "prefetch", prefetch)


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_offloaded_caches(tiny, model, offloading, method):
    inputs = tiny.prompts(LENGTHS)
    with method.attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
        cache = DynamicCache(config=model.config.text_config, offloading=True)
        assert torch.equal(generate(model, inputs, past_key_values=cache), expected[0])
        assert torch.equal(generate(model, inputs, cache_implementation="offloaded"), expected[0])
        assert indices(pruned) == expected[1]
    assert sum(isinstance(layer.keys, Away) for layer in cache.layers) == len(cache.layers) - 1


def shared(model, inputs, make, methods=FEW):
    """The answers of methods that share a prefix, each with a cache of its own."""
    prefix, answers = Prefix(inputs), {}
    for index, attachment in attach_all(methods, model, prefix):
        with attachment:
            output = model.generate(**prefix.inputs, past_key_values=make(), do_sample=False, max_new_tokens=6)
            answers[index] = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [answers[index] for index in range(len(methods))]


def test_a_prefix_is_shared_in_caches_of_every_kind(tiny, model, offloading):
    inputs, expected = tiny.prompts(LENGTHS), []
    for method in FEW:
        with method.attach(model):
            expected.append(generate(model, inputs).tolist())
    kinds = {**caches(model), "offloaded": lambda: DynamicCache(config=model.config.text_config, offloading=True)}
    for name, make in kinds.items():
        assert shared(model, inputs, make) == expected, name
    for kind in ("quantised", "quantised, all layers"):
        makers = [kinds["dynamic"], kinds[kind]]
        with pytest.raises(UserError, match="caches of one kind"):
            shared(model, inputs, lambda makers=makers: makers.pop(0)(), [FastV(0.25), FastV(0.5, layer=3)])


def test_a_cache_that_is_reset_leaves_its_prefix_as_it_is(tiny, model):
    inputs, made = tiny.prompts(LENGTHS), []

    def make():
        if made:
            made[-1].reset()
        made.append(DynamicCache(config=model.config.text_config))
        return made[-1]

    assert shared(model, inputs, make) == shared(model, inputs, caches(model)["dynamic"])


def test_a_prefix_with_sliding_layers():
    """As in the checkpoints of Gemma 3, whose first layers see a window."""
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    model = build("gemma3", layers=4, layer_types=kinds)
    inputs = batch([prompt(model, images, seed=seed) for seed, images in enumerate(IMAGES["gemma3"])])
    methods = [FastV(0.3, layer=2), RandomPruning(0.3, layer=3), get_method("divprune", keep=0.3)]
    assert inputs["input_ids"].shape[1] > model.config.text_config.sliding_window
    expected = []
    for method in methods:
        with method.attach(model):
            expected.append(generate(model, inputs).tolist())
    prefix = Prefix(inputs)
    for index, attachment in attach_all(methods, model, prefix):
        with attachment:
            assert generate(model, {"input_ids": inputs["input_ids"], **prefix.inputs}).tolist() == expected[index]


# ---- weights that live elsewhere


def offloaded(model, how, folder):
    """The model with the hooks of accelerate."""
    if how == "cpu":
        return accelerate.cpu_offload(model, execution_device=CPU)
    if how == "disk":
        return accelerate.disk_offload(model, folder, execution_device=CPU)
    places = {name: "cpu" for name, _ in model.model.named_children() if name != "language_model"} | {"lm_head": "cpu"}
    places |= {f"language_model.{name}": "cpu" for name, _ in model.model.language_model.named_children()}
    del places["language_model.layers"]
    layers = range(len(model.model.language_model.layers))
    places |= {f"language_model.layers.{layer}": ("cpu", "disk")[layer % 2] for layer in layers}
    places = {name if name == "lm_head" else f"model.{name}": place for name, place in places.items()}
    return accelerate.dispatch_model(model, places, main_device="cpu", offload_dir=folder, force_hooks=True)


@pytest.mark.parametrize("how", first_fast(["device map", "cpu", "disk"]))
@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_offloaded_weights(tiny, tmp_path, how, method):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    with method.attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
    model = offloaded(model, how, tmp_path)
    assert any(weight.is_meta for weight in model.parameters())
    with method.attach(model) as pruned:
        assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]


def test_weights_are_offloaded_within_the_block(tiny):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    unpruned = generate(model, inputs)
    with FastV(0.25).attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
        accelerate.cpu_offload(model, execution_device=CPU)
        assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]
    assert torch.equal(generate(model, inputs), unpruned)


# The models of these two families read their weights past the hooks of accelerate, also without pruning.
OFFLOADED = [case for case in TODAY if case[0] not in ("llava_onevision", "idefics3")]


@pytest.mark.parametrize("case", first_fast(OFFLOADED), ids=lambda case: case[0])
def test_offloaded_weights_of_every_family(case):
    model = build(*case, layers=4)
    inputs = prompt(model, IMAGES[case[0]][1])
    methods = [get_method("divprune", keep=0.3), RandomPruning(0.3, layer=2)]
    methods += [] if case[0] == "gemma3" else [FastV(0.3, layer=3), get_method("adaptprune", keep=0.3, layer=3)]
    expected = []
    for method in methods:
        with method.attach(model) as pruned:
            expected.append((generate(model, inputs).tolist(), indices(pruned)))
    accelerate.cpu_offload(model, execution_device=CPU)
    for method, (answers, kept) in zip(methods, expected, strict=True):
        with method.attach(model) as pruned:
            assert generate(model, inputs).tolist() == answers and indices(pruned) == kept


# ---- gradient checkpointing


def gradients(model, method, inputs, *, inside):
    """The loss of the last token, the kept tokens, and the gradient of each weight that has one."""
    model.zero_grad()
    with method.attach(model) as pruned:
        loss = model(**inputs).logits[:, -1].square().sum()
        kept = indices(pruned)
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return loss.item(), kept, found


def assert_same_gradients(model, method, inputs, reentrant):
    model.train()
    expected = gradients(model, method, inputs, inside=True)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    for inside in (True, False):
        found = gradients(model, method, inputs, inside=inside)
        assert found[:2] == expected[:2]
        assert found[2].keys() == expected[2].keys()
        assert all(torch.equal(found[2][name], value) for name, value in expected[2].items())


@pytest.mark.parametrize("reentrant", [False, True], ids=["", "reentrant"])
@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_gradient_checkpointing(tiny, method, reentrant):
    """The backward pass runs the layers again: within the block, and after it, when the hooks are gone."""
    assert_same_gradients(tiny.build(kv_heads=2), method, tiny.prompts(LENGTHS), reentrant)


@pytest.mark.parametrize("case", first_fast(TODAY), ids=lambda case: case[0])
def test_gradient_checkpointing_in_every_family(case):
    model = build(*case, layers=4)
    inputs = prompt(model, IMAGES[case[0]][0])
    for method in (VisionZip(0.3), RandomPruning(0.3, layer=2), get_method("divprune", keep=0.3)):
        assert_same_gradients(copy.deepcopy(model), method, inputs, False)


def test_gradients_of_a_checkpointed_prompt_after_another_prompt(tiny):
    """The layers run again do not disturb what the block remembers of the later prompt."""
    model, first, second = tiny.build(kv_heads=2), tiny.prompts(LENGTHS), tiny.prompts(((3, 5),), seed=1)
    model.train()
    expected = gradients(model, FastV(0.25), first, inside=True)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.zero_grad()
    with FastV(0.25).attach(model) as pruned:
        loss = model(**first).logits[:, -1].square().sum()
        with torch.no_grad():
            model(**second)
        kept = indices(pruned)
        loss.backward()
        assert indices(pruned) == kept
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert found.keys() == expected[2].keys()
    assert all(torch.equal(found[name], value) for name, value in expected[2].items())


def test_transformers_own_quantised_cache_is_shared(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    make, expected = partial(QuantizedCache, "fp8", config=model.config.text_config), []
    for method in FEW:
        with method.attach(model):
            expected.append(generate(model, inputs, past_key_values=make()).tolist())
    assert shared(model, inputs, make) == expected
