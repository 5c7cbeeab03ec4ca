"""What several methods share of one batch of prompts: its images, and the layers before any method prunes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vtprune.attach.captured import Captured
from vtprune.attach.layout import Layout
from vtprune.attach.prompt import Prompt
from vtprune.attach.transformers_internals import cached_layers, fill_layers
from vtprune.errors import UserError
from vtprune.features import Features

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache


@dataclass
class PrefixState:
    """An unpruned batch of prompts just before a layer. Nothing in it is changed afterwards.

    Attributes:
        layer: the 0-based layer that comes next.
        input_ids, attended: `[b, length]` of the prompts.
        layout: their image tokens.
        pixels: the input of the vision tower, if it was seen.
        hidden: `[b, length, d]` the hidden states that enter the layer.
        captured: what hooks captured before the layer.
        cached: what the cache holds of each earlier layer.
        features: of the image tokens before `layer`, once a stage there has needed them.
    """

    layer: int
    input_ids: torch.Tensor
    attended: torch.Tensor
    layout: Layout
    pixels: torch.Tensor | None
    hidden: torch.Tensor
    captured: Captured
    cached: list[Any]
    features: Features | None = None

    @classmethod
    def before(cls, layer: int, prompt: Prompt, hidden: torch.Tensor, captured: Captured, cache: Cache) -> PrefixState:
        """The state of a prompt, of which nothing has been dropped yet, before `layer`."""
        return cls(
            layer,
            prompt.input_ids,
            prompt.prompt_attended,
            prompt.layout,
            prompt.pixels,
            hidden,
            captured.copy(),
            cached_layers(cache, layer),
        )

    def fill(self, cache: Cache) -> None:
        """Give an empty cache the keys and values of the earlier layers; growing it does not change them here.

        Raises:
            UserError: if the cache is of another kind than that of the prompt that was remembered.
        """
        if not fill_layers(cache, self.cached):
            raise UserError(
                "methods that share a prefix need caches of one kind, but the layers of this cache hold their states "
                "in another way than those of the first method"
            )


class Prefix:
    """One batch of prompts that several methods answer, each from the layer before which it first prunes.

        prefix = Prefix(processor(images=images, text=texts, return_tensors="pt"))
        for index, pruned in attach_all(methods, model, prefix):
            with pruned:
                model.generate(**prefix.inputs)

    The first method runs the vision tower and all layers. The state before the layer where it first prunes is
    remembered: hidden states, the caches of the earlier layers, and the queries and keys from which scores are made.
    Methods that first prune there or later start from that state and skip the earlier layers. A method that prunes
    later replaces the state by its own, later one. So nothing is computed twice if methods run by increasing
    `first_layer`, as `attach_all` orders them. The remaining layers compute what they compute without a prefix, in
    tensors of the same shapes, so the results are the same bits.

    Args:
        inputs: as the processor makes them, with `pixel_values`.
    """

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = dict(inputs)
        self.state: PrefixState | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments of the next call of the model: without pixels as soon as there is a state to start from."""
        if self.state is None:
            return dict(self._inputs)
        return {name: value for name, value in self._inputs.items() if name != "pixel_values"}

    def start(self, input_ids: torch.Tensor, attended: torch.Tensor, first_layer: int) -> PrefixState | None:
        """The state from which a prompt without pixels starts; None before there is one.

        Args:
            input_ids, attended: `[b, length]` of the prompt.
            first_layer: the first layer before which the method prunes.

        Raises:
            UserError: if the state is that of another prompt, or lies beyond `first_layer`.
        """
        state = self.state
        if state is None:
            return None
        if not (torch.equal(input_ids, state.input_ids) and torch.equal(attended, state.attended)):
            raise UserError(
                "a prompt without pixels must be the prompt that its prefix was computed of, not another one"
            )
        if state.layer > first_layer:
            raise UserError(
                f"a method that prunes before layer {first_layer} cannot start from layer {state.layer}: "
                "methods that share a prefix must run by increasing first_layer"
            )
        return state
