"""The model families that can be pruned, one file each."""

from collections.abc import Container

from torch import nn

from vtprune.attach.families.family import Family
from vtprune.attach.families.internvl import InternVL
from vtprune.attach.families.llava import Llava
from vtprune.attach.families.llava_next import LlavaNext
from vtprune.errors import UserError

__all__ = ["DECODERS", "FAMILIES", "Family", "family_of"]

FAMILIES: dict[str, Family] = {family.model_class: family for family in (Llava(), LlavaNext(), InternVL())}
"""The supported families by the name of their transformers class."""

# `vtprune.attach.attention` computes the attention of these decoders: separate projections, rotary
# embedding right after them, softmax without a cap or a sink. (Vicuna and InternLM2 are LlamaModel.)
DECODERS = ("LlamaModel", "MistralModel", "Qwen2Model")


def family_of(model: nn.Module) -> Family:
    """The family of a model, by the name of its class or of a base class.

    Raises:
        UserError: if the model's class or its decoder is not supported.
    """
    from transformers import PreTrainedModel  # importing it takes seconds, and a model has done so already

    name = _class_name_in(model, FAMILIES)
    if name is None or not isinstance(model, PreTrainedModel):
        raise UserError(f"models of class {type(model).__name__} cannot be pruned; supported: {', '.join(FAMILIES)}")
    decoder = FAMILIES[name].language_model(model)
    decoder_class = type(decoder).__name__
    if _class_name_in(decoder, DECODERS) is None:
        raise UserError(f"decoder {decoder_class} is not supported; supported decoders: {', '.join(DECODERS)}")
    if getattr(decoder.config, "sliding_window", None) is not None:
        raise UserError(f"decoder {decoder_class} attends within a sliding window, which pruning does not support")
    return FAMILIES[name]


def _class_name_in(module: nn.Module, names: Container[str]) -> str | None:
    """The name of the module's class, or of its nearest base class, that is among `names`."""
    return next((cls.__name__ for cls in type(module).__mro__ if cls.__name__ in names), None)
