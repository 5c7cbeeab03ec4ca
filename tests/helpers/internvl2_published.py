"""InternVL2 as its authors publish it, with tiny widths and random weights.

The settings, the names of weights and files, and the special tokens are those of `OpenGVLab/InternVL2-2B` and
`-8B`. The pictures have their true size and the models their true numbers of layers; only the widths are small. The
vocabulary is small too: a real sentencepiece model, trained on a few sentences, whose last pieces are InternLM2's.

The definition of the sentencepiece model's file comes from transformers: sentencepiece's own needs a newer protobuf.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers.utils import sentencepiece_model_pb2_new as sentencepiece_proto

SYSTEM_MESSAGE = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
UNUSED = 147  # pieces [UNUSED_TOKEN_0] to [UNUSED_TOKEN_146] at the end of InternLM2's vocabulary
# Six of these pieces got names, and nine tokens follow the vocabulary (ids 92538 to 92543 and 92544 to 92552).
RENAMED = ("<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>")
APPENDED = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
# Of the language model: layers, attention heads, key/value heads, and the published number of weight files.
SIZES = {"2B": (24, 16, 8, 1), "8B": (32, 32, 8, 4)}
DECODERS = {"2B": "internlm/internlm2-chat-1_8b", "8B": "internlm/internlm2_5-7b-chat"}
VISION_LAYERS, VISION_WIDTH, HEAD_WIDTH = 24, 32, 4
REMOTE_CODE = ("configuration_internvl_chat.py", "modeling_internvl_chat.py", "tokenization_internlm2.py")


def write_published_internvl2(
    folder: Path,
    *,
    size: str = "2B",
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    layers: int | None = None,
    vision_layers: int | None = None,
    shards: int | None = None,
    one_group: bool = False,
) -> None:
    """Write a folder in the format of `OpenGVLab/InternVL2-2B` or `-8B`.

    Args:
        folder: made if it does not exist.
        size: "2B" or "8B".
        seed: of the random weights.
        dtype: of the weights.
        layers: of the language model; by default as published (24 or 32).
        vision_layers: by default as published (24).
        shards: the number of weight files; by default as published (1 or 4).
        one_group: one key/value head, with as many heads for it as published (2 or 4): several times faster.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = sentencepiece_model()
    config = published_config(size, len(model.pieces) + len(APPENDED), layers, vision_layers)
    if one_group:
        text = config["llm_config"]
        text["num_attention_heads"] //= text["num_key_value_heads"]
        text["num_key_value_heads"] = 1
    config["torch_dtype"] = config["llm_config"]["torch_dtype"] = str(dtype).removeprefix("torch.")
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    ids = special_tokens(len(model.pieces))
    _write_tokenizer_files(folder, ids)
    _write(folder, "config.json", config)
    stops = [ids["<|im_end|>"], ids["<|im_start|>"]]
    _write(
        folder,
        "generation_config.json",
        {"_from_model_config": True, "eos_token_id": stops, "transformers_version": "4.37.2"},
    )
    _write(folder, "preprocessor_config.json", PREPROCESSOR)
    for name in REMOTE_CODE:
        (folder / name).write_text('raise RuntimeError("the code of a checkpoint was run")\n')
    _write_weights(folder, dict(published_weights(config, seed, dtype)), SIZES[size][3] if shards is None else shards)


def published_config(size: str, vocabulary: int, layers: int | None, vision_layers: int | None) -> dict[str, Any]:
    """The published `config.json`, with tiny widths."""
    published_layers, heads, key_value_heads, _ = SIZES[size]
    remote = "modeling_internvl_chat.InternVLChatModel"
    return {
        "_commit_hash": None,
        "architectures": ["InternVLChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
            "AutoModel": remote,
            "AutoModelForCausalLM": remote,
        },
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": 448,
        "llm_config": {
            "_name_or_path": DECODERS[size],
            "add_cross_attention": False,
            "architectures": ["InternLM2ForCausalLM"],
            "attn_implementation": "flash_attention_2",
            "auto_map": {
                "AutoConfig": "configuration_internlm2.InternLM2Config",
                "AutoModel": "modeling_internlm2.InternLM2ForCausalLM",
                "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
            },
            "bias": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": heads * HEAD_WIDTH,
            "initializer_range": 0.02,
            "intermediate_size": 2 * heads * HEAD_WIDTH,
            "is_decoder": False,
            "max_length": 20,
            "max_position_embeddings": 32768,
            "model_type": "internlm2",
            "num_attention_heads": heads,
            "num_hidden_layers": published_layers if layers is None else layers,
            "num_key_value_heads": key_value_heads,
            "pad_token_id": 2,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {"factor": 2.0, "type": "dynamic"},
            "rope_theta": 1000000,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.37.2",
            "use_bfloat16": True,
            "use_cache": True,
            "vocab_size": vocabulary,
        },
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "model_type": "internvl_chat",
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internlm2-chat",
        "torch_dtype": "bfloat16",
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": True,
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "attention_dropout": 0.0,
            "drop_path_rate": 0.0,
            "dropout": 0.0,
            "hidden_act": "gelu",
            "hidden_size": VISION_WIDTH,
            "image_size": 448,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "intermediate_size": 2 * VISION_WIDTH,
            "layer_norm_eps": 1e-06,
            "model_type": "intern_vit_6b",
            "norm_type": "layer_norm",
            "num_attention_heads": 2,
            "num_channels": 3,
            "num_hidden_layers": VISION_LAYERS if vision_layers is None else vision_layers,
            "output_attentions": False,
            "output_hidden_states": False,
            "patch_size": 14,
            "qk_normalization": False,
            "qkv_bias": True,
            "return_dict": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.37.2",
            "use_bfloat16": True,
            "use_flash_attn": True,
        },
    }


PREPROCESSOR = {
    "crop_size": 448,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "size": 448,
}


def published_weights(config: dict[str, Any], seed: int, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Random weights under the published names."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float | None = None) -> torch.Tensor:
        """By default a matrix that keeps the size of what it multiplies."""
        scale = shape[-1] ** -0.5 if scale is None else scale
        return (torch.randn(shape, generator=generator) * scale).to(dtype)

    def positive(width: int) -> torch.Tensor:
        return (torch.rand(width, generator=generator) + 0.5).to(dtype)

    vision, text = config["vision_config"], config["llm_config"]
    width, inner = vision["hidden_size"], vision["intermediate_size"]
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    patch = vision["patch_size"]
    yield "vision_model.embeddings.class_embedding", random(1, 1, width)
    yield "vision_model.embeddings.patch_embedding.bias", random(width)
    yield "vision_model.embeddings.patch_embedding.weight", random(width, 3, patch, patch, scale=1 / (3**0.5 * patch))
    yield "vision_model.embeddings.position_embedding", random(1, patches + 1, width, scale=0.5)
    for number in range(vision["num_hidden_layers"]):
        layer = f"vision_model.encoder.layers.{number}"
        yield f"{layer}.attn.proj.bias", random(width)
        yield f"{layer}.attn.proj.weight", random(width, width)
        yield f"{layer}.attn.qkv.bias", random(3 * width, scale=0.3)
        yield f"{layer}.attn.qkv.weight", random(3 * width, width)
        yield f"{layer}.ls1", positive(width)
        yield f"{layer}.ls2", positive(width)
        yield f"{layer}.mlp.fc1.bias", random(inner)
        yield f"{layer}.mlp.fc1.weight", random(inner, width)
        yield f"{layer}.mlp.fc2.bias", random(width)
        yield f"{layer}.mlp.fc2.weight", random(width, inner)
        for norm in ("norm1", "norm2"):
            yield f"{layer}.{norm}.bias", random(width)
            yield f"{layer}.{norm}.weight", positive(width)

    hidden, inner = text["hidden_size"], text["intermediate_size"]
    fused = (text["num_attention_heads"] + 2 * text["num_key_value_heads"]) * (hidden // text["num_attention_heads"])
    yield "language_model.model.tok_embeddings.weight", random(text["vocab_size"], hidden, scale=0.5)
    for number in range(text["num_hidden_layers"]):
        layer = f"language_model.model.layers.{number}"
        yield f"{layer}.attention.wo.weight", random(hidden, hidden)
        yield f"{layer}.attention.wqkv.weight", random(fused, hidden)
        yield f"{layer}.attention_norm.weight", positive(hidden)
        yield f"{layer}.feed_forward.w1.weight", random(inner, hidden)
        yield f"{layer}.feed_forward.w2.weight", random(hidden, inner)
        yield f"{layer}.feed_forward.w3.weight", random(inner, hidden)
        yield f"{layer}.ffn_norm.weight", positive(hidden)
    yield "language_model.model.norm.weight", positive(hidden)
    yield "language_model.output.weight", random(text["vocab_size"], hidden)

    shuffled = 4 * width  # four patches become one token
    yield "mlp1.0.bias", random(shuffled)
    yield "mlp1.0.weight", positive(shuffled)
    yield "mlp1.1.bias", random(hidden)
    yield "mlp1.1.weight", random(hidden, shuffled)
    yield "mlp1.3.bias", random(hidden)
    yield "mlp1.3.weight", random(hidden, hidden, scale=0.5 * hidden**-0.5)


SENTENCES = (
    "What color is the object in the picture?",
    "Answer the question using a single word or phrase.",
    "Answer with the option's letter from the given choices directly.",
    "How many people are there? Is there a dog in the image? Please answer yes or no.",
    "Provide a one-sentence caption for the provided image. The quick brown fox jumps over the lazy dog.",
    "system user assistant 0 1 2 3 4 5 6 7 8 9 A. B. C. D.",
    SYSTEM_MESSAGE,
    "这张图片里有什么颜色？请用一个词回答。",
)


def sentencepiece_model() -> sentencepiece_proto.ModelProto:
    """A sentencepiece model of InternLM2's kind: byte pairs with a fallback to bytes; white space stays as it is."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=written,
        model_type="bpe",
        vocab_size=600,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        num_threads=1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = sentencepiece_proto.ModelProto.FromString(written.getvalue())
    for number in range(UNUSED):
        piece = model.pieces.add(piece=f"[UNUSED_TOKEN_{number}]", score=0.0)
        piece.type = sentencepiece_proto.ModelProto.SentencePiece.USER_DEFINED
    model.trainer_spec.vocab_size = len(model.pieces)
    return model


def special_tokens(pieces: int) -> dict[str, int]:
    """The ids of the tokens that a vocabulary of so many pieces gets renamed or appended."""
    tokens = (*RENAMED, *APPENDED)
    return {token: pieces - len(RENAMED) + number for number, token in enumerate(tokens)}


def _write_tokenizer_files(folder: Path, ids: dict[str, int]) -> None:
    options = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    every = {"<unk>": 0, "<s>": 1, "</s>": 2, **ids}
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    additional = [*reversed(RENAMED), *APPENDED]
    _write(folder, "added_tokens.json", dict(reversed(ids.items())))
    _write(folder, "special_tokens_map.json", {"additional_special_tokens": additional, **names})
    _write(
        folder,
        "tokenizer_config.json",
        {
            "added_tokens_decoder": {str(number): {"content": token, **options} for token, number in every.items()},
            "additional_special_tokens": additional,
            "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
            "chat_template": "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
            "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
            "{{ '<|im_start|>assistant\n' }}{% endif %}",
            "clean_up_tokenization_spaces": False,
            "model_max_length": 8192,
            "tokenizer_class": "InternLM2Tokenizer",
            **names,
        },
    )


def _write_weights(folder: Path, weights: dict[str, torch.Tensor], shards: int) -> None:
    metadata = {"format": "pt"}
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata)
        return
    total = sum(weight.nbytes for weight in weights.values())
    files: dict[str, dict[str, torch.Tensor]] = {}
    written = 0
    for name in sorted(weights):
        number = min(shards, written * shards // total + 1)
        files.setdefault(f"model-{number:05}-of-{shards:05}.safetensors", {})[name] = weights[name]
        written += weights[name].nbytes
    for file, held in files.items():
        save_file(held, folder / file, metadata)
    weight_map = {name: file for file, held in files.items() for name in held}
    _write(folder, "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write(folder: Path, name: str, content: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
