"""The papers' checkpoints as the Hub has them, with tiny widths and random weights."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from helpers.internvl2_published import write_published_internvl2
from helpers.replicas.tokenizers import ANSWERS, write_llama, write_llama3

PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
# A spectral budget keeps at most as many tokens as the features are wide, and the study matches 192 of 576. So states
# are wide, but the heads and the inner layers are not, and the tower has fewer layers than the published 24.
WIDTH, HEAD_WIDTH, INNER_WIDTH, VISION_LAYERS = 256, 8, 32, 6
ANYRES_WIDTH = 640  # a third of the tokens of several tiles
VISION = {
    "image_size": 336,
    "intermediate_size": INNER_WIDTH,
    "model_type": "clip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": VISION_LAYERS,
    "patch_size": 14,
    "projection_dim": 16,
    "vocab_size": 32000,
}
LLAVA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
LLAMA3_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{# Render all text next #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
PIXELS = {
    "crop_size": {"height": 336, "width": 336},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 336},
}


@dataclass(frozen=True)
class _Decoder:
    """What differs between the published language models."""

    layers: int
    heads: int
    key_heads: int
    settings: Mapping[str, Any]
    special: Mapping[str, int]
    template: str
    write_tokenizer: Callable[[Path, dict[str, Any]], Tokenizer]
    generation: Mapping[str, Any] = field(default_factory=dict)
    width: int = WIDTH


def _vicuna(layers: int, heads: int) -> _Decoder:
    settings = {
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "rms_norm_eps": 1e-05,
        "torch_dtype": "float16",
        "vocab_size": 32064,
    }
    special = {"image_token_index": 32000, "pad_token_id": 32001}
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001}
    return _Decoder(layers, heads, heads, settings, special, LLAVA_TEMPLATE, write_llama, generation)


LLAMA3 = _Decoder(
    layers=32,
    heads=2,
    key_heads=1,
    settings={
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 128000,
        "eos_token_id": 128009,
        "max_position_embeddings": 8192,
        "model_type": "llama",
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "torch_dtype": "float16",
        "vocab_size": 128320,
    },
    special={"image_token_index": 128256, "pad_token_id": 128257},
    template=LLAMA3_TEMPLATE,
    write_tokenizer=write_llama3,
    # The published file asks for sampling.
    generation={
        "bos_token_id": 128000,
        "do_sample": True,
        "eos_token_id": [128001, 128009],
        "pad_token_id": 128257,
        "temperature": 0.6,
        "top_p": 0.9,
    },
    width=ANYRES_WIDTH,
)


def _llava(folder: Path, decoder: _Decoder, shards: int, *, next_: bool) -> None:
    kind = "LlavaNext" if next_ else "Llava"
    heads = {"num_attention_heads": decoder.heads, "num_key_value_heads": decoder.key_heads}
    width = {"hidden_size": decoder.width, "head_dim": HEAD_WIDTH, "intermediate_size": INNER_WIDTH}
    config = {
        "architectures": [f"{kind}ForConditionalGeneration"],
        "ignore_index": -100,
        "image_seq_length": 576,
        "model_type": "llava_next" if next_ else "llava",
        "projector_hidden_act": "gelu",
        "text_config": {**decoder.settings, **heads, **width, "num_hidden_layers": decoder.layers},
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.46.0",
        "vision_config": VISION | {"hidden_size": decoder.width},
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "vocab_size": decoder.settings["vocab_size"],
        **decoder.special,
    }
    pixels = {**PIXELS, "image_processor_type": f"{'LlavaNext' if next_ else 'CLIP'}ImageProcessor"}
    if next_:
        config |= {"image_grid_pinpoints": PINPOINTS, "use_image_newline_parameter": True}
        pixels |= {"aspect_ratio_setting": "anyres", "do_pad": True, "image_grid_pinpoints": PINPOINTS}
    processor = {
        "image_token": "<image>",
        "num_additional_image_tokens": 1,
        "patch_size": 14,
        "processor_class": f"{kind}Processor",
        "vision_feature_select_strategy": "default",
    }
    files = {
        "config.json": config,
        "preprocessor_config.json": {**pixels, "processor_class": f"{kind}Processor"},
        "processor_config.json": processor,
        "chat_template.json": {"chat_template": decoder.template},
        "generation_config.json": {**decoder.generation, "transformers_version": "4.46.0"},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    tokenizer = decoder.write_tokenizer(folder, {"processor_class": f"{kind}Processor"})
    ends = decoder.generation["eos_token_id"]
    answers = [tokenizer.encode(f"is {answer}", add_special_tokens=False).ids[-1] for answer in ANSWERS]
    _write_weights(folder, shards, answers, ends if isinstance(ends, list) else [ends])


def _write_weights(folder: Path, shards: int, answers: list[int], ends: list[int]) -> None:
    """Random weights that answer with short words: other tokens' rows of the output layer are nearly zero."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    config.text_config.initializer_range = 0.1
    config.vision_config.initializer_range = 0.1
    torch.manual_seed(sum(folder.name.encode()))
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        rows = model.lm_head.weight
        rows *= 0.01
        rows[answers] = torch.randn(len(answers), rows.shape[1])
        rows[ends] = 8 * torch.randn(len(ends), rows.shape[1])  # most answers are short
        # Each place is told apart, so that a picture's features have many directions even if its patches are alike.
        embeddings = model.model.vision_tower.embeddings
        embeddings.position_embedding.weight.normal_(std=1.0)
        embeddings.patch_embedding.weight.normal_(std=0.05)
        if hasattr(model.model, "image_newline"):
            model.model.image_newline.normal_(std=0.2)
    weights = {_published_name(name): weight.half() for name, weight in model.state_dict().items()}
    write_shards(folder, weights, shards)


def _published_name(name: str) -> str:
    """The name in llava-hf's files of a weight in today's transformers."""
    name = name.removeprefix("model.")
    name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
    name = re.sub(r"^language_model\.(?!lm_head)", "language_model.model.", name)
    return re.sub(r"^vision_tower\.", "vision_tower.vision_model.", name)


def write_shards(folder: Path, weights: Mapping[str, torch.Tensor], count: int) -> None:
    """The weights in so many safetensors files, with an index."""
    names = sorted(weights)
    parts = [names[len(names) * part // count : len(names) * (part + 1) // count] for part in range(count)]
    places = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05d}-of-{count:05d}.safetensors"
        save_file({name: weights[name].contiguous() for name in part}, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    size = sum(weight.nbytes for weight in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def _internvl(folder: Path, size: str, layers: int | None) -> None:
    write_published_internvl2(folder, size=size, layers=layers, vision_layers=VISION_LAYERS, one_group=True)


MODELS: Mapping[str, Callable[[Path, int | None], None]] = {
    "llava-hf/llava-1.5-7b-hf": lambda folder, layers: _llava(folder, _vicuna(layers or 32, 2), 3, next_=False),
    "llava-hf/llava-1.5-13b-hf": lambda folder, layers: _llava(folder, _vicuna(layers or 40, 2), 6, next_=False),
    "llava-hf/llava-v1.6-vicuna-7b-hf": lambda folder, layers: _llava(folder, _vicuna(layers or 32, 2), 3, next_=True),
    "llava-hf/llama3-llava-next-8b-hf": lambda folder, layers: _llava(
        folder, replace(LLAMA3, layers=layers or LLAMA3.layers), 4, next_=True
    ),
    "OpenGVLab/InternVL2-2B": lambda folder, layers: _internvl(folder, "2B", layers),
    "OpenGVLab/InternVL2-8B": lambda folder, layers: _internvl(folder, "8B", layers),
}
"""By id on the Hub, the function that writes the replica with so many decoder layers; None for the published number."""


def write_models(root: Path, *ids: str, layers: int | None = None) -> None:
    """Write replicas to `root/models/<id>`; all of them if no id is given.

    Args:
        layers: decoder layers in place of the published number, for a test that has little time.
    """
    for identifier in ids or MODELS:
        folder = Path(root) / "models" / identifier
        folder.mkdir(parents=True, exist_ok=True)
        MODELS[identifier](folder, layers)
        (folder / "README.md").write_text(f"---\nlicense: other\n---\n# {identifier}\n", encoding="utf-8")
