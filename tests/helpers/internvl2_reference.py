"""InternVL2 written down a second time, from the description of its architecture, to compare conversions with.

Names and shapes are the authors'. Nothing here uses transformers' models.
"""

import math
from typing import Any

import torch
from PIL import Image
from torch.nn.functional import conv2d, gelu, layer_norm, linear, silu

Weights = dict[str, torch.Tensor]
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def image_features(weights: Weights, config: dict[str, Any], pixels: torch.Tensor) -> torch.Tensor:
    """(tiles, 3, side, side) to (tiles, tokens, hidden size of the decoder)."""
    vision = config["vision_config"]
    name = "vision_model.embeddings"
    patches = conv2d(
        pixels,
        weights[f"{name}.patch_embedding.weight"],
        weights[f"{name}.patch_embedding.bias"],
        stride=vision["patch_size"],
    )
    states = patches.flatten(2).transpose(1, 2)
    first = weights[f"{name}.class_embedding"].expand(len(states), 1, -1)
    states = torch.cat((first, states), dim=1) + weights[f"{name}.position_embedding"]
    for number in range(vision["num_hidden_layers"]):
        states = _tower_layer(weights, f"vision_model.encoder.layers.{number}", vision, states)
    states = _pixel_shuffle(states[:, 1:])
    states = layer_norm(states, states.shape[-1:], weights["mlp1.0.weight"], weights["mlp1.0.bias"])
    states = gelu(linear(states, weights["mlp1.1.weight"], weights["mlp1.1.bias"]))
    return linear(states, weights["mlp1.3.weight"], weights["mlp1.3.bias"])


def _tower_layer(weights: Weights, name: str, vision: dict[str, Any], states: torch.Tensor) -> torch.Tensor:
    def norm(which: str, values: torch.Tensor) -> torch.Tensor:
        scale, shift = weights[f"{name}.{which}.weight"], weights[f"{name}.{which}.bias"]
        return layer_norm(values, values.shape[-1:], scale, shift, vision["layer_norm_eps"])

    def dense(which: str, values: torch.Tensor) -> torch.Tensor:
        return linear(values, weights[f"{name}.{which}.weight"], weights[f"{name}.{which}.bias"])

    tiles, tokens, width = states.shape
    heads = vision["num_attention_heads"]
    query, key, value = dense("attn.qkv", norm("norm1", states)).reshape(tiles, tokens, 3, heads, -1).unbind(2)
    scores = torch.einsum("bihd,bjhd->bhij", query, key) / math.sqrt(width // heads)
    mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(dim=-1), value).flatten(2)
    states = states + dense("attn.proj", mixed) * weights[f"{name}.ls1"]
    inner = dense("mlp.fc2", gelu(dense("mlp.fc1", norm("norm2", states))))
    return states + inner * weights[f"{name}.ls2"]


def _pixel_shuffle(states: torch.Tensor) -> torch.Tensor:
    """Version 2: the token in row r and column c is made of the patches of rows 2r, 2r + 1 and columns 2c, 2c + 1.

    Patches of one row lie beside one another.
    """
    tiles, patches, width = states.shape
    side = math.isqrt(patches)
    squares = states.reshape(tiles, side // 2, 2, side // 2, 2, width)  # (tile, r, row in it, c, column in it, channel)
    return squares.permute(0, 1, 3, 2, 4, 5).reshape(tiles, patches // 4, 4 * width)


def logits(
    weights: Weights,
    config: dict[str, Any],
    ids: torch.Tensor,
    features: torch.Tensor | None = None,
    image_id: int = -1,
) -> torch.Tensor:
    """(1, tokens) to (1, tokens, vocabulary); image tokens become features in their order."""
    text = config["llm_config"]
    states = weights["language_model.model.tok_embeddings.weight"][ids].clone()
    if features is not None:
        states[ids == image_id] = features.flatten(0, 1)
    rotation = _rotation(text, ids.shape[1])
    for number in range(text["num_hidden_layers"]):
        states = _decoder_layer(weights, f"language_model.model.layers.{number}", text, states, rotation)
    states = _rms_norm(states, weights["language_model.model.norm.weight"], text["rms_norm_eps"])
    return linear(states, weights["language_model.output.weight"])


def _decoder_layer(
    weights: Weights, name: str, text: dict[str, Any], states: torch.Tensor, rotation: torch.Tensor
) -> torch.Tensor:
    normed = _rms_norm(states, weights[f"{name}.attention_norm.weight"], text["rms_norm_eps"])
    heads, shared = text["num_attention_heads"], text["num_key_value_heads"]
    group, size = heads // shared, text["hidden_size"] // heads
    fused = linear(normed, weights[f"{name}.attention.wqkv.weight"])
    mixed = []
    for head in range(heads):  # one after another, from the rows that the description names
        first = head // group * (group + 2)
        rows = [first + head % group, first + group, first + group + 1]
        query, key, value = (fused[..., row * size : (row + 1) * size] for row in rows)
        scores = _rotate(query, rotation) @ _rotate(key, rotation).transpose(1, 2) / math.sqrt(size)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        mixed.append(scores.masked_fill(later, -torch.inf).softmax(dim=-1) @ value)
    states = states + linear(torch.cat(mixed, dim=-1), weights[f"{name}.attention.wo.weight"])
    normed = _rms_norm(states, weights[f"{name}.ffn_norm.weight"], text["rms_norm_eps"])
    gate, up, down = (weights[f"{name}.feed_forward.{part}.weight"] for part in ("w1", "w3", "w2"))
    return states + linear(silu(linear(normed, gate)) * linear(normed, up), down)


def _rms_norm(states: torch.Tensor, scale: torch.Tensor, epsilon: float) -> torch.Tensor:
    return states * (states.pow(2).mean(dim=-1, keepdim=True) + epsilon).rsqrt() * scale


def _rotation(text: dict[str, Any], length: int) -> torch.Tensor:
    """The angles, (tokens, half the size of a head). A text beyond the trained length stretches the base."""
    size = text["hidden_size"] // text["num_attention_heads"]
    base, trained, factor = text["rope_theta"], text["max_position_embeddings"], text["rope_scaling"]["factor"]
    if length > trained:
        base = base * (factor * length / trained - (factor - 1)) ** (size / (size - 2))
    frequencies = base ** -(torch.arange(0, size, 2).double() / size)
    return torch.arange(length).double()[:, None] * frequencies


def _rotate(states: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Pairs of channels are half a head apart."""
    cosine, sine = rotation.cos().float(), rotation.sin().float()
    left, right = states.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)


def tiles(image: Image.Image, side: int = 448, most: int = 12) -> torch.Tensor:
    """The authors' `dynamic_preprocess` with a thumbnail, and `build_transform`: (tiles, 3, side, side)."""
    image = image.convert("RGB")
    width, height = image.size
    grids = [(across, down) for across in range(1, most + 1) for down in range(1, most + 1) if across * down <= most]
    best, difference = (1, 1), math.inf
    for grid in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        distance = abs(width / height - grid[0] / grid[1])
        large = width * height > 0.5 * side * side * grid[0] * grid[1]
        if distance < difference or (distance == difference and large):
            best, difference = grid, distance
    across, down = best
    canvas = image.resize((side * across, side * down), Image.Resampling.BICUBIC)
    pictures = [
        canvas.crop((column * side, row * side, (column + 1) * side, (row + 1) * side))
        for row in range(down)
        for column in range(across)
    ]
    if len(pictures) > 1:
        pictures.append(image.resize((side, side), Image.Resampling.BICUBIC))
    values = torch.stack([torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8) for picture in pictures])
    values = values.reshape(-1, side, side, 3) / 255
    return ((values - MEAN) / STD).permute(0, 3, 1, 2)
