"""Running a decoder from a later layer on."""

from typing import Any, cast

import torch
from torch import nn


class Skipped(nn.Module):
    """Stands in for a decoder layer that does nothing."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The hidden states, unchanged."""
        return hidden_states


def without_first(layers: nn.ModuleList, count: int) -> nn.ModuleList:
    """The same layers, of which the first `count` do nothing.

    They stay in the list, because decoders look up a layer's mask and rotary embedding by its number.
    """
    rest = cast("list[nn.Module]", list(layers[count:]))
    return nn.ModuleList([Skipped() for _ in range(count)] + rest)
