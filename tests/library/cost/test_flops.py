"""The cost model against torch's own counter, on tiny models and on the real sizes without weights."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModel,
    CLIPVisionConfig,
    DynamicCache,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
)

from vtprune.cost import Workload, cost, layer_tokens, parameters, shape_of
from vtprune.methods import Count, Fraction, NoPruning, RandomPruning, get_method, methods
from vtprune.methods.base import Method
from vtprune.stages import Stage
from vtstudy.experiments.paper_models import SIZES

pytestmark = pytest.mark.slow

IMAGE, SIDE = 3, 4
CLIP = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8}


def text(kv_heads=2):
    return LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=72,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
    )


def llava(attention="sdpa", **options):
    vision = CLIPVisionConfig(**CLIP, image_size=8 * SIDE)
    config = LlavaConfig(vision_config=vision, text_config=text(), image_token_index=IMAGE, **options)
    model = LlavaForConditionalGeneration(config).eval()
    model.set_attn_implementation(attention)
    return model, {"pixel_values": torch.randn(1, 3, 32, 32)}, Workload(SIDE**2, 7)


def llava_next():
    vision = CLIPVisionConfig(**CLIP, image_size=8 * SIDE)
    config = LlavaNextConfig(
        vision_config=vision, text_config=text(), image_token_index=IMAGE, image_grid_pinpoints=[[64, 64]]
    )
    inputs = {"pixel_values": torch.randn(1, 5, 3, 32, 32), "image_sizes": torch.tensor([[64, 64]])}
    # 8 newline tokens stand where image tokens do in the prompt, but on no grid.
    return LlavaNextForConditionalGeneration(config).eval(), inputs, Workload(5 * SIDE**2, 7 + 8, tiles=5)


def internvl():
    vision = InternVLVisionConfig(
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    config = InternVLConfig(vision_config=vision, text_config=text(), image_token_id=IMAGE)
    inputs = {"pixel_values": torch.randn(3, 3, 32, 32)}
    return InternVLForConditionalGeneration(config).eval(), inputs, Workload(3 * 4, 7, tiles=3)


@torch.no_grad()
def counted(model, inputs, workload, method=None, placeholders=None) -> tuple[int, DynamicCache]:
    """FLOPs by torch's counter of one prompt and its answer, and the cache that they leave."""
    image = workload.image_tokens if placeholders is None else placeholders
    words = workload.image_tokens + workload.text_tokens - image
    ids = torch.tensor([[5] * (words - 1) + [IMAGE] * image + [6]])
    cache = DynamicCache(config=model.config.text_config)
    with FlopCounterMode(display=False) as counter, method.attach(model) if method else nullcontext():
        model(input_ids=ids, past_key_values=cache, logits_to_keep=1, **inputs)
        for step in range(workload.new_tokens - 1):
            position = torch.tensor([[ids.shape[1] + step]])
            model(input_ids=ids[:, :1], position_ids=position, past_key_values=cache)
    angles = sum(
        n for name, part in counter.get_flop_counts().items() if name.endswith("rotary_emb") for n in part.values()
    )
    return counter.get_total_flops() - angles, cache


def cached_bytes(cache) -> int:
    return sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in cache.layers)


@pytest.mark.parametrize("build", [llava, llava_next, internvl])
def test_an_unpruned_model_costs_what_torch_counts(build):
    model, inputs, workload = build()
    workload = Workload(workload.image_tokens, workload.text_tokens, workload.tiles, new_tokens=4)
    placeholders = workload.image_tokens + (8 if build is llava_next else 0)
    flops, cache = counted(model, inputs, workload, placeholders=placeholders)
    found = cost(model.config, NoPruning(), workload, cache_bytes_per_value=4)
    assert found.flops == flops
    assert found.cache_bytes == cached_bytes(cache)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "eager"},
        {"vision_feature_layer": [-2, -1]},
        {"vision_feature_select_strategy": "full"},
    ],
)
def test_other_llava_configurations_cost_what_torch_counts(options):
    model, inputs, workload = llava(**options)
    tokens = SIDE**2 + ("vision_feature_select_strategy" in options)
    workload = Workload(tokens, 7)
    flops, _ = counted(model, inputs, workload)
    assert cost(model.config, NoPruning(), workload).flops == flops


class Twice(Method):
    """Two stages, of which the second ranks by keys too."""

    name = "twice"

    def stages(self):
        return [
            Stage(1, get_method("fastv", keep=0.5), Fraction(0.5)),
            Stage(3, get_method("adaptprune", keep=0.5), Count(3)),
        ]


def every_method():
    """All that are registered, at a layer that the tiny model has."""
    for name, cls in methods().items():
        layer = {"layer": 2} if "layer" in cls.__dataclass_fields__ else {}
        yield get_method(name, **({"keep": 0.3} if cls.takes_keep() else {}), **layer)


@pytest.mark.parametrize(
    "method",
    [
        *every_method(),
        Twice(),
        get_method("fastv", keep=1.0),
        get_method("adaptprune", keep=0.3, similarity=False),
        get_method("visionzip", keep=0.3, contextual=0.6),
    ],
    ids=lambda method: f"{method.name}-{getattr(method, 'similarity', '')}",
)
def test_a_pruned_model_costs_what_torch_counts(method):
    """A new method whose ranking multiplies matrices fails here until the cost model knows of it."""
    model, inputs, workload = llava()
    workload = Workload(workload.image_tokens, workload.text_tokens, new_tokens=3)
    flops, cache = counted(model, inputs, workload, method)
    found = cost(model.config, method, workload, cache_bytes_per_value=4)
    assert found.flops == flops
    assert found.cache_bytes == cached_bytes(cache)
    lengths = [layer.keys.shape[2] for layer in cache.layers]
    assert [tokens + workload.text_tokens + 2 for tokens in found.image_tokens] == lengths


def test_a_method_counts_the_products_of_its_selection():
    class Correlated(RandomPruning):
        def selection_flops(self, tokens, kept, widths):
            return 1000 * tokens + 10 * kept + widths.key

    model, _, workload = llava()
    plain, correlated = (cost(model.config, cls(4, layer=1), workload) for cls in (RandomPruning, Correlated))
    assert plain.selection == 0
    assert correlated.selection == 1000 * SIDE**2 + 40 + shape_of(model.config).decoder.key_width


def test_tokens_by_layer():
    assert layer_tokens(Twice(), 4, 16) == (16, 8, 8, 3)
    assert layer_tokens(get_method("fastv", keep=0.1), 4, 576) == (576, 576, 57, 57)
    assert layer_tokens(get_method("pyramiddrop"), 4, 576) == (576, 288, 144, 72)
    assert layer_tokens(get_method("visionzip", keep=64), 2, 576) == (64, 64)
    with pytest.raises(ValueError, match=r"fastv.*2 layers"):
        layer_tokens(get_method("fastv", keep=0.1), 2, 576)


def test_costs_that_cannot_be_known_are_refused():
    class OfTheImage:
        def count(self, features):
            return features.embeddings().sum(dim=(1, 2))

        def signature(self):
            return "of the image"

    with pytest.raises(ValueError, match="depends on the image"):
        layer_tokens(RandomPruning(OfTheImage()), 4, 16)
    with pytest.raises(ValueError, match="'gpt2'"):
        shape_of(type("Config", (), {"model_type": "gpt2", "vision_config": None, "text_config": None}))
    with pytest.raises(ValueError, match="text_tokens must be at least 1"):
        Workload(576, 0)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "InternVL2-2B" else pytest.mark.exhaustive) for name in SIZES]
)
def test_the_real_sizes_cost_what_torch_counts(name):
    """On the meta device the whole tower and decoder run at full size without a weight."""
    size = SIZES[name]
    config, shape = size.config(), shape_of(size.config())
    with torch.device("meta"), torch.no_grad():
        decoder = AutoModel.from_config(config.text_config)
        tower = AutoModel.from_config(config.vision_config)
        tokens = size.workload.image_tokens + size.workload.text_tokens
        height = config.vision_config.image_size
        height = height if isinstance(height, int) else height[0]
        with FlopCounterMode(display=False) as counter:
            # A mask of its own: making one looks at values, which the meta device has none of.
            mask = torch.empty(1, 1, tokens, tokens, dtype=torch.bool)
            decoder(inputs_embeds=torch.empty(1, tokens, shape.decoder.width), attention_mask=mask, use_cache=False)
        angles = sum(
            n for key, part in counter.get_flop_counts().items() if key.endswith("rotary_emb") for n in part.values()
        )
        with FlopCounterMode(display=False) as vision:
            tower(pixel_values=torch.empty(size.workload.tiles, 3, height, height))
    found = cost(shape, NoPruning(), size.workload)
    assert found.prefill == counter.get_total_flops() - angles
    assert found.tower == vision.get_total_flops()


# As the checkpoints' names and model cards have it, in billions: tower, projector and decoder together.
@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("LLaVA-1.5-7B", 7.06),
        ("LLaVA-1.5-13B", 13.35),
        ("LLaVA-NeXT-7B", 7.06),
        ("InternVL2-2B", 2.21),
        ("InternVL2-8B", 8.08),
    ],
)
def test_the_real_sizes_have_the_parameters_of_their_checkpoints(name, billions):
    assert parameters(SIZES[name].config()) / 1e9 == pytest.approx(billions, abs=0.02)
