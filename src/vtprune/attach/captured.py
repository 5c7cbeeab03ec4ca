"""What is captured of a forward before a stage, and from which the features of the stage are made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from vtprune.attach.recording import Recorded


@dataclass
class Captured:
    """What hooks have captured of a forward by now.

    Attributes:
        embeddings: `[b, length, d]` the hidden states that enter the first layer.
        attention: of the last layer that was asked for.
        vision: the input of the projector.
        tower: the attention in the vision tower, one record a call of its kernel.
        added: `[b, n, d]` what the image tokens get added after each of the first layers (Qwen3-VL's DeepStack).
    """

    embeddings: torch.Tensor | None = None
    attention: Recorded | None = None
    vision: torch.Tensor | None = None
    tower: list[Recorded] = field(default_factory=list)
    added: list[torch.Tensor] = field(default_factory=list)

    def copy(self) -> Captured:
        """The same, as it is now: later captures do not change the copy."""
        return replace(self, tower=list(self.tower), added=list(self.added))
