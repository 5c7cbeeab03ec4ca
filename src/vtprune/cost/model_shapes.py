"""The sizes of a model's matrices, read from its transformers configuration. No weights are needed."""

from dataclasses import dataclass

from transformers import PretrainedConfig

from vtprune.errors import UserError

FAMILIES = ("llava", "llava_next", "internvl")
TOWERS = ("clip_vision_model", "internvl_vision")
DECODERS = ("llama", "qwen2", "mistral")  # separate q, k, v, o; a gated MLP of three matrices


@dataclass(frozen=True)
class Stack:
    """Identical transformer layers. A product of `[m, k]` and `[k, n]` counts as `2 m k n` FLOPs.

    Attributes:
        layers: the number of layers.
        width: of the hidden states.
        heads, kv_heads, head_dim: of the attention.
        intermediate: width inside the MLP.
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
        """The width of one token's key, all heads together. Its value has the same width."""
        return self.kv_heads * self.head_dim

    def linear(self, tokens: int) -> int:
        """Count the FLOPs of one layer's projections and MLP."""
        query_width = self.heads * self.head_dim
        projections = self.width * (2 * query_width + 2 * self.key_width)
        return 2 * tokens * (projections + self.mlp_matrices * self.width * self.intermediate)

    def attention(self, queries: int, keys: int) -> int:
        """Count the FLOPs of one layer's two attention products. The causal mask saves nothing."""
        return 4 * self.heads * self.head_dim * queries * keys

    def layer(self, queries: int, keys: int) -> int:
        """Count the FLOPs of one layer for `queries` tokens that attend to `keys` tokens."""
        return self.linear(queries) + self.attention(queries, keys)


@dataclass(frozen=True)
class Shape:
    """A vision-language model: tower, projector, decoder.

    Attributes:
        tower: the vision tower's layers.
        patches: of one tile (for LLaVA-1.5: of one image). The tower also sees a class token.
        patch_inputs: values of one patch (channels times pixels).
        projector: (inputs, outputs) of the projector's linear layers.
        tile_tokens: tokens of one tile after the projector.
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
        """Count the FLOPs of all layers of the vision tower for that many tiles."""
        tokens = self.patches + 1
        embedding = 2 * self.patches * self.patch_inputs * self.tower.width
        return tiles * (embedding + self.tower.layers * self.tower.layer(tokens, tokens))

    def projector_flops(self, tiles: int) -> int:
        """Count the FLOPs of the projector for that many tiles."""
        return tiles * self.tile_tokens * sum(2 * a * b for a, b in self.projector)


def shape_of(config: PretrainedConfig) -> Shape:
    """Return the shape of a `LlavaConfig`, `LlavaNextConfig` or `InternVLConfig`.

    Raises:
        UserError: if the model, its tower or its decoder is of another type.
    """
    kind, vision, text = config.model_type, config.vision_config, config.text_config
    _check_type("model", kind, FAMILIES)
    _check_type("vision tower", vision.model_type, TOWERS)
    _check_type("decoder", text.model_type, DECODERS)
    (height, width), (down, across) = _pair(vision.image_size), _pair(vision.patch_size)
    patches = (height // down) * (width // across)
    if kind == "internvl":
        merged = round(1 / config.downsample_ratio) ** 2  # patches that pixel shuffling turns into one token
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


def _stack(config: PretrainedConfig, mlp_matrices: int) -> Stack:
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


def _check_type(part: str, model_type: str, supported: tuple[str, ...]) -> None:
    if model_type not in supported:
        raise UserError(f"the cost model covers {part}s of the types {', '.join(supported)}, not {model_type!r}")
