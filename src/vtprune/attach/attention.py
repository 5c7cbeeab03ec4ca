"""The attention weights of one decoder layer that rankings use, computed from its queries and keys."""

import torch

from vtprune.attach.recording import Recorded


def paid_by_last(states: Recorded, attended: torch.Tensor) -> torch.Tensor:
    """The attention that the last token pays to every token: softmax over the row, mean over heads.

    The numbers are those of the last row of `output_attentions`, for the cost of one row.

    Args:
        states: the layer's; only the last query is looked at.
        attended: `[b, length]` bool, False on padding.

    Returns:
        `[b, length]` float32.
    """
    logits = _logits(states.query[:, :, -1:], _token_by_token(states.key), states.scaling)
    logits = logits.masked_fill(~attended[:, None, None], float("-inf"))
    return logits.softmax(dim=-1).mean(dim=(1, 2))


def attention_received(
    states: Recorded,
    attended: torch.Tensor,
    payers: torch.Tensor,
    blocks: torch.Tensor | None = None,
    block: int = 128,
) -> torch.Tensor:
    """The attention that groups of tokens pay to every token: softmax over rows, largest over heads, summed.

    The numbers are those of `output_attentions`, computed `block` rows at a time: the memory is one float32
    `[b, heads, block, length]`.

    Args:
        states: the layer's, with the queries of all tokens.
        attended: `[b, length]` bool, False on padding.
        payers: `[b, groups, length]` bool, the tokens of each group.
        blocks: `[b, length]` numbers of the blocks whose tokens see one another, -1 for tokens of none; None where
            every token sees only itself and earlier ones.
        block: number of rows of attention that are held at a time.

    Returns:
        `[b, groups, length]` float32.
    """
    query, key = states.query.float(), _token_by_token(states.key).float()
    index = torch.arange(key.shape[2], device=key.device)
    total = torch.zeros(payers.shape, dtype=torch.float32, device=key.device)
    for rows in torch.split(index, block):
        logits = _logits(query[:, :, rows], key, states.scaling)
        seen = index <= rows[:, None]
        if blocks is not None:
            seen = seen | ((blocks[:, rows, None] == blocks[:, None]) & (blocks[:, rows, None] >= 0))
        visible = attended[:, None] & seen
        # Not -inf: rows of padding see nothing, and would become NaN instead of counting nothing.
        logits = logits.masked_fill(~visible[:, None], torch.finfo(logits.dtype).min)
        weights = logits.softmax(dim=-1).amax(dim=1).masked_fill(~attended[:, rows, None], 0.0)  # padding may be NaN
        total += payers[:, :, rows].float() @ weights
    return total


def paid_by_each(states: Recorded, attended: torch.Tensor, payers: torch.Tensor, block: int = 128) -> torch.Tensor:
    """The attention that some tokens pay to every token: softmax over rows, mean over heads.

    Args:
        states: the layer's, with the queries of all tokens.
        attended: `[b, length]` bool, False on padding.
        payers: `[b, t]` positions of these tokens, each of which sees itself and earlier ones.
        block: number of rows of attention that are held at a time.

    Returns:
        `[b, t, length]` float32.
    """
    key = _token_by_token(states.key).float()
    index = torch.arange(key.shape[2], device=key.device)
    paid = []
    for rows in torch.split(payers, block, dim=1):
        place = rows[:, None, :, None].expand(-1, states.query.shape[1], -1, states.query.shape[-1])
        logits = _logits(states.query.gather(2, place), key, states.scaling)
        visible = attended[:, None] & (index <= rows[..., None])
        # Not -inf: rows of padding see nothing, and would become NaN.
        logits = logits.masked_fill(~visible[:, None], torch.finfo(logits.dtype).min)
        paid.append(logits.softmax(dim=-1).mean(dim=1))
    return torch.cat(paid, dim=1)


def _token_by_token(key: torch.Tensor) -> torch.Tensor:
    """The same keys, stored token by token, as projections store them.

    Caches store them head by head, and the last bit of a product may depend on that: scores would depend on the cache.
    """
    return key.transpose(1, 2).contiguous().transpose(1, 2)


def _logits(query: torch.Tensor, key: torch.Tensor, scaling: float) -> torch.Tensor:
    """`[b, heads, queries, length]` float32, before masking."""
    batch, heads, queries, size = query.shape
    # Grouped queries: consecutive query heads share a key head.
    grouped = query.reshape(batch, key.shape[1], -1, size).float()
    logits = grouped @ key.float().transpose(-1, -2) * scaling
    return logits.view(batch, heads, queries, -1)
