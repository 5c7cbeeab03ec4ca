"""Consecutive positions in the layers that see a shortened sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch

from vtprune.attach.prompt import Prompt, Segment
from vtprune.attach.transformers_internals import Rotary, rotary_at, sliding_window, why_positions_stay
from vtprune.errors import UserError
from vtprune.validation import one_of

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedModel

Positions = Literal["kept", "reindexed"]
POSITIONS: tuple[Positions, ...] = ("kept", "reindexed")


class Reindexing:
    """Gives the tokens of a shortened sequence consecutive positions, for one forward.

    Args:
        decoder: the language model.
        prompt: the prompt that was shortened.
    """

    def __init__(self, decoder: PreTrainedModel, prompt: Prompt) -> None:
        self._decoder, self._prompt = decoder, prompt
        self._made: dict[tuple[int, int | None], tuple[Rotary, torch.Tensor]] = {}

    def of_prompt(
        self, layer: int, segment: Segment, hidden: torch.Tensor, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The positions of a layer that sees the prompt: one after the other, from that of its first token on.

        Args:
            layer: of the decoder.
            segment: of the layer.
            hidden: `[b, length, d]` the shortened hidden states that enter the layer.
            kwargs: the arguments of the layer for the whole sequence.

        Raises:
            UserError: if the positions of the whole prompt are not consecutive.
        """
        given = self._given(kwargs)
        attended = self._prompt.prompt_attended.to(given.device)
        if attended.shape[1] < given.shape[1]:  # a repeated prompt with the tokens generated since
            attended = torch.nn.functional.pad(attended, (0, given.shape[1] - attended.shape[1]), value=True)
        first = given.expand_as(attended).gather(1, attended.int().argmax(dim=1, keepdim=True))
        consecutive = first + attended.cumsum(dim=1) - 1
        if not torch.equal(consecutive[attended], given.expand_as(attended)[attended]):
            raise UserError("positions='reindexed' needs prompts whose position_ids are consecutive")
        left = segment.attended.to(given.device)
        return self._arguments(layer, segment, hidden, (first + left.cumsum(dim=1) - 1).clamp(min=0))

    def of_continuation(
        self, layer: int, segment: Segment, hidden: torch.Tensor, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The positions of a layer that sees tokens that continue the prompt: lower by what the layer lacks."""
        lacks = self._prompt.prompt_attended.sum(dim=1) - self._prompt_tokens(segment)
        given = self._given(kwargs)
        return self._arguments(layer, segment, hidden, given - lacks[:, None].to(given.device))

    def _prompt_tokens(self, segment: Segment) -> torch.Tensor:
        """`[b]` how many tokens of the prompt the layers of a segment see."""
        return segment.attended.sum(dim=1).to(self._prompt.prompt_attended.device)

    def _given(self, kwargs: Mapping[str, Any]) -> torch.Tensor:
        given: torch.Tensor | None = kwargs.get("position_ids")
        if given is None or given.ndim != 2:
            raise UserError(
                "positions='reindexed' needs a decoder whose layers get position_ids with one axis, "
                f"and {type(self._decoder).__name__} gives them {'none' if given is None else 'several'}"
            )
        return given

    def _arguments(self, layer: int, segment: Segment, hidden: torch.Tensor, positions: torch.Tensor) -> dict[str, Any]:
        key = (segment.first, sliding_window(self._decoder.config, layer))
        if key not in self._made:
            self._made[key] = (rotary_at(self._decoder, layer, hidden, positions.to(hidden.device)), positions)
        rotary, made = self._made[key]
        return {"position_embeddings": tuple(part.to(hidden.device) for part in rotary), "position_ids": made}


def check_positions(positions: str, decoder: PreTrainedModel) -> None:
    """Check that a decoder's positions can be as asked.

    Raises:
        UserError: if they cannot.
    """
    one_of(POSITIONS, "positions", positions)
    reason = why_positions_stay(decoder.config) if positions == "reindexed" else None
    if reason is not None:
        raise UserError(f"positions='reindexed' has no meaning for {type(decoder).__name__}, {reason}: take 'kept'")
