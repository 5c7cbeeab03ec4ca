"""What several methods share of one prompt batch: its images, and the layers before any of them prunes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from vtprune.attach.layout import Layout
from vtprune.attach.prompt import Prompt
from vtprune.errors import UserError
from vtprune.features import Features


@dataclass
class State:
    """A whole prompt batch on its way, just before a layer; nothing in it is changed afterwards.

    Attributes:
        layer: the 0-based layer that comes next.
        input_ids, attended: ``[b, length]`` what the prompt was.
        layout: its image tokens.
        pixels: what the vision tower was given.
        hidden: ``[b, length, d]`` the hidden states that enter the layer.
        captured: its embeddings, and the queries and keys of the layer before.
        cached: by earlier layer, its keys and values.
        features: of the image tokens before ``layer``, once a stage there has asked for them.
    """

    layer: int
    input_ids: torch.Tensor
    attended: torch.Tensor
    layout: Layout
    pixels: torch.Tensor | None
    hidden: torch.Tensor
    captured: dict[str, torch.Tensor]
    cached: list[tuple[torch.Tensor, torch.Tensor]]
    features: Features | None = None

    @classmethod
    def before(
        cls, layer: int, prompt: Prompt, hidden: torch.Tensor, captured: dict[str, torch.Tensor], cache: Any
    ) -> "State":
        """What enters ``layer`` of a prompt of which nothing has been dropped yet."""
        entries = [(entry.keys, entry.values) for entry in cache.layers[:layer]]
        whole = prompt.input_ids, prompt.prompt_attended, prompt.layout, prompt.pixels
        return cls(layer, *whole, hidden, dict(captured), entries)

    def fill(self, cache: Any) -> None:
        """Give an empty cache the entries of the earlier layers; growing them leaves these as they are."""
        for layer, (keys, values) in enumerate(self.cached):
            cache.update(keys, values, layer)


class Prefix:
    """One prompt batch that several methods go on with, each from where it first prunes.

    ::

        prefix = Prefix(processor(images=images, text=texts, return_tensors="pt"))
        variants = [attach(method, model, prefix) for method in methods]
        for variant in sorted(variants, key=lambda variant: variant.first_layer):
            with variant:
                model.generate(**prefix.inputs)

    The first of them runs the vision tower and all layers, and what enters the layer where it first
    prunes is remembered: hidden states, the caches of the layers before, the queries and keys that
    the scores are made of. Those that prune there or later take that up and leave the layers before
    out, and one that prunes later hands on its own, later state: by increasing ``first_layer``
    nothing is computed twice. What is left is computed as it would be alone, in tensors of the same
    shapes, so the results are the same bits.

    Args:
        inputs: as the processor makes them, with ``pixel_values``.
    """

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = dict(inputs)
        self.state: State | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """What to call the model with next: without pixels as soon as there is a state to go on from."""
        if self.state is None:
            return dict(self._inputs)
        return {name: value for name, value in self._inputs.items() if name != "pixel_values"}

    def start(self, ids: torch.Tensor, attended: torch.Tensor, first: int) -> State | None:
        """The state that a prompt given without pixels goes on from; None before there is one.

        Raises:
            ValueError: if it was computed of another prompt, or lies beyond ``first``.
        """
        state = self.state
        if state is None:
            return None
        if not (torch.equal(ids, state.input_ids) and torch.equal(attended, state.attended)):
            raise UserError("this prompt was given without pixels, and is another one than its prefix was computed of")
        if state.layer > first:
            raise UserError(
                f"a method that prunes before layer {first} cannot go on from layer {state.layer}: "
                "methods with one prefix must be run by increasing first_layer"
            )
        return state
