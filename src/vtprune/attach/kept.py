"""The image tokens that survive pruning: what a stage chooses, and what a user sees of it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from vtprune.ops.indexing import indices_from_mask, mask_from_indices, take


@dataclass(frozen=True)
class Kept:
    """The surviving tokens of one image, or of one sub-image in families that have them.

    A token into which others were merged is among them, at its own place.

    Attributes:
        indices: `[k]` ascending, counted row by row over the grid.
        positions: `[k, 2]` their (row, column).
        grid: (height, width) of the grid. The last column of an `any-res` grid is its newline tokens.
        image: index of the image in its prompt.
        part: `image` (one grid an image), `base` or `any-res` (LLaVA-NeXT, LLaVA-OneVision), `newline` (the one after
            an image of one tile), `tile` or `thumbnail` (InternVL, Idefics3, SmolVLM; tiles row by row).
        merged: `[k]` bool, which of the tokens are means of the tokens that were merged there (VisionZip's
            contextual tokens). The other tokens are unchanged.
    """

    indices: torch.Tensor
    positions: torch.Tensor
    grid: tuple[int, int]
    image: int
    part: str
    merged: torch.Tensor


class Choice(NamedTuple):
    """The result of one stage, over the `n` image tokens of each prompt.

    Attributes:
        alive: `[b, n]` bool, the tokens that are left.
        into: `[b, n]` for each token, the index of the token whose mean it joins (its own index for that token
            itself); -1 for a token that joins none. None if the stage merges nothing.
    """

    alive: torch.Tensor
    into: torch.Tensor | None = None

    @property
    def is_mean(self) -> torch.Tensor:
        """`[b, n]` bool, the tokens that become means."""
        if self.into is None:
            return torch.zeros_like(self.alive)
        return self.into == torch.arange(self.into.shape[1], device=self.into.device)

    def merge(self, hidden: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """The hidden states `[b, length, d]` with the means in their places.

        Args:
            slots: `[b, n]` positions of the image tokens in the hidden states.
        """
        if self.into is None:
            return hidden
        is_target = mask_from_indices(self.into, self.into.shape[1])
        targets = indices_from_mask(is_target)
        with torch.autocast(hidden.device.type, enabled=False):
            # A matrix product, because adding by index has no fixed order on GPUs.
            shares = (self.into[:, None] == targets[..., None]).float()
            means = shares @ take(hidden, slots).float() / shares.sum(dim=2, keepdim=True).clamp(min=1)
        row, column = is_target.gather(1, targets).nonzero(as_tuple=True)
        return hidden.index_put((row, slots.gather(1, targets)[row, column]), means[row, column].to(hidden.dtype))

    def merge_each(self, tokens: torch.Tensor) -> torch.Tensor:
        """The same for what belongs to the image tokens alone, `[b, n, d]`."""
        if self.into is None:
            return tokens
        slots = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[:2])
        return self.to(tokens.device).merge(tokens, slots)

    def to(self, device: torch.device) -> "Choice":
        """The same choice on another device."""
        return Choice(self.alive.to(device), None if self.into is None else self.into.to(device))
