"""What a ranking may look at: the image tokens of a batch, padded to the longest row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from vtprune.errors import UserError

Need = Literal["attention", "received", "tower"]
"""The features of `Features` that are recorded only for rankings that name them in their `needs`."""


def _absent() -> Any:
    raise UserError("these features were not recorded with the image tokens")


class Patches(NamedTuple):
    """The image tokens as the vision tower sees them, in the layer whose output the projector is given.

    A token that is made of several patches (InternVL's pixel shuffle) has their mean.

    Attributes:
        attention: ``[b, n]`` float32, what the tower's class token pays to the token's patches:
            softmax over its whole row, mean over heads. In a tower without a class token what all
            its patches pay to them, mean over the paying patches too.
        keys: ``[b, n, d]`` the patches' keys, mean over heads.
        present: ``[b, n]`` bool, which tokens are made of patches: LLaVA-NeXT's newline tokens are
            not, and their attention and keys are 0.
    """

    attention: torch.Tensor
    keys: torch.Tensor
    present: torch.Tensor


class FeatureWidths(NamedTuple):
    """Widths of a model's features, from which a method counts the FLOPs of its selection.

    Attributes:
        hidden: of an embedding or hidden state of the decoder.
        key: of `Features.keys`: a token's key, all heads together.
        tower_key: of `Patches.keys`: a patch's key, averaged over heads.
    """

    hidden: int
    key: int
    tower_key: int


@dataclass(frozen=True)
class Features:
    """Image tokens of ``b`` prompts, padded to ``n``, just before the layer that prunes them.

    What costs anything to compute is a function, called by the rankings that need it.

    Attributes:
        valid: ``[b, n]`` bool, False where a row has no token (padding, or dropped by an earlier stage).
        positions: ``[b, n, 2]`` (row, column) of each token on its image's grid, in grid cells.
        grids: ``[b, n, 2]`` (height, width) in cells of the grid that each token lies on.
        image: ``[b, n]`` which image of its row a token belongs to. Of an image in parts, each with
            a grid of its own (LLaVA-NeXT's two sequences, InternVL's tiles), every part counts as an
            image: neighbourhood does not cross from one to another.
        attention: ``() -> [b, n]`` float32, what the last prompt token pays to each image token one
            layer earlier: softmax over its whole row, mean over heads; 0 where not valid.
        received: ``() -> ([b, n], [b, n])`` float32, what all text tokens together, and all image
            tokens together, pay to each image token one layer earlier: softmax over their whole
            rows, the largest over heads, summed over the paying tokens; 0 where not valid. A token
            pays only to itself and to earlier ones.
        keys: ``(normalised) -> [b, n, d]``, this layer's key projection of its incoming hidden
            states, before rotary embedding, all heads concatenated; of the hidden states after the
            layer's input norm (``True``) or as they come (``False``).
        embeddings: ``() -> [b, n, d]``, the image tokens as they entered the language model.
        fingerprint: ``() -> list[bytes]``, one per row, of the prompt's token ids and pixels: what
            a seeded ranking derives its choice from, the same whatever batch the row is part of.
        hidden: ``() -> [b, n, d]``, the image tokens' hidden states as they enter this layer.
        vision: ``() -> ([b, m, d], [b, m])``, what the vision tower gives the projector for a row's
            images, all tokens of all its tiles, and which of them are there (rows are padded). These
            are whole images, whatever earlier stages have dropped.
        tower: ``() -> Patches``, the vision tower's own attention and keys.
    """

    valid: torch.Tensor
    positions: torch.Tensor
    grids: torch.Tensor
    image: torch.Tensor
    attention: Callable[[], torch.Tensor]
    received: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    keys: Callable[[bool], torch.Tensor]
    embeddings: Callable[[], torch.Tensor]
    fingerprint: Callable[[], list[bytes]]
    hidden: Callable[[], torch.Tensor] = _absent
    vision: Callable[[], tuple[torch.Tensor, torch.Tensor]] = _absent
    tower: Callable[[], Patches] = _absent
