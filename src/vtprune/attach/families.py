"""The model families that a pruner can be attached to: where their parts are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vtprune.attach.layout import Layout, internvl_layout, llava_layout, llava_next_layout
from vtprune.errors import UserError


@dataclass(frozen=True)
class Family:
    """How to reach what pruning needs in models of one class.

    Attributes:
        layout: ``(config, input_ids, attended, image_sizes) -> Layout``; ``image_sizes`` is None
            unless ``needs_sizes``.
        needs_sizes: whether a prompt's layout depends on its images' sizes in pixels.
    """

    layout: Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor | None], Layout]
    needs_sizes: bool = False

    @staticmethod
    def core(model: nn.Module) -> nn.Module:
        """The module that is given ``input_ids`` and holds the parts below."""
        return model.model

    @staticmethod
    def language_model(model: nn.Module) -> nn.Module:
        """The decoder, with ``layers`` and ``config``."""
        return model.model.language_model

    @staticmethod
    def vision_tower(model: nn.Module) -> nn.Module:
        """The module that is given the pixels."""
        return model.model.vision_tower


FAMILIES = {
    "LlavaForConditionalGeneration": Family(lambda config, ids, attended, _: llava_layout(config, ids, attended)),
    "LlavaNextForConditionalGeneration": Family(llava_next_layout, needs_sizes=True),
    "InternVLForConditionalGeneration": Family(lambda config, ids, attended, _: internvl_layout(config, ids, attended)),
}

# Decoders whose attention is what `vtprune.attach.attention` computes: separate projections, rotary
# embedding right after them, softmax without a cap or a sink. (Llama: also Vicuna and InternLM2.)
DECODERS = ("LlamaModel", "MistralModel", "Qwen2Model")


def family_of(model: nn.Module) -> Family:
    """The family of a model, by its class or a base class of it.

    Raises:
        ValueError: if it is not among the supported ones, or its decoder is not.
    """
    family = _by_class(model, FAMILIES)
    if family is None:
        raise UserError(f"models of class {type(model).__name__} cannot be pruned; supported: {', '.join(FAMILIES)}")
    decoder = FAMILIES[family].language_model(model)
    kind = type(decoder).__name__
    if _by_class(decoder, DECODERS) is None:
        raise UserError(f"decoder {kind} is not supported; supported decoders: {', '.join(DECODERS)}")
    if getattr(decoder.config, "sliding_window", None) is not None:
        raise UserError(f"decoder {kind} attends within a sliding window, which pruning does not support")
    return FAMILIES[family]


def _by_class(module: nn.Module, names: Any) -> str | None:
    return next((kind.__name__ for kind in type(module).__mro__ if kind.__name__ in names), None)
