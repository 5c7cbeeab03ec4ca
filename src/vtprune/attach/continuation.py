"""The forward of tokens that continue the cache of a pruned prompt."""

from collections.abc import Mapping
from typing import Any

import torch

from vtprune.attach.core_call import CoreCall
from vtprune.attach.prompt import Prompt
from vtprune.attach.setup import Setup
from vtprune.attach.transformers_internals import causal_mask


class ContinuedForward:
    """The forward of tokens that continue a pruned prompt. Nothing is pruned in it.

    Made when the forward begins, dropped when it ends.

    Args:
        setup: the method and its model.
        prompt: the prompt that filled the cache.
        call: the call whose tokens continue it.
    """

    def __init__(self, setup: Setup, prompt: Prompt, call: CoreCall) -> None:
        self._setup, self._prompt, self._call = setup, prompt, call
        self._masks: dict[int, torch.Tensor | None] = {}

    def position_ids(self) -> torch.Tensor | None:
        """The position ids of the tokens, where transformers cannot know them; None where it can.

        Raises:
            UserError: if the tokens begin before the end of what is cached.
        """
        call = self._call
        new = call.inputs_embeds if call.input_ids is None else call.input_ids
        if new is None or call.cache is None or self._prompt.segment(0) is None:
            return None
        return self._prompt.next_positions(
            new.shape[1],
            call.cache.get_seq_length(),
            call.attention_mask,
            call.position_ids,
            unseen=self._has_image_tokens_alone(),
        )

    def _has_image_tokens_alone(self) -> bool:
        """Whether the tokens contain image tokens, but the call has no images."""
        ids = self._call.input_ids
        if ids is None or ids.shape[1] == 1 or self._call.brings_images:
            return False  # a single image token may have been generated
        return bool((ids == self._setup.config.image_token_id).any())

    def before_layer(
        self, index: int, hidden: torch.Tensor, kwargs: Mapping[str, Any]
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """As `PromptForward.before_layer`: only the mask becomes that of the layer's shortened cache."""
        segment = self._prompt.segment(index)
        if segment is None:
            return hidden, {}
        first, attended = segment
        if first not in self._masks:
            queries = hidden.shape[1]
            since = kwargs["past_key_values"].get_seq_length(index) + queries - attended.shape[1]
            attended = attended.to(hidden.device)
            mask = self._call.attention_mask
            added = attended.new_ones(len(attended), since) if mask is None else mask[:, -since:].to(attended)
            keys = torch.cat((attended, added), dim=1)
            self._masks[first] = causal_mask(self._setup.decoder.config, keys, queries, hidden.dtype)
        return hidden, {"attention_mask": self._masks[first]}
