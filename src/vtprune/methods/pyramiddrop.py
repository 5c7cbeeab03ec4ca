from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.methods.budget import as_budget
from vtprune.ops.ranking import highest
from vtprune.stages import Budget, Stage, as_layer
from vtprune.validation import shown


@register
@dataclass(frozen=True)
class PyramidDrop(Method):
    """Drop a part of the tokens at each of several layers, by FastV's score (PyramidDrop, arXiv 2410.17247).

    The paper divides the decoder into four equal parts and after each but the last halves the image
    tokens, by the attention that the prompt's last token pays to them. Here the budget is what is
    left after the last stage, and the stages go there in equal ratios
    (:class:`vtprune.methods.Stage`): the default 0.125 of three stages is the paper's half at each.
    A budget that depends on the image, such as ``SpectralBudget``, is counted once, of all image
    tokens before the first stage.

    The scores before layer l are the attention of layer l - 1, as it was paid. The authors' code
    computes them anew with layer l's norm, queries and keys.

    Attributes:
        keep: what is left after the last stage, of the prompt's image tokens: fraction in (0, 1],
            count, or budget.
        layers: 0-based decoder layers before which tokens are dropped, or fractions of the decoder's
            depth (:func:`vtprune.methods.layer_at`): by default 8, 16 and 24 of 32, and 2, 3 and 5
            of 6. Each stage needs a layer of its own, so decoders of fewer than four layers need
            other ``layers``, and say so when the method is attached.
    """

    name: ClassVar[str] = "pyramiddrop"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    keep: float | int | Budget = 0.125
    layers: tuple[int | float, ...] = (8 / 32, 16 / 32, 24 / 32)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layers, (tuple, list)) or not self.layers:
            raise UserError(
                f"layers must be a tuple of the layers before which tokens are dropped, not {shown(self.layers)}"
            )
        object.__setattr__(self, "layers", tuple(map(as_layer, self.layers)))

    def stages(self) -> list[Stage]:
        budget, steps = as_budget(self.keep), len(self.layers)
        return [Stage(layer, self, budget, step, steps) for step, layer in enumerate(self.layers, start=1)]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(features.attention(), counts, features.valid)
