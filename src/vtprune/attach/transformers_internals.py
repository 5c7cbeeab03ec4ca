"""The internals of transformers and torch that attaching relies on, each behind one small function.

They were last checked with transformers 5.23 and torch 2.15. A release that changes one of them breaks here, and
nowhere else.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache, PreTrainedConfig, PreTrainedModel

Rotary = tuple[torch.Tensor, torch.Tensor]
"""A layer's `position_embeddings`: (cos, sin), `[1 or b, length, head_dim]` each."""


def forward_pre_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    """The forward pre-hooks of a module; torch has no public way to list them."""
    return list(module._forward_pre_hooks.values())


def lacks_weights(model: nn.Module) -> bool:
    """Whether a model has weights without values, and no hook of accelerate that loads them when they are needed."""
    return any(weight.is_meta for weight in model.parameters()) and not any(
        hasattr(module, "_hf_hook") for module in model.modules()
    )


def rotary_at(decoder: PreTrainedModel, layer: int, hidden: torch.Tensor, position_ids: torch.Tensor) -> Rotary:
    """The rotary embedding that a decoder gives a layer for these position ids, `[b, length]`."""
    rotary = cast(Any, decoder).rotary_emb
    if "layer_type" in inspect.signature(rotary.forward).parameters:  # Gemma 3
        return cast(Rotary, rotary(hidden, position_ids, cast(Any, decoder.config).layer_types[layer]))
    return cast(Rotary, rotary(hidden, position_ids))


def why_positions_stay(config: PreTrainedConfig) -> str | None:
    """Why the tokens of a decoder cannot be given consecutive positions; None if they can."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [part for part in (parameters, *parameters.values()) if isinstance(part, dict)]
    if any("mrope_section" in kind for kind in kinds):
        return "whose position ids have several axes and say where on its image's grid a token is (M-RoPE)"
    if any(kind.get("rope_type") in ("dynamic", "longrope") for kind in kinds):
        return "whose rotary embedding changes with the length of the sequence"
    return None


def attention_modules(layer: nn.Module) -> list[nn.Module]:
    """The attention modules of a layer: those that may look up a kernel in their configuration.

    The MLPs of some models hold the configuration as well, but none of them has a number of heads or a place among the
    layers of a cache.
    """
    children = [module for module in layer.modules() if module is not layer and hasattr(module, "config")]
    return [module for module in children if hasattr(module, "layer_idx") or hasattr(module, "num_heads")]


def register_kernel(name: str, kernel: Callable[..., Any], like: str | None) -> None:
    """Add an attention kernel under a name of its own, with the masks of another.

    Args:
        like: the name of the other kernel.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS  # a model has imported them already
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(name, kernel)
    if like in ALL_MASK_ATTENTION_FUNCTIONS:
        ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS[like])


def with_kernel(config: PreTrainedConfig, name: str) -> PreTrainedConfig:
    """A copy of a configuration that names another attention kernel."""
    other = copy.copy(config)
    other._attn_implementation_internal = name  # the public setter would change the parts that both copies share
    return other


def configured_kernel(attention: nn.Module, config: PreTrainedConfig) -> Callable[..., Any]:
    """The attention kernel that a module would call with this configuration.

    Every modelling file of transformers has its own eager kernel, and may have its own table of kernels.
    """
    file = vars(sys.modules[_modelling_class(attention).__module__])
    kernel = file["ALL_ATTENTION_FUNCTIONS"].get_interface(
        config._attn_implementation, file.get("eager_attention_forward")
    )
    return cast(Callable[..., Any], kernel)


def with_configuration(module: nn.Module, config: PreTrainedConfig) -> nn.Module:
    """A copy of a module that shares everything with it but has another configuration."""
    other = copy.copy(module)
    cast(Any, other).config = config
    return other


def _modelling_class(module: nn.Module) -> type:
    """The class of a module or the nearest base class whose file looks kernels up, for classes derived elsewhere."""
    classes = type(module).__mro__
    return next((cls for cls in classes if hasattr(sys.modules[cls.__module__], "ALL_ATTENTION_FUNCTIONS")), classes[0])


def attends_in_full(config: PreTrainedConfig, layer: int) -> str | None:
    """Why a decoder layer does not attend to every earlier token; None if it does."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return None if kinds[layer] == "full_attention" else str(kinds[layer]).replace("_", " ")
    return None if getattr(config, "sliding_window", None) is None else "sliding attention"


def is_static(cache: Cache | None) -> bool:
    """Whether a cache has a fixed length."""
    return bool(getattr(cache, "is_compileable", False))


def cached_layers(cache: Cache, layers: int) -> list[Any]:
    """What a dynamic cache holds of each of its first layers: whole, the end of it (sliding), or quantised.

    A cache replaces the states of a layer when it grows, so a copy of the layer keeps those that there are now.
    """
    return [copy.copy(entry) for entry in cast(Any, cache).layers[:layers]]


def fill_layers(cache: Cache, layers: list[Any]) -> bool:
    """Give an empty cache what `cached_layers` returned; it can do with it what it likes.

    Returns:
        Whether the cache is of the same kind.
    """
    held, new = cast(Any, cache).layers, cast(Any, cache).layer_class_to_replicate
    while len(held) < len(layers) and new is not None:
        held.append(new())
    if any(type(mine) is not type(given) for mine, given in zip(held, layers, strict=False)):
        return False
    for number, layer in enumerate(layers):
        held[number] = copy.copy(layer)
        # Resetting a cache overwrites these.
        held[number].keys, held[number].values = layer.keys.clone(), layer.values.clone()
    return True


def query_and_key_places(cache: Cache, layer: int, queries: int) -> tuple[int, int, int]:
    """Where a layer's new queries begin, how many keys its cache gives them, and where these begin.

    A sliding layer's cache gives the last keys only.
    """
    keys, first_key = cache.get_mask_sizes(queries, layer)
    return cache.get_seq_length(layer), keys, first_key


def sliding_window(config: PreTrainedConfig, layer: int) -> int | None:
    """The number of tokens that a decoder layer sees at most, itself included; None if it sees all earlier ones."""
    return None if attends_in_full(config, layer) is None else cast(int, config.sliding_window)


def causal_mask(
    config: PreTrainedConfig,
    attended: torch.Tensor,
    queries: int,
    dtype: torch.dtype,
    *,
    window: int | None = None,
    blocks: torch.Tensor | None = None,
    places: tuple[int, int, int] | None = None,
) -> torch.Tensor | None:
    """The causal mask that transformers would give a layer; None where its attention kernel needs no mask.

    Args:
        config: the decoder's configuration. Its attention implementation decides the form of the mask.
        attended: `[b, tokens]` bool over the layer's tokens (cached and new), False on padding.
        queries: how many of the tokens, the last ones, are new.
        dtype: type of the hidden states.
        window: how many tokens the layer sees at most.
        blocks: `[b, tokens]` numbers of the blocks whose tokens see one another, -1 for tokens of none.
        places: as `query_and_key_places` gives them; by default the layer has the keys of all tokens.
    """
    from transformers import masking_utils as masks  # a model has imported it already

    implementation = config._attn_implementation
    if implementation not in masks.ALL_MASK_ATTENTION_FUNCTIONS:
        return None  # transformers makes no mask for such a kernel either
    rows, tokens = attended.shape
    first_query, keys, first_key = places or (tokens - queries, tokens, 0)
    sees: Callable[..., Any] = masks.causal_mask_function
    if blocks is not None:
        sees = masks.or_masks(sees, masks.blockwise_overlay(blocks))
    if window is not None:
        sees = masks.and_masks(sees, masks.sliding_window_overlay(window))
    mask = masks.ALL_MASK_ATTENTION_FUNCTIONS[implementation](
        batch_size=rows,
        q_length=queries,
        kv_length=keys,
        q_offset=first_query,
        kv_offset=first_key,
        mask_function=sees,
        attention_mask=attended,
        allow_is_causal_skip=blocks is None,
        local_size=window,
        dtype=dtype,
        config=config,
        device=attended.device,
    )
    return cast("torch.Tensor | None", mask)
