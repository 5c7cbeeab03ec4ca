"""The sizes of a model's matrices, read off its transformers configuration: no weights are needed."""

from dataclasses import dataclass
from typing import Any

from vtprune.errors import UserError

FAMILIES = ("llava", "llava_next", "internvl")
TOWERS = ("clip_vision_model", "internvl_vision")
DECODERS = ("llama", "qwen2", "mistral")  # separate q, k, v, o; a gated MLP of three matrices


@dataclass(frozen=True)
class Stack:
    """Identical transformer layers. A product of ``[m, k]`` and ``[k, n]`` counts as ``2 m k n`` FLOPs.

    Attributes:
        layers: how many.
        width: of the hidden states.
        heads, kv_heads, head_dim: of the attention.
        intermediate: width within the MLP.
        mlp_matrices: 3 for a gated MLP (gate, up, down), 2 for a plain one.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    mlp_matrices: int

    @property
    def key_width(self) -> int:
        """Of one token's key, all heads together; its value's too."""
        return self.kv_heads * self.head_dim

    def linear(self, tokens: int) -> int:
        """FLOPs of one layer's projections and MLP."""
        query_width = self.heads * self.head_dim
        projections = self.width * (2 * query_width + 2 * self.key_width)
        return 2 * tokens * (projections + self.mlp_matrices * self.width * self.intermediate)

    def attention(self, queries: int, keys: int) -> int:
        """FLOPs of one layer's two attention products, computed whole (no half saved by the causal mask)."""
        return 4 * self.heads * self.head_dim * queries * keys

    def layer(self, queries: int, keys: int) -> int:
        """FLOPs of one layer for ``queries`` tokens that attend to ``keys``."""
        return self.linear(queries) + self.attention(queries, keys)


@dataclass(frozen=True)
class Shape:
    """A vision-language model: tower, projector, decoder.

    Attributes:
        tower: the vision tower's layers.
        patches: of one tile (an image, for LLaVA-1.5); the tower sees one class token more.
        patch_inputs: values of one patch (channels times its pixels).
        projector: (inputs, outputs) of its linear layers.
        tile_tokens: tokens of one tile that leave the projector.
        decoder: the language model's layers.
        vocabulary: rows of the output matrix.
    """

    tower: Stack
    patches: int
    patch_inputs: int
    projector: tuple[tuple[int, int], ...]
    tile_tokens: int
    decoder: Stack
    vocabulary: int

    def tower_flops(self, tiles: int) -> int:
        """FLOPs of the vision tower for so many tiles, all its layers included."""
        tokens = self.patches + 1
        embedding = 2 * self.patches * self.patch_inputs * self.tower.width
        return tiles * (embedding + self.tower.layers * self.tower.layer(tokens, tokens))

    def projector_flops(self, tiles: int) -> int:
        """FLOPs of the projector for so many tiles."""
        return tiles * self.tile_tokens * sum(2 * a * b for a, b in self.projector)


def shape_of(config: Any) -> Shape:
    """The shape of a ``LlavaConfig``, ``LlavaNextConfig`` or ``InternVLConfig``.

    Raises:
        ValueError: if the model, its tower or its decoder is of another kind.
    """
    kind, vision, text = config.model_type, config.vision_config, config.text_config
    _among(FAMILIES, kind, "model")
    _among(TOWERS, vision.model_type, "vision tower")
    _among(DECODERS, text.model_type, "decoder")
    (height, width), (down, across) = _pair(vision.image_size), _pair(vision.patch_size)
    patches = (height // down) * (width // across)
    if kind == "internvl":
        merged = round(1 / config.downsample_ratio) ** 2  # patches that pixel shuffling makes one token of
        inputs, tile_tokens = merged * vision.hidden_size, patches // merged
    else:
        layers = config.vision_feature_layer
        inputs = vision.hidden_size * (1 if isinstance(layers, int) else len(layers))
        tile_tokens = patches + (config.vision_feature_select_strategy == "full")
    return Shape(
        tower=_stack(vision, mlp_matrices=2),
        patches=patches,
        patch_inputs=vision.num_channels * down * across,
        projector=((inputs, text.hidden_size), (text.hidden_size, text.hidden_size)),
        tile_tokens=tile_tokens,
        decoder=_stack(text, mlp_matrices=3),
        vocabulary=text.vocab_size,
    )


def _stack(config: Any, mlp_matrices: int) -> Stack:
    heads = config.num_attention_heads
    return Stack(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        intermediate=config.intermediate_size,
        mlp_matrices=mlp_matrices,
    )


def _pair(size: int | list[int] | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _among(known: tuple[str, ...], found: str, what: str) -> None:
    if found not in known:
        raise UserError(f"the cost of a {what} of type {found!r} is not modelled; modelled are {', '.join(known)}")
