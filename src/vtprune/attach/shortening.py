"""The arguments of decoder layers that see a shortened sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from vtprune.attach.prompt import Segment
from vtprune.attach.reindexing import Reindexing
from vtprune.attach.transformers_internals import causal_mask, sliding_window

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig

# The kernels of transformers that do not look at position ids.
_WITHOUT_POSITIONS = ("eager", "sdpa", "flex_attention")


class Shortening:
    """Makes the arguments of the layers of one forward fit the shortened sequence.

    Layers of different kinds (full and sliding) have rotary embeddings and masks of their own.

    Args:
        config: of the decoder.
        reindexing: gives the tokens consecutive positions; None if they keep theirs.
    """

    def __init__(self, config: PreTrainedConfig, reindexing: Reindexing | None = None) -> None:
        self._config, self._reindexing = config, reindexing
        self._order: torch.Tensor | None = None
        self._masks: dict[tuple[int, int | None], torch.Tensor | None] = {}
        # By argument: what it was made from and for which sequence, and the result.
        self._taken: dict[object, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def drop(self, order: torch.Tensor) -> None:
        """Shorten the sequence.

        Args:
            order: `[b, new length]` for each position of the new sequence, its position in the one before.
        """
        self._order = order if self._order is None else self._order.to(order.device).gather(1, order)

    def arguments(
        self, layer: int, segment: Segment, hidden: torch.Tensor, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments of a layer that replace its own.

        Position ids have gaps now. The kernels of FlashAttention would take these for the ends of packed sequences, so
        only kernels that are known to ignore position ids get them. The positions are in the rotary embedding already.

        Args:
            hidden: `[b, length, d]` the shortened hidden states that enter the layer.
            kwargs: the arguments of the layer for the whole sequence.
        """
        window = sliding_window(self._config, layer)
        if (segment.first, window) not in self._masks:
            self._masks[segment.first, window] = causal_mask(
                self._config, segment.attended, hidden.shape[1], hidden.dtype, window=window, blocks=segment.blocks
            )
        changed: dict[str, Any] = {"attention_mask": self._masks[segment.first, window]}
        ignored = self._config._attn_implementation in _WITHOUT_POSITIONS
        if self._reindexing is not None:
            changed |= self._reindexing.of_prompt(layer, segment, hidden, kwargs)
            return changed if ignored else {**changed, "position_ids": None}
        rotary, position_ids = kwargs.get("position_embeddings"), kwargs.get("position_ids")
        if rotary is not None:
            changed["position_embeddings"] = tuple(
                self._take((number, window), part, hidden) for number, part in enumerate(rotary)
            )
        if position_ids is not None:
            changed["position_ids"] = (
                self._take("positions", position_ids[..., None], hidden)[..., 0] if ignored else None
            )
        return changed

    def _take(self, name: object, whole: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """`[..., b, new length, d]` of `[..., 1 or b, length, d]`."""
        kept, made = cast(torch.Tensor, self._order), self._taken.get(name)
        if made is not None and made[0] is whole and made[1] is kept:
            return made[2]
        order = kept.to(hidden.device)
        shape = (*whole.shape[:-3], len(order), *whole.shape[-2:])
        index = order[..., None].expand(*shape[:-2], order.shape[1], shape[-1])
        taken = whole.to(hidden.device).expand(shape).gather(-2, index)
        self._taken[name] = (whole, kept, taken)
        return taken
