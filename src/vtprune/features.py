"""The features of image tokens that rankings and budgets use, for a batch padded to its longest row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn

import torch

from vtprune.errors import NotFiniteError, UserError

Need = Literal["attention", "received", "paid_by_text", "last_keys", "tower"]
"""The features of `Features` that are recorded only for rankings that name them in their `needs`."""

OF_LAYER_BEFORE: frozenset[Need] = frozenset({"attention", "received", "paid_by_text", "last_keys"})
"""Those that are made from the queries and keys of the layer before the stage's."""

OF_ALL_QUERIES: frozenset[Need] = frozenset({"received", "paid_by_text"})
"""Those for which the queries of all tokens are recorded, not the last token's alone."""


def _not_recorded() -> NoReturn:
    raise UserError("this feature was not recorded with the image tokens")


def check_finite(what: str, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return `values` if those of all valid tokens are finite.

    Args:
        what: the values hold, for the message.
        values: `[b, n]` or `[b, n, d]`.
        valid: `[b, n]` bool; the values of other tokens may be anything.

    Raises:
        NotFiniteError: if a value is NaN or infinite.
    """
    sizes = values.detach().abs()
    if sizes.ndim == 3:
        sizes = sizes.amax(dim=-1)  # NaN stays NaN; five times faster than asking each value
    wrong = (valid.to(sizes.device) & ~sizes.isfinite()).any(dim=1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise NotFiniteError(f"{what} of prompt {row} of the batch hold NaN or infinity")
    return values


class Patches(NamedTuple):
    """The image tokens in the vision tower, at the layer whose output the projector gets.

    A token that is made of several patches (pixel shuffle, pooling) has their mean.

    Attributes:
        attention: `[b, n]` float32, the attention that the tower's class token pays to the token's patches: softmax
            over its full row, mean over heads. In a tower without a class token (SigLIP, Qwen's), it is the attention
            that all patches of the picture pay to them, mean over the paying patches too.
        keys: `[b, n, d]` the keys of the patches, mean over heads; rotated where the tower rotates them (Qwen's).
        present: `[b, n]` bool, which tokens are made of patches. LLaVA-NeXT's newline tokens are not; their attention
            and keys are 0.
    """

    attention: torch.Tensor
    keys: torch.Tensor
    present: torch.Tensor


class Text(NamedTuple):
    """The text tokens of `b` prompts, in their order, padded to `t`. No stage drops any of them.

    Attributes:
        ids: `[b, t]` as in the prompt.
        embeddings: `[b, t, d]` as they entered the language model.
        present: `[b, t]` bool, False where a row has no token.
        after_image: `[b, t]` bool, which of them stand after the first image token of their prompt.
    """

    ids: torch.Tensor
    embeddings: torch.Tensor
    present: torch.Tensor
    after_image: torch.Tensor


class FeatureWidths(NamedTuple):
    """Widths of a model's features, and numbers of tokens, from which a method counts the FLOPs of its selection.

    Attributes:
        hidden: of an embedding or hidden state of the decoder.
        key: of `Features.keys`: a token's key, all heads together.
        tower_key: of `Patches.keys`: a patch's key, averaged over heads.
        text: number of text tokens of the prompt.
        entering: number of image tokens that enter the stage's layer.
    """

    hidden: int
    key: int
    tower_key: int
    text: int
    entering: int


@dataclass(frozen=True)
class Features:
    """Image tokens of `b` prompts, padded to `n`, just before the layer that prunes them.

    Features that cost something to compute are functions, which rankings and budgets call if they need them.

    Attributes:
        valid: `[b, n]` bool, False where a row has no token: it is padding, or an earlier stage dropped it.
        positions: `[b, n, 2]` (row, column) of each token on its grid, in grid cells.
        grids: `[b, n, 2]` (height, width) of the grid on which each token lies, in grid cells.
        image: `[b, n]` the number of the image, within its row, to which a token belongs. If an image has several parts
            with a grid each (LLaVA-NeXT's two sequences, InternVL's tiles), every part counts as an image: tokens of
            different parts are not neighbours.
        attention: `() -> [b, n]` float32, the attention that the last prompt token pays to each image token one layer
            earlier: softmax over its full row, mean over heads; 0 where not valid.
        received: `() -> ([b, n], [b, n])` float32, the attention that all text tokens, and all image tokens, pay to
            each image token one layer earlier: softmax over their full rows, the largest over heads, summed over the
            paying tokens; 0 where not valid. A token pays only to itself and to earlier tokens (in Gemma 3, also to
            later ones of its image).
        paid_by_text: `() -> [b, t, n]` float32, the attention that each text token pays to each image token one layer
            earlier: softmax over its full row, mean over heads; 0 where either is not valid.
        last_keys: `() -> ([b, n, d], [b, t, d])` the keys of image and text tokens one layer earlier, as its attention
            gets them (rotated), all heads concatenated.
        keys: `(normalised) -> [b, n, d]` this layer's key projection of the hidden states that enter it, before rotary
            embedding, all heads concatenated. With `True`, the hidden states pass the layer's input norm first, and the
            keys its key norm, where it has one (Qwen3, Gemma 3); with `False`, neither.
        embeddings: `() -> [b, n, d]` the image tokens as they entered the language model.
        fingerprint: `() -> list[bytes]` for each row, bytes of its prompt ids and pixels. They are the same in whatever
            batch the row is, so a seeded ranking can derive its choice from them.
        hidden: `() -> [b, n, d]` the hidden states of the image tokens as they enter this layer.
        final: `() -> ([b, n, d], [b, t, d])` the hidden states of image and text tokens as they enter this layer, after
            the norm that follows the decoder's last layer.
        text: `() -> Text` the text tokens.
        at_first: `() -> [b, n]` bool, False where a row has no token; stages change nothing here.
        vision: `() -> ([b, m, d], [b, m])` the input of the projector for a row's images, all tokens of all their
            tiles, and bool, False for padding. It contains all tokens, whatever earlier stages have dropped.
        tower: `() -> Patches` the attention and keys of the vision tower.
        tower_outputs: `() -> ([b, n, d], [b, n])` the vision tower's output for each image token, as the projector gets
            it, and which tokens have one. Only of towers whose tokens become one image token each.
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
    paid_by_text: Callable[[], torch.Tensor] = _not_recorded
    last_keys: Callable[[], tuple[torch.Tensor, torch.Tensor]] = _not_recorded
    hidden: Callable[[], torch.Tensor] = _not_recorded
    final: Callable[[], tuple[torch.Tensor, torch.Tensor]] = _not_recorded
    text: Callable[[], Text] = _not_recorded
    at_first: Callable[[], torch.Tensor] = _not_recorded
    vision: Callable[[], tuple[torch.Tensor, torch.Tensor]] = _not_recorded
    tower: Callable[[], Patches] = _not_recorded
    tower_outputs: Callable[[], tuple[torch.Tensor, torch.Tensor]] = _not_recorded
