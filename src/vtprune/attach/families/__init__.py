"""The model families that can be pruned, one file each."""

from torch import nn

from vtprune.attach.families.family import Family
from vtprune.attach.families.gemma3 import Gemma3
from vtprune.attach.families.idefics3 import Idefics3, SmolVLM
from vtprune.attach.families.internvl import InternVL
from vtprune.attach.families.llava import Llava
from vtprune.attach.families.llava_next import LlavaNext
from vtprune.attach.families.llava_onevision import LlavaOnevision
from vtprune.attach.families.qwen2_vl import Qwen2VL, Qwen25VL
from vtprune.attach.families.qwen3_vl import Qwen3VL
from vtprune.errors import UserError

__all__ = ["FAMILIES", "Family", "family_of"]

FAMILIES: dict[str, Family] = {
    family.model_class: family
    for family in (
        Llava(),
        LlavaNext(),
        LlavaOnevision(),
        InternVL(),
        Qwen2VL(),
        Qwen25VL(),
        Qwen3VL(),
        Idefics3(),
        SmolVLM(),
        Gemma3(),
    )
}
"""The supported families by the name of their transformers class."""

LAYER_KINDS = ("full_attention", "sliding_attention")
"""The kinds of decoder layer (`layer_types` of a configuration) whose masks and caches pruning can shorten."""


def family_of(model: nn.Module) -> Family:
    """The family of a model, by the name of its class or of a base class.

    Raises:
        UserError: if the model's class is not supported, or its decoder has layers of a kind that is not.
    """
    from transformers import PreTrainedModel  # importing it takes seconds, and a model has done so already

    name = next((cls.__name__ for cls in type(model).__mro__ if cls.__name__ in FAMILIES), None)
    if name is None or not isinstance(model, PreTrainedModel):
        inner = next((type(part).__name__ for part in model.modules() if type(part).__name__ in FAMILIES), None)
        hint = "" if inner is None else f" (attach to the {inner} inside)"
        raise UserError(
            f"models of class {type(model).__name__} cannot be pruned{hint}; supported: {', '.join(FAMILIES)}"
        )
    decoder = FAMILIES[name].language_model(model)
    for kind in getattr(decoder.config, "layer_types", None) or ():
        if kind not in LAYER_KINDS:
            raise UserError(
                f"decoder {type(decoder).__name__} has layers of {kind.replace('_', ' ')}, which pruning cannot "
                f"shorten; it can shorten those of {' and '.join(LAYER_KINDS).replace('_', ' ')}"
            )
    return FAMILIES[name]
