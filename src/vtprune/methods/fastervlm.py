"""FasterVLM: the tokens to which the vision tower's class token attends."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features, Need
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.ops.ranking import highest


@register
@dataclass(frozen=True)
class FasterVLM(BeforeDecoder):
    """Keep the tokens with the highest attention from the vision tower's class token (FasterVLM, arXiv 2412.01818).

    The attention is that of the tower's layer whose output the projector gets, mean over heads: for LLaVA-1.5 the
    last layer but one, as in the authors' code. It is VisPruner with `important=1`; the paper's first version has the
    name FasterVLM. In a tower without a class token, it is the attention that a patch receives from all patches
    (the authors' answer for such towers).

    The differences from the authors' code: kept tokens keep their positions (the published numbers were made with
    consecutive ones), and ties go to the lowest index. LLaVA-NeXT's newline tokens come from no patch. They are the
    last to be kept here; the authors keep all of them beside the budget.

    Attributes:
        keep: see `BeforeDecoder`.
    """

    name: ClassVar[str] = "fastervlm"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        patches = self._patches(features)
        return highest(patches.attention.masked_fill(~patches.present, -1.0), counts, features.valid)
