"""InternVL2, from the authors' format to `InternVLForConditionalGeneration` of transformers.

The authors' format is described by their code: `modeling_internvl_chat.py`, `modeling_intern_vit.py` and
`modeling_internlm2.py` of github.com/OpenGVLab/InternVL and of the checkpoints. InternLM2 is a Llama with other names,
whose query, key and value projections are one matrix.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from vtprune.conversion.published import read_settings, weight_files
from vtprune.conversion.tokenizer import IMAGE_TOKENS, read_tokenizer
from vtprune.conversion.weights import check_weights, convert_file, published_weights, write_index
from vtprune.errors import CheckpointError, UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import InternVLConfig, InternVLProcessor, PreTrainedTokenizerFast

# `conversation.py` of InternVL2's checkpoints, template "internlm2-chat", whose turns no line break separates.
# InternVL2.5 has another system message, and line breaks.
SYSTEM_MESSAGE = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
STOP_TOKEN = "<|im_end|>"
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\n" + SYSTEM_MESSAGE + STOP_TOKEN + "' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '" + STOP_TOKEN + "' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as in the authors' `build_transform`


def convert_internvl2(source: Path, target: Path, report: Callable[[str], None] | None = None) -> None:
    """Convert `OpenGVLab/InternVL2-2B` or `-8B` into a folder that `vtprune.load` and transformers read.

    The weights keep their values and their type. The folder appears when it is complete. About one file of weights is
    in memory at a time.

    Args:
        source: the checkpoint, as its authors publish it.
        target: the new folder.
        report: gets a line before each file of weights.

    Raises:
        CheckpointError: if the source is not InternVL2-2B or -8B, or a file of it is missing or damaged.
        UserError: if the target holds something, the disk is too small, or a package is missing.
    """
    source, target = Path(source), Path(target).absolute()
    settings = read_settings(source)
    files = weight_files(source)
    _check_target(target, sum(file.stat().st_size for file in files))
    tokenizer = read_tokenizer(source)
    try:
        _check_vocabulary(tokenizer, settings["llm_config"]["vocab_size"], source)
        image_token = cast("int", tokenizer.convert_tokens_to_ids(IMAGE_TOKENS["context_image_token"]))
        config = configuration(settings, image_token)
        processor = _processor(settings, tokenizer, config.image_seq_length)
    except KeyError as error:
        raise CheckpointError(f"{source / 'config.json'} lacks the setting {error.args[0]}") from error
    weights = published_weights(config)
    check_weights(files, weights, native_shapes(config))

    unfinished = target.with_name(f".{target.name}.unfinished")  # beside the target: a rename stays on one disk
    shutil.rmtree(unfinished, ignore_errors=True)  # of a conversion that was killed
    unfinished.mkdir(parents=True)
    try:
        sizes = {}
        for number, file in enumerate(files, start=1):
            if report is not None:
                report(f"weights: file {number} of {len(files)}, {file.name}")
            sizes[file.name] = convert_file(file, unfinished / file.name, weights)
        if len(files) > 1:
            write_index(unfinished, sizes)
        config.save_pretrained(unfinished)
        _generation_settings(tokenizer).save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_target(target: Path, needed: int) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists and is not an empty folder: name a new one")
    existing = next(parent for parent in target.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"the converted checkpoint takes {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free at {existing}"
        )


def _check_vocabulary(tokenizer: PreTrainedTokenizerFast, embeddings: int, source: Path) -> None:
    if len(tokenizer) > embeddings:
        raise CheckpointError(
            f"{source} has a tokenizer of {len(tokenizer)} tokens, but embeddings of {embeddings} only"
        )


def configuration(settings: dict[str, Any], image_token: int) -> InternVLConfig:
    """The configuration in transformers' words.

    Args:
        settings: of a published `config.json` that can be converted.
        image_token: the id of `<IMG_CONTEXT>`.

    Raises:
        KeyError: if a setting is missing.
    """
    from transformers import InternVLConfig, InternVLVisionConfig, LlamaConfig

    vision, text = settings["vision_config"], settings["llm_config"]
    rope = {"rope_type": "default", "rope_theta": float(text["rope_theta"])}
    if text.get("rope_scaling"):
        rope |= {"rope_type": "dynamic", "factor": float(text["rope_scaling"]["factor"])}
    side = vision["image_size"] // vision["patch_size"] * settings["downsample_ratio"]
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(
            attention_bias=True,
            attention_dropout=vision["attention_dropout"],
            **{name: vision[name] for name in _SAME_IN_TOWER},
        ),
        text_config=LlamaConfig(
            attention_bias=False,
            mlp_bias=False,
            rope_parameters=rope,
            tie_word_embeddings=False,
            **{name: text[name] for name in _SAME_IN_DECODER},
        ),
        image_token_id=image_token,
        image_seq_length=int(side) ** 2,
        downsample_ratio=settings["downsample_ratio"],
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    config.architectures = ["InternVLForConditionalGeneration"]
    config.dtype = settings["torch_dtype"]
    return config


_SAME_IN_TOWER = (
    "hidden_act",
    "hidden_size",
    "image_size",
    "initializer_range",
    "intermediate_size",
    "layer_norm_eps",
    "norm_type",
    "num_attention_heads",
    "num_channels",
    "num_hidden_layers",
    "patch_size",
)
_SAME_IN_DECODER = (
    "bos_token_id",
    "eos_token_id",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "pad_token_id",
    "rms_norm_eps",
    "vocab_size",
)


def native_shapes(config: InternVLConfig) -> dict[str, torch.Size]:
    """The shapes of the weights in transformers, by name. Nothing is allocated."""
    from transformers import InternVLForConditionalGeneration

    with torch.device("meta"):
        model = InternVLForConditionalGeneration(config)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _generation_settings(tokenizer: PreTrainedTokenizerFast) -> Any:
    """Answers end at `<|im_end|>` alone, as in the authors' `chat`."""
    from transformers import GenerationConfig

    return GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(STOP_TOKEN),
        pad_token_id=tokenizer.pad_token_id,
    )


def _processor(settings: dict[str, Any], tokenizer: PreTrainedTokenizerFast, tokens: int) -> InternVLProcessor:
    """The processor that cuts pictures into tiles as the authors' `dynamic_preprocess` does: with pillow, bicubic."""
    from transformers import GotOcr2ImageProcessorPil, InternVLProcessor, InternVLVideoProcessor

    side = settings["vision_config"]["image_size"]
    pixels: dict[str, Any] = {"size": {"height": side, "width": side}, "image_mean": _MEAN, "image_std": _STD}
    images = GotOcr2ImageProcessorPil(
        crop_to_patches=True,
        min_patches=settings.get("min_dynamic_patch", 1),
        max_patches=settings["max_dynamic_patch"],
        **pixels,
    )
    return InternVLProcessor(
        images, tokenizer, InternVLVideoProcessor(**pixels), image_seq_length=tokens, chat_template=CHAT_TEMPLATE
    )
