"""The forward of a new prompt: everything that belongs to it, from its beginning to its end."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from vtprune.attach.captured import Captured
from vtprune.attach.core_call import CoreCall
from vtprune.attach.image_encodings import Encoding, Encodings
from vtprune.attach.kept import Choice
from vtprune.attach.layout import Layout
from vtprune.attach.prefix import PrefixState
from vtprune.attach.prompt import Prompt
from vtprune.attach.recording import Recorded
from vtprune.attach.reindexing import Reindexing
from vtprune.attach.setup import Setup
from vtprune.attach.shortening import Shortening
from vtprune.attach.stage_features import features_at
from vtprune.errors import NotFiniteError, UserError
from vtprune.features import Features
from vtprune.ops.indexing import mask_from_indices, take
from vtprune.stages import Goal, Stage

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache


class PromptForward:
    """The forward of a new prompt: each stage shortens the sequence before its layer.

    Three kinds of prompt begin differently. A prompt with its images runs all layers. A prompt that starts from a
    prefix runs the layers from that of the prefix's state on. A prompt that continues the last one without a cache
    repeats the choices of that one, without scores.

    Attributes:
        prompt: the prompt.
        start: the state of the prefix from which the forward starts, if it does.
        repeated: the choices that it repeats, by layer, if it does.
    """

    def __init__(
        self,
        setup: Setup,
        prompt: Prompt,
        encodings: Encodings,
        *,
        start: PrefixState | None = None,
        repeated: Mapping[int, Choice] | None = None,
    ) -> None:
        self.prompt, self.start, self.repeated = prompt, start, repeated
        self._setup, self._encodings = setup, encodings
        self._captured = Captured()
        self._shared = start  # the state whose features all methods of the prefix share
        self._goal: Goal | None = None
        reindexing = Reindexing(setup.decoder, prompt) if setup.positions == "reindexed" else None
        self._shortening = Shortening(setup.decoder.config, reindexing)

    @classmethod
    def begin(cls, setup: Setup, call: CoreCall, last: Prompt | None, encodings: Encodings) -> PromptForward:
        """The forward of a call that does not continue a cache.

        Args:
            last: the prompt before it.
            encodings: of images. `latest` becomes the encoding of the call's image features, if there is one.

        Raises:
            UserError: for a prompt that cannot be pruned.
        """
        ids, attended = _ids_and_attended(call)
        features, image_token = call.image_features, setup.config.image_token_id
        blocks = setup.family.blocks(setup.config, ids, call.arguments)
        encodings.latest = encodings.of(features)  # without features, the forward itself may encode images
        if call.without_cache and last is not None and last.is_continued_by(ids, call.pixel_values, features):
            prompt = Prompt.start(ids, last.layout, attended, image_token, blocks)
            # The next step continues the prompt as well, so keep its ids, without the generated ones.
            prompt.input_ids, prompt.prompt_attended = last.input_ids, last.prompt_attended
            forward = cls(setup, prompt, encodings, repeated=last.choices)
        else:
            start = None
            if setup.prefix is not None and call.pixel_values is None and features is None:
                start = setup.prefix.start(ids, attended, setup.first_layer)
            layout = _layout(setup, call, ids, attended, encodings.latest) if start is None else start.layout
            prompt = Prompt.start(ids, layout, attended, image_token, blocks)
            forward = cls(setup, prompt, encodings, start=start)
        prompt.pixel_values = call.pixel_values
        prompt.image_features = None if features is None else weakref.ref(features)
        return forward

    @property
    def begins_at(self) -> int:
        """The first layer that runs."""
        return 0 if self.start is None else self.start.layer

    def capture(self, recorded: Recorded) -> None:
        """Remember the attention of a layer, which features are made from."""
        if self.repeated is None:
            self._captured.attention = recorded

    def enter_decoder(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Take from the decoder's arguments what belongs to image tokens.

        Returns:
            The arguments that replace its own.
        """
        position_ids = kwargs.get("position_ids")
        if position_ids is not None and position_ids.ndim == 3:
            last = position_ids[-3:].amax(dim=(0, 2)).to(self.prompt.attended.device)
            self.prompt.ahead = (last + 1 - self.prompt.prompt_attended.sum(dim=1))[:, None]
        added = kwargs.get("deepstack_visual_embeds")
        if added is None:
            return {}
        self._captured.added = [self._by_token(part) for part in added]
        return {"deepstack_visual_embeds": None, "visual_pos_masks": None}

    def _by_token(self, flat: torch.Tensor) -> torch.Tensor:
        """Sort what belongs to the image tokens of all prompts, in order, by prompt: `[b, n, d]`."""
        valid = self.prompt.layout.valid
        if len(flat) != int(valid.sum()):
            raise UserError(f"{len(flat)} features for {int(valid.sum())} image tokens: they cannot be assigned")
        return flat.new_zeros(*valid.shape, flat.shape[-1]).masked_scatter(valid.to(flat.device)[..., None], flat)

    def after_layer(self, index: int, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden states that leave a layer, with what image tokens get added after it."""
        if not self.begins_at <= index < len(self._captured.added):
            return hidden
        alive, slots = (part.to(hidden.device) for part in (self.prompt.alive, self.prompt.slots))
        row, column = alive.nonzero(as_tuple=True)
        added = self._captured.added[index].to(hidden.device, hidden.dtype)[row, column]
        place = (row, slots[row, column])
        return hidden.index_put(place, hidden[place] + added)

    def before_layer(
        self, index: int, hidden: torch.Tensor, kwargs: Mapping[str, Any]
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Run what has to happen before a layer.

        Args:
            index: of the layer.
            hidden: `[b, length, d]` the hidden states that would enter it.
            kwargs: the other arguments of the layer.

        Returns:
            The hidden states that enter it, and the arguments that replace its own.
        """
        cache: Cache | None = kwargs.get("past_key_values")
        if index == self.begins_at:
            hidden = self._first_hidden(hidden, cache)
        if index == self._setup.first_layer and cache is not None:
            self._hand_on(hidden, cache)
        if index in self._setup.stages:
            hidden = self._run_stage(index, self._setup.stages[index], hidden)
        segment = self.prompt.segment(index)
        return hidden, {} if segment is None else self._shortening.arguments(index, segment, hidden, kwargs)

    def _first_hidden(self, hidden: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        """The hidden states that enter the first layer that runs. Captures what there is by then."""
        if self.start is None:
            self._captured.embeddings = hidden
            encoding = self._encodings.latest
            if encoding is not None:
                self.prompt.pixels = encoding.pixels
                self._captured.vision, self._captured.tower = encoding.vision, encoding.tower
            return hidden
        self.prompt.pixels = self.start.pixels
        self._captured = self.start.captured.copy()
        if cache is not None:
            self.start.fill(cache)
        return self.start.hidden

    def _hand_on(self, hidden: torch.Tensor, cache: Cache) -> None:
        """Let later methods of the prefix start from the layer before which this one first prunes."""
        prefix, first_layer = self._setup.prefix, self._setup.first_layer
        if prefix is None or self.repeated is not None:
            return
        if self._shared is None or self._shared.layer != first_layer:
            self._shared = PrefixState.before(first_layer, self.prompt, hidden, self._captured, cache)
            prefix.state = self._shared

    def _run_stage(self, index: int, stage: Stage, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden states without the tokens that the stage before layer `index` drops, and with its means."""
        prompt = self.prompt
        prompt.to(hidden.device)
        if self.repeated is not None:
            choice = self.repeated[index].to(hidden.device)
        else:
            try:
                choice = self._choose(stage, self._features_at(index, stage, hidden))
            except NotFiniteError as error:
                raise UserError(
                    f"{self._setup.method.name} cannot choose image tokens before layer {index}: {error} (if numbers "
                    "overflow, take a wider type such as bfloat16 or float32)"
                ) from error
        hidden = choice.merge(hidden, prompt.slots)
        self._captured.added = [choice.merge_each(part) for part in self._captured.added]
        order = prompt.drop(index, choice)
        if order is None:
            return hidden
        self._shortening.drop(order)
        return take(hidden, order)

    def _features_at(self, index: int, stage: Stage, hidden: torch.Tensor) -> Features:
        """The features of a stage. Before the layer of the shared state, all methods of a prefix use the same ones."""
        shared = self._shared if self._shared is not None and self._shared.layer == index else None
        if shared is not None and shared.features is not None:
            return shared.features
        setup = self._setup
        features = features_at(
            index,
            stage.ranking,
            self.prompt,
            hidden,
            setup.decoder,
            setup.layers,
            setup.tower_attention,
            self._captured,
            shared=setup.prefix is not None and index == setup.first_layer,
        )
        if shared is not None:
            shared.features = features
        return features

    @torch.no_grad()
    def _choose(self, stage: Stage, features: Features) -> Choice:
        """The tokens that a stage keeps, and what becomes of the others."""
        alive = self.prompt.alive
        available = alive.sum(dim=1)
        with torch.autocast(alive.device.type, enabled=False):  # it would compute scores in fewer bits
            counts, self._goal = stage.counts(features, self._goal)
            counts = torch.minimum(counts.to(available), available)
            if torch.equal(counts, available):
                return Choice(alive)
            chosen = stage.ranking.select(features, counts)
            chosen_alive = mask_from_indices(chosen, alive.shape[1]) & alive
            return Choice(chosen_alive, stage.ranking.merge(features, chosen_alive))


def _ids_and_attended(call: CoreCall) -> tuple[torch.Tensor, torch.Tensor]:
    """The ids of a new prompt, and where they are no padding."""
    ids, mask = call.input_ids, call.attention_mask
    if ids is None:
        raise UserError("pruning needs input_ids: inputs_embeds do not show where the image tokens are")
    if ids.numel() == 0:
        raise UserError(f"the prompts are empty, of shape {list(ids.shape)}: pass at least one with an image")
    attended = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.to(ids.device).bool()
    if attended.shape != ids.shape:
        raise UserError(
            f"the attention mask of a prompt must have the shape of its ids, {list(ids.shape)}, not "
            f"{list(attended.shape)}"
        )
    if not attended[:, -1].all():
        raise UserError(
            "pruning needs prompts padded on the left, and the mask shows padding on the right: set "
            'processor.tokenizer.padding_side = "left" (of a pipeline, pipe.processor.tokenizer.padding_side)'
        )
    return ids, attended


def _layout(
    setup: Setup, call: CoreCall, ids: torch.Tensor, attended: torch.Tensor, encoding: Encoding | None
) -> Layout:
    """The layout of a new prompt."""
    family = setup.family
    if call.brings_videos:
        raise UserError(
            f"videos are not supported for {family.model_class} while a method is attached: pass frames as images"
        )
    arguments = call.arguments
    if call.image_features is not None and encoding is not None:
        arguments = {**encoding.arguments, **{name: value for name, value in arguments.items() if value is not None}}
    if family.needs_sizes and call.image_features is not None and arguments.get(family.sizes_argument) is None:
        raise UserError(
            f"image features that were computed outside the with block need the {family.sizes_argument} passed with "
            "them"
        )
    return family.layout_of_call(setup.config, ids, attended, arguments)
