"""The weights of InternVL2, from the authors' names and shapes to those of transformers, one file after another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vtprune.errors import CheckpointError

if TYPE_CHECKING:  # importing it takes seconds
    from transformers import InternVLConfig

_TOWER = {
    "class_embedding": "cls_token",
    "position_embedding": "position_embeddings",
    "patch_embedding.weight": "patch_embeddings.projection.weight",
    "patch_embedding.bias": "patch_embeddings.projection.bias",
}
_TOWER_LAYER = {
    "attn.proj": "attention.projection_layer",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
}
_PROJECTOR = {"0": "layer_norm", "1": "linear_1", "3": "linear_2"}
_DECODER_LAYER = {
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_DECODER = {
    "language_model.model.tok_embeddings.weight": "model.language_model.embed_tokens.weight",
    "language_model.model.norm.weight": "model.language_model.norm.weight",
    "language_model.output.weight": "lm_head.weight",
}

Split = Callable[[torch.Tensor], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Weight:
    """What a published weight becomes.

    Attributes:
        names: of the weights in transformers.
        split: the published tensor into theirs.
    """

    names: tuple[str, ...]
    split: Split = lambda tensor: (tensor,)


def published_weights(config: InternVLConfig) -> dict[str, Weight]:
    """All weights that a published checkpoint has, by name."""
    vision: Any = config.vision_config
    text: Any = config.text_config
    weights = {published: Weight((name,)) for published, name in _DECODER.items()}
    kinds = ("weight", "bias")
    for (published, name), kind in product(_PROJECTOR.items(), kinds):
        weights[f"mlp1.{published}.{kind}"] = Weight((f"model.multi_modal_projector.{name}.{kind}",))

    tower = "model.vision_tower"
    for published, name in _TOWER.items():
        weights[f"vision_model.embeddings.{published}"] = Weight((f"{tower}.embeddings.{name}",))
    for number in range(vision.num_hidden_layers):
        before, after = f"vision_model.encoder.layers.{number}", f"{tower}.encoder.layer.{number}"
        for (published, name), kind in product(_TOWER_LAYER.items(), kinds):
            weights[f"{before}.{published}.{kind}"] = Weight((f"{after}.{name}.{kind}",))
        for kind in kinds:
            names = tuple(f"{after}.attention.{part}_proj.{kind}" for part in "qkv")
            weights[f"{before}.attn.qkv.{kind}"] = Weight(names, lambda tensor: tensor.chunk(3))
        for scale in ("1", "2"):
            weights[f"{before}.ls{scale}"] = Weight((f"{after}.lambda_{scale}",))

    split = _split_wqkv(text.num_key_value_heads, text.num_attention_heads // text.num_key_value_heads)
    for number in range(text.num_hidden_layers):
        before, after = f"language_model.model.layers.{number}", f"model.language_model.layers.{number}"
        for published, name in _DECODER_LAYER.items():
            weights[f"{before}.{published}.weight"] = Weight((f"{after}.{name}.weight",))
        names = tuple(f"{after}.self_attn.{part}_proj.weight" for part in "qkv")
        weights[f"{before}.attention.wqkv.weight"] = Weight(names, split)
    return weights


def _split_wqkv(key_value_heads: int, group: int) -> Split:
    """The split of InternLM2's fused projection.

    Its rows are, for each key/value head: the `group` query heads that use it, the key head, the value head.
    """

    def split(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
        heads = tensor.reshape(key_value_heads, group + 2, -1, tensor.shape[-1])  # the last two: head size, hidden size
        return heads[:, :group].flatten(0, 2), heads[:, -2].flatten(0, 1), heads[:, -1].flatten(0, 1)

    return split


def check_weights(files: Iterable[Path], weights: dict[str, Weight], shapes: dict[str, torch.Size]) -> None:
    """Check the names and shapes of all published weights. Only the heads of the files are read.

    Args:
        files: of weights.
        weights: that they must hold.
        shapes: of the weights in transformers.

    Raises:
        CheckpointError: if a file is damaged, a weight is missing or not known, or has another shape.
    """
    from safetensors import SafetensorError, safe_open

    present: dict[str, tuple[Path, list[int]]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:  # type: ignore[no-untyped-call]
                for name in opened.keys():  # noqa: SIM118 (it is no dictionary)
                    present[name] = file, opened.get_slice(name).get_shape()
        except SafetensorError as error:
            raise CheckpointError(f"{file} is damaged ({error}): fetch it again") from error
    unknown = sorted(present.keys() - weights.keys())
    if unknown:
        name = unknown[0]
        raise CheckpointError(
            f"{present[name][0]} has the weight {name}, which InternVL2 with this config.json does not have "
            f"({len(unknown)} such weights)"
        )
    missing = sorted(weights.keys() - present.keys())
    if missing:
        folder = next(iter(present.values()))[0].parent if present else "the checkpoint"
        raise CheckpointError(f"{folder} lacks {len(missing)} weights, such as {missing[0]}")
    for name, (file, shape) in present.items():
        parts = [shapes[part] for part in weights[name].names]
        expected = [sum(part[0] for part in parts), *parts[0][1:]]
        if list(shape) != expected:
            raise CheckpointError(
                f"{file} has the weight {name} in the shape {shape}, not {expected}, as its config.json says"
            )


def convert_file(source: Path, target: Path, weights: dict[str, Weight]) -> dict[str, int]:
    """Convert one file of weights. No more than the weights of this file are in memory, and a copy of one of them.

    Returns:
        The sizes of the weights in bytes, by name.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    converted: dict[str, torch.Tensor] = {}
    with safe_open(source, framework="pt") as opened:  # type: ignore[no-untyped-call]
        for published in opened.keys():  # noqa: SIM118 (it is no dictionary)
            weight = weights[published]
            parts = weight.split(opened.get_tensor(published))
            if len(parts) > 1:
                parts = [part.clone() for part in parts]  # safetensors refuses views of one memory
            converted |= dict(zip(weight.names, parts, strict=True))
    save_file(converted, target, metadata={"format": "pt"})
    return {name: tensor.nbytes for name, tensor in converted.items()}


def write_index(folder: Path, sizes: dict[str, dict[str, int]]) -> None:
    """Write the index that says which file holds which weight.

    Args:
        folder: of the converted checkpoint.
        sizes: in bytes, by file and weight.
    """
    weight_map = {name: file for file, held in sizes.items() for name in held}
    total = sum(size for held in sizes.values() for size in held.values())
    content: dict[str, Any] = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
