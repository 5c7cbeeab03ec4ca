"""The vision tower's attention and output, sorted by the prompts and image tokens to which they belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from vtprune.attach.layout import Layout, square_grid
from vtprune.errors import UserError
from vtprune.features import Patches
from vtprune.ops.indexing import take

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


def by_prompt(outputs: torch.Tensor | None, counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort the vision tower's output by prompt.

    Args:
        outputs: `[pictures, tokens, d]` of the pictures of all prompts, in order; None if hooks did not see the
            projector at work. Beam search repeats prompts, not pictures.
        counts: for each prompt, how many of the pictures it shows.

    Returns:
        `[b, m, d]`, padded to the prompt with most tokens, and `[b, m]` bool, False for padding.

    Raises:
        UserError: if there are no outputs, or they cannot be assigned to prompts.
    """
    if outputs is None:
        raise UserError(
            "the vision tower's features were not seen: encode the images within the with block, or take "
            "features='projected'"
        )
    # A whole factor between both numbers means that beam search repeats each prompt.
    pictures = len(outputs) if outputs.ndim == 3 else 0
    beams = max(1, sum(counts) // max(1, pictures))
    if pictures == 0 or sum(counts[::beams]) != pictures:
        raise UserError(
            f"the vision tower's features of shape {list(outputs.shape)} cannot be assigned to the {sum(counts)} "
            "pictures of the prompts; take features='projected'"
        )
    parts = list(torch.split(outputs, counts[::beams]))
    most = max(len(part) for part in parts)
    padded = outputs.new_zeros(len(counts), most, *outputs.shape[1:])
    valid = torch.zeros(len(counts), most, outputs.shape[1], dtype=torch.bool, device=outputs.device)
    for row in range(len(counts)):
        part = parts[row // beams]
        padded[row, : len(part)] = part
        valid[row, : len(part)] = True
    return padded.flatten(1, 2), valid.flatten(1)


class TowerAttention:
    """The attention in the layer of the vision tower whose output the projector gets.

    `vision_feature_layer` may name several layers; then it is the last one named.

    Args:
        attention: the attention module of that layer.
        config: the configuration of the model.
    """

    def __init__(self, attention: nn.Module, config: PreTrainedConfig) -> None:
        self._attention, self._config = attention, config

    @classmethod
    def of(cls, vision_tower: nn.Module, config: PreTrainedConfig) -> TowerAttention | None:
        """The attention of a vision tower; None if it has no such layer.

        Args:
            config: the configuration of the model.
        """
        modules = vision_tower.modules()
        attentions = [module for module in modules if hasattr(module, "q_proj") and hasattr(module, "k_proj")]
        named = config.vision_feature_layer
        index = named if isinstance(named, int) else named[-1]
        # Hidden states are counted from the embeddings on: number 1 is the output of the first layer.
        index = index + len(attentions) if index < 0 else index - 1
        return cls(attentions[index], config) if 0 <= index < len(attentions) else None

    def listen(self, seen: dict[str, torch.Tensor]) -> list[RemovableHandle]:
        """Put hooks on the layer that store the queries and keys of every picture in `seen`."""

        def store_query(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
            height, width = square_grid(self._config)
            has_class_token = output.shape[1] == 1 + height * width
            # Of a tower with a class token, only that token's query is needed: the others can be freed.
            seen["tower_query"] = output[:, :1].clone() if has_class_token else output

        def store_key(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
            seen["tower_key"] = output

        return [
            self._last_of("q_norm", "q_proj").register_forward_hook(store_query),
            self._last_of("k_norm", "k_proj").register_forward_hook(store_key),
        ]

    def _last_of(self, norm: str, projection: str) -> nn.Module:
        """The module that makes the final queries or keys: InternVL may normalise them after projecting."""
        module = getattr(self._attention, norm, None) or getattr(self._attention, projection)
        return cast(nn.Module, module)

    def patches(self, layout: Layout, seen: Mapping[str, torch.Tensor]) -> Patches:
        """The attention and keys of the image tokens of a batch.

        Args:
            layout: of the batch.
            seen: the queries and keys that `listen` stored.

        Raises:
            UserError: if the hooks have not seen the batch's pictures, or the tower's tokens are not patches with at
                most a class token before them.
        """
        if "tower_key" not in seen:
            raise UserError("the vision tower's attention was not seen: encode the images within the with block")
        side = square_grid(self._config)
        count = side[0] * side[1]
        heads = cast(int, self._attention.num_heads)
        query, key = (torch.unflatten(seen[name], -1, (heads, -1)) for name in ("tower_query", "tower_key"))
        if key.shape[1] - count not in (0, 1):
            raise UserError(
                f"a vision tower of {count} patches must have {count} or {count + 1} tokens, not {key.shape[1]}"
            )
        scale = cast(float, self._attention.scale)
        attention = torch.cat([_received(q, k, scale) for q, k in zip(query, key, strict=True)])
        values = torch.cat((attention[..., None], key.float().mean(dim=2)), dim=-1)[:, -count:]
        values, _ = by_prompt(values, layout.pictures)
        index = layout.patches(side).to(values.device)
        present = (index >= 0).all(dim=2)
        by_patch = torch.unflatten(take(values, index.clamp(min=0).flatten(1)), 1, index.shape[1:])
        by_token = by_patch.mean(dim=2)
        by_token = by_token.masked_fill(~present[..., None], 0.0).to(layout.index.device)
        return Patches(by_token[..., 0], by_token[..., 1:], present.to(layout.index.device) & layout.valid)


def _received(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """`[1, length]` attention that each token of one picture receives, mean over heads and queries.

    Args:
        query: `[queries, heads, head_dim]`.
        key: `[length, heads, head_dim]`.
    """
    logits = query.float().transpose(0, 1) @ key.float().permute(1, 2, 0) * scale
    return logits.softmax(dim=-1).mean(dim=(0, 1))[None]
