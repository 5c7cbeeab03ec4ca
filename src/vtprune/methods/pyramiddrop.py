"""PyramidDrop: drop a part of the tokens at each of several layers."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, Need
from vtprune.methods.base import BudgetedMethod, register
from vtprune.methods.budget import Keep
from vtprune.ops.ranking import highest
from vtprune.stages import Stage, as_layer
from vtprune.validation import shorten


@register
@dataclass(frozen=True)
class PyramidDrop(BudgetedMethod):
    """Drop a part of the tokens at each of several layers, by FastV's score (PyramidDrop, arXiv 2410.17247).

    The paper divides the decoder into four equal parts and halves the image tokens after each part but the
    last, by the attention that the prompt's last token pays to them. Here the budget says how many tokens
    remain after the last stage, and every stage keeps the same ratio (see `vtprune.stages.Stage`): the default,
    0.125 in three stages, is the paper's half at each. A budget that depends on the image, such as
    `SpectralBudget`, is counted once, over all image tokens before the first stage.

    The scores before layer l are the attention of layer l - 1 as the model computed it. The authors' code
    computes them again with the norm, queries and keys of layer l.

    Attributes:
        keep: the image tokens that remain after the last stage: a fraction in (0, 1], a count, or a budget.
        layers: the 0-based decoder layers before which tokens are dropped, or fractions of the decoder's
            depth (see `vtprune.stages.layer_at`): by default 8, 16 and 24 of 32, and 2, 3 and 5 of 6. No two
            stages may fall on one layer, so decoders of fewer than four layers need other `layers`; attaching
            says so.
    """

    name: ClassVar[str] = "pyramiddrop"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: Keep = 0.125
    layers: tuple[int | float, ...] = (8 / 32, 16 / 32, 24 / 32)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layers, (tuple, list)) or not self.layers:
            raise UserError(
                f"layers must be a tuple of the layers before which tokens are dropped, not {shorten(self.layers)}"
            )
        object.__setattr__(self, "layers", tuple(as_layer(layer) for layer in self.layers))

    def stages(self) -> list[Stage]:
        steps = len(self.layers)
        return [Stage(layer, self, self.budget, step, steps) for step, layer in enumerate(self.layers, start=1)]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(features.attention(), counts, features.valid)
