"""InternVL2 as its authors publish it: what a folder must hold, and what of it cannot be converted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from vtprune.errors import CheckpointError

# What the published settings of InternVL2-2B and -8B say where another value would need other code, and what the
# authors' code takes for a setting that is left out. Other models of the series have the same architecture name:
# InternVL2-1B (Qwen2), -4B (Phi3), -40B (Llama), -26B (InternViT-6B).
_REQUIRED: dict[str, tuple[Any, Any]] = {
    "dynamic_image_size": (True, False),
    "ps_version": ("v2", "v1"),
    "select_layer": (-1, -1),
    "use_backbone_lora": (0, 0),
    "use_llm_lora": (0, 0),
    "use_thumbnail": (True, False),
    "llm_config.bias": (False, True),
    "llm_config.tie_word_embeddings": (False, False),
    "vision_config.norm_type": ("layer_norm", "rms_norm"),
    "vision_config.qk_normalization": (False, True),
    "vision_config.qkv_bias": (True, False),
}


def read_settings(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a folder in the authors' format, and check that it is one that can be converted.

    Raises:
        CheckpointError: if the folder does not hold InternVL2 with the decoder InternLM2 and the tower InternViT-300M.
    """
    settings = read_json(folder / "config.json")
    architecture = _first(settings.get("architectures"))
    if architecture != "InternVLChatModel":
        raise CheckpointError(
            f"{folder} is not InternVL2 as its authors publish it: its config.json names the architecture "
            f"{architecture}, not InternVLChatModel"
        )
    template = settings.get("template")
    decoder = _first(_value(settings, "llm_config.architectures"))
    if template != "internlm2-chat" or decoder != "InternLM2ForCausalLM":
        raise CheckpointError(
            f"{folder} cannot be converted: its prompt template is {template} and its decoder {decoder}, where "
            "InternVL2-2B and -8B, which can be, have internlm2-chat and InternLM2ForCausalLM"
        )
    for name, (required, default) in _REQUIRED.items():
        value = default if _value(settings, name) is None else _value(settings, name)
        if value != required:
            raise CheckpointError(
                f"{folder} cannot be converted: {name} is {value!r} in its config.json, and {required!r} in those of "
                "InternVL2-2B and -8B"
            )
    scaling = _value(settings, "llm_config.rope_scaling")
    if scaling is not None and scaling.get("type") != "dynamic":
        raise CheckpointError(
            f"{folder} cannot be converted: llm_config.rope_scaling has the type {scaling.get('type')!r} in its "
            "config.json, not 'dynamic'"
        )
    size = settings.get("force_image_size")
    if size not in (None, _value(settings, "vision_config.image_size")):
        raise CheckpointError(
            f"{folder} cannot be converted: force_image_size is {size} in its config.json, another one than "
            "vision_config.image_size"
        )
    return settings


def weight_files(folder: Path) -> list[Path]:
    """The files of weights of a folder.

    Raises:
        CheckpointError: if one is missing.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise CheckpointError(f"{folder} has no weights: neither {single.name} nor {index.name} is there")
    files = [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of its {len(files)} files of weights, such as {missing[0]}: fetch it again"
        )
    return files


def read_json(file: Path) -> dict[str, Any]:
    """Read a file of a checkpoint.

    Raises:
        CheckpointError: if it is missing or no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file.parent} has no {file.name}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds no JSON object")
    return cast("dict[str, Any]", content)


def _first(names: Any) -> Any:
    return names[0] if isinstance(names, list) and names else names


def _value(settings: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name, or None."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
