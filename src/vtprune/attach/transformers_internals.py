"""The internals of transformers and torch that attaching relies on, each behind one small function.

They were last checked with transformers 5.23 and torch 2.15. A release that changes one of them breaks here, and
nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache, PreTrainedConfig

Rotary = tuple[torch.Tensor, torch.Tensor]
"""A layer's `position_embeddings`: (cos, sin), `[1 or b, length, head_dim]` each."""


def forward_pre_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    """The forward pre-hooks of a module; torch has no public way to list them."""
    return list(module._forward_pre_hooks.values())


def apply_rotary(attention: nn.Module, states: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """Rotate queries or keys `[b, heads, length, head_dim]` as an attention module does.

    Every modelling file of transformers has its own `apply_rotary_pos_emb(queries, keys, cos, sin)`.
    """
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb
    return cast(torch.Tensor, rotate(states, states, *rotary)[0])


def is_static(cache: Cache | None) -> bool:
    """Whether a cache has a fixed length."""
    return bool(getattr(cache, "is_compileable", False))


def cached_states(cache: Cache, layers: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The (keys, values) that a dynamic cache holds of each of its first layers."""
    return [(entry.keys, entry.values) for entry in cast(Any, cache).layers[:layers]]


def causal_mask(
    config: PreTrainedConfig, attended: torch.Tensor, queries: int, dtype: torch.dtype
) -> torch.Tensor | None:
    """The causal mask that transformers would give a layer; None where its attention kernel needs no mask.

    Args:
        config: the decoder's configuration. Its attention implementation decides the form of the mask.
        attended: `[b, keys]` bool over the layer's keys (cached and new), False on padding.
        queries: how many of the keys, the last ones, are new.
        dtype: type of the hidden states.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS  # a model has imported it already

    implementation = config._attn_implementation
    if implementation not in ALL_MASK_ATTENTION_FUNCTIONS:
        return None  # transformers makes no mask for such a kernel either
    rows, keys = attended.shape
    mask = ALL_MASK_ATTENTION_FUNCTIONS[implementation](
        batch_size=rows,
        q_length=queries,
        kv_length=keys,
        q_offset=keys - queries,
        kv_offset=0,
        attention_mask=attended,
        dtype=dtype,
        config=config,
        device=attended.device,
    )
    return cast("torch.Tensor | None", mask)
