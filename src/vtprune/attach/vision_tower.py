"""What the vision tower makes of the images, sorted to the prompts and image tokens that it belongs to."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vtprune.attach.layout import Layout, square_grid
from vtprune.errors import UserError
from vtprune.features import Patches


def by_prompt(outputs: torch.Tensor | None, counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the projector was given, by prompt.

    Args:
        outputs: ``[images, tokens, d]``, the images (or tiles) of all prompts in a row; None if the
            projector was not seen at work. Beam search repeats prompts, not images.
        counts: how many of them each prompt shows.

    Returns:
        ``[b, m, d]``, padded to the prompt that has most, and ``[b, m]`` bool, which are there.

    Raises:
        ValueError: if there are none, or they cannot be told apart by prompt.
    """
    if outputs is None:
        raise UserError(
            "the vision tower's features were not seen: encode the images within the with block, or take "
            "features='projected'"
        )
    # A factor between them means that each prompt stands there once a beam.
    images = len(outputs) if outputs.ndim == 3 else 0
    beams = max(1, sum(counts) // max(1, images))
    if images == 0 or sum(counts[::beams]) != images:
        raise UserError(
            f"the vision tower gave features of shape {list(outputs.shape)} for {sum(counts)} images, so it is "
            "not known which are of which prompt; take features='projected'"
        )
    parts = list(outputs.split(counts[::beams]))
    most = max(len(part) for part in parts)
    padded = outputs.new_zeros(len(counts), most, *outputs.shape[1:])
    valid = torch.zeros(len(counts), most, outputs.shape[1], dtype=torch.bool, device=outputs.device)
    for row in range(len(counts)):
        part = parts[row // beams]
        padded[row, : len(part)] = part
        valid[row, : len(part)] = True
    return padded.flatten(1, 2), valid.flatten(1)


class Tower:
    """The attention of the vision tower's layer whose output the projector is given.

    Where that is several layers' (``vision_feature_layer`` may be a list), of the last named.

    Args:
        attention: that layer's attention module.
        config: the whole model's configuration.
    """

    def __init__(self, attention: nn.Module, config: Any) -> None:
        self._attention, self._config = attention, config

    @classmethod
    def of(cls, tower: nn.Module, config: Any) -> "Tower | None":
        """A model's, by its vision tower and whole configuration; None if it has no such layer."""
        attentions = [module for module in tower.modules() if hasattr(module, "q_proj") and hasattr(module, "k_proj")]
        named = config.vision_feature_layer
        index = named if isinstance(named, int) else named[-1]
        # Hidden states are counted from the embeddings on, so those at 1 are the first layer's.
        index = index + len(attentions) if index < 0 else index - 1
        return cls(attentions[index], config) if 0 <= index < len(attentions) else None

    def listen(self, seen: dict[str, torch.Tensor]) -> list[Any]:
        """Hooks that leave the queries and keys of every picture in ``seen``."""

        def hook(name: str) -> Any:
            def left(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
                height, width = square_grid(self._config)
                only_class = name == "query" and output.shape[1] == 1 + height * width
                seen[f"tower_{name}"] = output[:, :1].clone() if only_class else output

            return left

        # InternVL may normalise them after projecting.
        modules = {name: getattr(self._attention, f"{name[0]}_norm", None) for name in ("query", "key")}
        return [
            (module or getattr(self._attention, f"{name[0]}_proj")).register_forward_hook(hook(name))
            for name, module in modules.items()
        ]

    def patches(self, layout: Layout, seen: Mapping[str, torch.Tensor]) -> Patches:
        """What it leaves, at the image tokens of a batch.

        Raises:
            ValueError: if it has not seen the batch's pictures, or its tokens are not their patches and
                at most a class token before them.
        """
        if "tower_key" not in seen:
            raise UserError("the vision tower's attention was not seen: encode the images within the with block")
        side = square_grid(self._config)
        count = side[0] * side[1]
        query, key = (
            seen[name].unflatten(-1, (self._attention.num_heads, -1)) for name in ("tower_query", "tower_key")
        )
        if key.shape[1] - count not in (0, 1):
            raise UserError(f"the vision tower has {key.shape[1]} tokens for {count} patches, not as many or one more")
        attention = torch.cat([_received(q, k, self._attention.scale) for q, k in zip(query, key, strict=True)])
        values = torch.cat((attention[..., None], key.float().mean(dim=2)), dim=-1)[:, -count:]
        values, _ = by_prompt(values, layout.pictures)
        index = layout.patches(side).to(values.device)
        present = (index >= 0).all(dim=2)
        at = index.clamp(min=0).flatten(1)[..., None].expand(-1, -1, values.shape[-1])
        own = values.gather(1, at).unflatten(1, index.shape[1:]).mean(dim=2)
        own = own.masked_fill(~present[..., None], 0.0).to(layout.index.device)
        return Patches(own[..., 0], own[..., 1:], present.to(layout.index.device) & layout.valid)


def _received(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """``[1, length]`` what one picture's queries pay to each token, mean over heads and queries.

    Args:
        query: ``[queries, heads, head_dim]``.
        key: ``[length, heads, head_dim]``.
    """
    logits = query.float().transpose(0, 1) @ key.float().permute(1, 2, 0) * scale
    return logits.softmax(dim=-1).mean(dim=(0, 1))[None]
