"""A method and the parts of the model that it prunes: what stays the same over all forwards of an attachment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from torch import nn

from vtprune.attach.families import Family, family_of
from vtprune.attach.prefix import Prefix
from vtprune.attach.reindexing import Positions, check_positions
from vtprune.attach.transformers_internals import attends_in_full
from vtprune.attach.uncompiled import unwrapped
from vtprune.attach.vision_tower import TowerAttention
from vtprune.errors import UserError
from vtprune.features import OF_ALL_QUERIES
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
        positions: whether kept tokens keep their positions in the shortened layers, or get consecutive ones.
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
    positions: Positions = "kept"

    @classmethod
    def of(cls, method: Pruner, model: nn.Module, prefix: Prefix | None, positions: Positions = "kept") -> Setup:
        """Find the parts of a model, and place the method's stages in it.

        Raises:
            UserError: if the model's family is not supported, it lacks a layer of the method, two stages fall on one
                of its layers, scores cannot be made of the layer that the method asks, its vision tower has no
                attention though the method needs it, or its positions cannot be as asked.
        """
        family = family_of(model)
        model = cast("PreTrainedModel", model)
        # Parts may be compiled; their hooks belong to what was compiled.
        decoder = cast("PreTrainedModel", unwrapped(family.language_model(model)))
        vision_tower = unwrapped(family.vision_tower(model))
        layers = cast(nn.ModuleList, decoder.layers)
        setup = cls(
            method=method,
            family=family,
            config=model.config,
            core=cast("PreTrainedModel", unwrapped(family.core(model))),
            decoder=decoder,
            layers=layers,
            vision_tower=vision_tower,
            projector=unwrapped(family.projector(model)),
            tower_attention=TowerAttention.of(
                vision_tower, family.feature_layer(model.config), partial(family.picture_side, model.config)
            ),
            stages=placed(method, len(layers)),
            prefix=prefix,
            positions=positions,
        )
        check_positions(positions, decoder)
        if setup.uses_tower and setup.tower_attention is None:
            raise UserError(
                f"{method.name} needs the vision tower's attention, but {type(vision_tower).__name__} has no layer "
                f"whose output vision_feature_layer {family.feature_layer(model.config)} is"
            )
        setup._check_scored_layers()
        return setup

    def _check_scored_layers(self) -> None:
        """Check that the layers whose attention is scored attend to every earlier token."""
        config, depth = self.decoder.config, len(self.layers)
        for layer, stage in self.stages.items():
            reason = attends_in_full(config, layer - 1) if stage.least_layer > 0 else None
            if reason is not None:
                full = [number + 1 for number in range(depth - 1) if attends_in_full(config, number) is None]
                right = f"take a layer among {full}" if full else "take a method that needs no attention"
                raise UserError(
                    f"{self.method.name} before layer {layer} needs the attention of layer {layer - 1}, which is "
                    f"{reason} and does not see every image token: {right}"
                )

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
            layer: bool(OF_ALL_QUERIES & stage.ranking.needs)
            for layer, stage in self.stages.items()
            if stage.least_layer > 0
        }
        if self.prefix is not None and self.stages and self.first_layer > 0:
            scored[self.first_layer] = True  # a later method may rank by any score there
        return scored
