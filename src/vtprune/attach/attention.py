"""What a pruner needs of a decoder layer's attention, and masks for shortened sequences."""

import sys
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS


def attention_row(
    layer_attention: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    attended: torch.Tensor,
) -> torch.Tensor:
    """What the last token pays to every token, softmax over the whole row, mean over heads.

    The same numbers as the last row of ``output_attentions``, for the price of one row.

    Args:
        layer_attention: the layer's attention module, for its head size, scaling and rotary function.
        query: ``[b, heads * head_dim]``, the last token's query, before rotary embedding.
        key: ``[b, length, kv_heads * head_dim]``, every token's key, before rotary embedding.
        rotary: the layer's ``position_embeddings`` (cos, sin), ``[1 or b, length, head_dim]``.
        attended: ``[b, length]`` bool, False on padding.

    Returns:
        ``[b, length]`` float32.
    """
    last = _rotated(layer_attention, query[:, None], tuple(part[:, -1:] for part in rotary))
    logits = _logits(layer_attention, last, _rotated(layer_attention, key, rotary))
    logits = logits.masked_fill(~attended[:, None, None], float("-inf"))
    return logits.softmax(dim=-1).mean(dim=(1, 2))


def attention_received(
    layer_attention: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    attended: torch.Tensor,
    payers: torch.Tensor,
    block: int = 128,
) -> torch.Tensor:
    """What groups of tokens pay to every token: softmax over whole rows, largest over heads, summed.

    The same numbers as from ``output_attentions``, ``block`` rows at a time: memory is one float32
    ``[b, heads, block, length]``.

    Args:
        layer_attention: as of :func:`attention_row`.
        query: ``[b, length, heads * head_dim]``, every token's query, before rotary embedding.
        key, rotary, attended: as of :func:`attention_row`.
        payers: ``[b, groups, length]`` bool, which tokens belong to each group.
        block: how many rows of attention to hold at a time.

    Returns:
        ``[b, groups, length]`` float32.
    """
    query, key = (_rotated(layer_attention, states, rotary).float() for states in (query, key))
    place = torch.arange(key.shape[2], device=key.device)
    total = torch.zeros(payers.shape, dtype=torch.float32, device=key.device)
    for rows in place.split(block):
        logits = _logits(layer_attention, query[:, :, rows], key)
        seen = attended[:, None] & (place <= rows[:, None])
        # Not -inf: the rows of padding see nothing, and must stay numbers to count nothing.
        logits = logits.masked_fill(~seen[:, None], torch.finfo(logits.dtype).min)
        total += payers[:, :, rows].float() @ logits.softmax(dim=-1).amax(dim=1)
    return total


def _rotated(layer_attention: nn.Module, states: torch.Tensor, rotary: tuple) -> torch.Tensor:
    """``[b, length, heads * head_dim]`` queries or keys by head, rotated: ``[b, heads, length, head_dim]``."""
    states = states.unflatten(-1, (-1, layer_attention.head_dim)).transpose(1, 2)
    # The layer's own function: its module imports it, whichever family it is of.
    rotate = sys.modules[type(layer_attention).__module__].apply_rotary_pos_emb
    return rotate(states, states, *rotary)[0]


def _logits(layer_attention: nn.Module, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """``[b, heads, queries, length]`` float32, before masking."""
    batch, heads, queries, size = query.shape
    # Grouped queries: consecutive query heads share a key head.
    grouped = query.reshape(batch, key.shape[1], -1, size).float()
    logits = grouped @ key.float().transpose(-1, -2) * layer_attention.scaling
    return logits.view(batch, heads, queries, -1)


def layer_mask(config: Any, attended: torch.Tensor, queries: int, dtype: torch.dtype) -> torch.Tensor | None:
    """The causal mask of a layer that sees its own, shorter sequence.

    Args:
        config: the decoder's configuration; its attention implementation decides the mask's form.
        attended: ``[b, keys]`` bool over the keys of this layer (cached and new), False on padding.
        queries: how many of the keys, the last ones, are new.
        dtype: the hidden states' type.

    Returns:
        What transformers itself would hand the layer; None where its kernel needs no mask.
    """
    implementation = config._attn_implementation
    if implementation not in ALL_MASK_ATTENTION_FUNCTIONS:
        return None  # transformers builds none for such kernels either
    rows, keys = attended.shape
    return ALL_MASK_ATTENTION_FUNCTIONS[implementation](
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
