"""A method and the parts of the model that it prunes: what stays the same over all forwards of an attachment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from torch import nn

from vtprune.attach.families import Family, family_of
from vtprune.attach.prefix import Prefix
from vtprune.attach.vision_tower import TowerAttention
from vtprune.errors import UserError
from vtprune.stages import Pruner, Stage, placed

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Setup:
    """A method on a model.

    Attributes:
        method: the method.
        family: of the model.
        config: of the model.
        core: the module that gets `input_ids`.
        decoder: the language model.
        layers: all layers of the decoder.
        vision_tower: the module that gets the pixels.
        projector: the module that turns the vision tower's output into image tokens.
        tower_attention: the attention in the vision tower that rankings may use, if there is one.
        stages: of the method, by the layers before which they prune, ascending.
        prefix: what the method shares with others, if it does.
    """

    method: Pruner
    family: Family
    config: PreTrainedConfig
    core: PreTrainedModel
    decoder: PreTrainedModel
    layers: nn.ModuleList
    vision_tower: nn.Module
    projector: nn.Module
    tower_attention: TowerAttention | None
    stages: Mapping[int, Stage]
    prefix: Prefix | None

    @classmethod
    def of(cls, method: Pruner, model: nn.Module, prefix: Prefix | None) -> Setup:
        """Find the parts of a model, and place the method's stages in it.

        Raises:
            UserError: if the model's family is not supported, it lacks a layer of the method, two stages fall on one
                of its layers, or its vision tower has no attention though the method needs it.
        """
        family = family_of(model)
        model = cast("PreTrainedModel", model)
        decoder, vision_tower = family.language_model(model), family.vision_tower(model)
        layers = cast(nn.ModuleList, decoder.layers)
        setup = cls(
            method=method,
            family=family,
            config=model.config,
            core=family.core(model),
            decoder=decoder,
            layers=layers,
            vision_tower=vision_tower,
            projector=family.projector(model),
            tower_attention=TowerAttention.of(vision_tower, model.config),
            stages=placed(method, len(layers)),
            prefix=prefix,
        )
        if setup.uses_tower and setup.tower_attention is None:
            raise UserError(
                f"{method.name} needs the vision tower's attention, but {type(vision_tower).__name__} has no layer "
                f"(with q_proj and k_proj) whose output vision_feature_layer {model.config.vision_feature_layer} is"
            )
        return setup

    @property
    def first_layer(self) -> int:
        """The first layer before which tokens are dropped; the number of layers if there is none."""
        return min(self.stages, default=len(self.layers))

    @property
    def uses_tower(self) -> bool:
        """Whether any stage uses the vision tower's attention."""
        return any("tower" in stage.ranking.needs for stage in self.stages.values())

    @property
    def scored_layers(self) -> dict[int, bool]:
        """The layers whose stages need queries and keys of the layer before.

        The value says whether they need the queries of all tokens; otherwise they need the last token's alone.
        """
        scored = {
            layer: "received" in stage.ranking.needs for layer, stage in self.stages.items() if stage.least_layer > 0
        }
        if self.prefix is not None and self.stages and self.first_layer > 0:
            scored[self.first_layer] = True  # a later method may rank by any score there
        return scored
