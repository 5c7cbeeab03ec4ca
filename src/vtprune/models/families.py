"""The model families that a pruner can be attached to: where their parts are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vtprune.models.layout import Layout, llava_layout


@dataclass(frozen=True)
class Family:
    """How to reach what pruning needs in models of one class.

    Attributes:
        core: the module that is given ``input_ids`` and holds the parts below.
        language_model: the decoder, with ``layers`` and ``config``.
        vision_tower: the module that is given the pixels.
        layout: ``(config, input_ids, attended) -> Layout``.
    """

    core: Callable[[nn.Module], nn.Module]
    language_model: Callable[[nn.Module], nn.Module]
    vision_tower: Callable[[nn.Module], nn.Module]
    layout: Callable[[Any, torch.Tensor, torch.Tensor], Layout]


FAMILIES = {
    "LlavaForConditionalGeneration": Family(
        core=lambda model: model.model,
        language_model=lambda model: model.model.language_model,
        vision_tower=lambda model: model.model.vision_tower,
        layout=llava_layout,
    ),
}


def family_of(model: nn.Module) -> Family:
    """The family of a model, by its class or a base class of it.

    Raises:
        ValueError: if it is not among the supported ones, or its decoder is not built as theirs.
    """
    supported = ", ".join(FAMILIES)
    family = next((FAMILIES[c.__name__] for c in type(model).__mro__ if c.__name__ in FAMILIES), None)
    if family is None:
        raise ValueError(f"models of class {type(model).__name__} cannot be pruned; supported: {supported}")
    decoder = family.language_model(model)
    kind = type(decoder).__name__
    attention = getattr(decoder.layers[0], "self_attn", None)
    if not (hasattr(attention, "q_proj") and hasattr(attention, "k_proj")):
        raise ValueError(f"decoder {kind} has no separate query and key projections, which pruning needs")
    if getattr(decoder.config, "sliding_window", None) is not None:
        raise ValueError(f"decoder {kind} attends within a sliding window, which pruning does not support")
    return family
