"""The forward of tokens that continue the cache of a pruned prompt."""

from collections.abc import Mapping
from typing import Any

import torch

from vtprune.attach.core_call import CoreCall
from vtprune.attach.prompt import Prompt
from vtprune.attach.reindexing import Reindexing
from vtprune.attach.setup import Setup
from vtprune.attach.transformers_internals import causal_mask, query_and_key_places, sliding_window
from vtprune.errors import UserError


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
        self._masks: dict[tuple[int, int | None], torch.Tensor | None] = {}
        self._reindexing = Reindexing(setup.decoder, prompt) if setup.positions == "reindexed" else None

    def position_ids(self) -> torch.Tensor | None:
        """The position ids of the tokens, where transformers cannot know them; None where it can.

        It takes the length of the past from the cache of layer 0, which may be shortened. With M-RoPE it takes one
        position for each value of the attention mask, which a call by hand has for the past as well.

        Raises:
            UserError: if the tokens begin before the end of what is cached, or bring images whose positions (with
                several axes) nobody has computed.
        """
        call = self._call
        if self._prompt.ahead is not None and call.brings_images and call.position_ids is None:
            raise UserError(
                "images that continue a cache need position_ids with this model (get_rope_index makes them), because "
                "otherwise it would take them for text"
            )
        new = call.inputs_embeds if call.input_ids is None else call.input_ids
        shortened = self._prompt.segment(0) is not None
        if new is None or call.cache is None or not (shortened or self._prompt.ahead is not None):
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
        """As `PromptForward.before_layer`: mask (and reindexed positions) become those of the shortened cache."""
        segment = self._prompt.segment(index)
        if segment is None:
            return hidden, {}
        config = self._setup.decoder.config
        window = sliding_window(config, index)
        if (segment.first, window) not in self._masks:
            queries = hidden.shape[1]
            places = query_and_key_places(kwargs["past_key_values"], index, queries)
            attended = segment.attended.to(hidden.device)
            since = places[0] + queries - attended.shape[1]
            mask = self._call.attention_mask
            added = attended.new_ones(len(attended), since) if mask is None else mask[:, -since:].to(attended)
            keys = torch.cat((attended, added), dim=1)
            self._masks[segment.first, window] = causal_mask(
                config,
                keys,
                queries,
                hidden.dtype,
                window=window,
                blocks=self._blocks(queries, keys.shape[1], keys.device),
                places=places,
            )
        changed: dict[str, Any] = {"attention_mask": self._masks[segment.first, window]}
        if self._reindexing is not None:
            changed |= self._reindexing.of_continuation(index, segment, hidden, kwargs)
        return hidden, changed

    def _blocks(self, queries: int, tokens: int, device: torch.device) -> torch.Tensor | None:
        """`[b, tokens]` the blocks of the new tokens; those that are cached are in none of them."""
        call = self._call
        if call.input_ids is None:
            return None
        blocks = self._setup.family.blocks(self._setup.config, call.input_ids, call.arguments)
        if blocks is None or not bool((blocks[:, -queries:] >= 0).any()):
            return None
        new = blocks[:, -queries:].to(device)
        return torch.nn.functional.pad(new, (tokens - queries, 0), value=-1)
