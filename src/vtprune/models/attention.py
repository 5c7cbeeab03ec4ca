"""One row of a decoder layer's attention, and masks for shortened sequences."""

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
    rows, length = attended.shape
    size = layer_attention.head_dim
    query = query.view(rows, 1, -1, size).transpose(1, 2)
    key = key.view(rows, length, -1, size).transpose(1, 2)
    # The layer's own function: its module imports it, whichever family it is of.
    rotate = sys.modules[type(layer_attention).__module__].apply_rotary_pos_emb
    cos, sin = rotary
    last, _ = rotate(query, query, cos[:, -1:], sin[:, -1:])
    _, key = rotate(key, key, cos, sin)
    heads, kv_heads = query.shape[1], key.shape[1]
    # Grouped queries: consecutive query heads share a key head.
    grouped = last.reshape(rows, kv_heads, heads // kv_heads, size).float()
    logits = grouped @ key.float().transpose(-1, -2) * layer_attention.scaling
    logits = logits.masked_fill(~attended[:, None, None], float("-inf"))
    return logits.softmax(dim=-1).mean(dim=(1, 2))


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
