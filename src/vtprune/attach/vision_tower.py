"""The vision tower's attention and output, sorted by the prompts and image tokens to which they belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from vtprune.attach.layout import Layout
from vtprune.attach.recording import Recorded, Recording, Store
from vtprune.errors import UserError
from vtprune.features import Patches
from vtprune.ops.indexing import take


def by_prompt(outputs: torch.Tensor | None, counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort the vision tower's output by prompt.

    Args:
        outputs: `[pictures, tokens, d]` of the pictures of all prompts, in order, or `[patches, d]` from towers that
            have no pictures of one size; None if hooks did not see the projector at work. Beam search repeats prompts,
            not pictures.
        counts: for each prompt, how many of the pictures (or patches) are its own.

    Returns:
        `[b, m, d]`, padded to the prompt with most tokens, and `[b, m]` bool, False for padding.

    Raises:
        UserError: if there are no outputs, or they cannot be assigned to prompts.
    """
    if outputs is None:
        raise UserError(
            "the vision tower's features were not seen: encode the images within the with block, or take "
            "features='projected'"
        )
    if outputs.ndim == 2:
        outputs = outputs[:, None]
    # A whole factor between both numbers means that beam search repeats each prompt.
    pictures = len(outputs) if outputs.ndim == 3 else 0
    beams = max(1, sum(counts) // max(1, pictures))
    if pictures == 0 or sum(counts[::beams]) != pictures:
        raise UserError(
            f"the vision tower's features of shape {list(outputs.shape)} cannot be assigned to the {sum(counts)} "
            "pictures of the prompts; take features='projected'"
        )
    parts = list(torch.split(outputs, counts[::beams]))
    most = max(len(part) for part in parts)
    padded = outputs.new_zeros(len(counts), most, *outputs.shape[1:])
    valid = torch.zeros(len(counts), most, outputs.shape[1], dtype=torch.bool, device=outputs.device)
    for row in range(len(counts)):
        part = parts[row // beams]
        padded[row, : len(part)] = part
        valid[row, : len(part)] = True
    return padded.flatten(1, 2), valid.flatten(1)


def by_token(layout: Layout, outputs: torch.Tensor | None, side: tuple[int, int] | None) -> tuple[torch.Tensor, ...]:
    """The vision tower's output for each image token.

    Args:
        layout: of the batch.
        outputs: as `by_prompt` takes them.
        side: (height, width) of a picture in patches; None if pictures differ in size.

    Returns:
        `[b, n, d]`, and `[b, n]` bool, which tokens have one.

    Raises:
        UserError: unless each image token has one output of its own.
    """
    values, _ = by_prompt(outputs, layout.pictures)
    count = 0 if side is None else side[0] * side[1]
    tokens = 0 if outputs is None or outputs.ndim < 3 else outputs.shape[1]
    index = layout.patches(side or (1, 1)).to(values.device)
    if count == 0 or tokens - count not in (0, 1) or index.shape[2] != 1:
        raise UserError("this model's vision tower does not give one output for each image token")
    # Where the projector gets the class token too, it comes first.
    values = torch.unflatten(values, 1, (-1, tokens))[:, :, tokens - count :].flatten(1, 2)
    place = index[..., 0]
    present = (place >= 0) & layout.valid.to(place.device)
    return take(values, place.clamp(min=0)), present


Side = Callable[[], tuple[int, int] | None]
"""Says (height, width) of a picture in patches; None if pictures differ in size. It raises where there is no grid."""


class TowerAttention:
    """The attention in the layer of the vision tower whose output the projector gets.

    Args:
        layer: that layer.
        side: says (height, width) of a picture in patches; None if pictures differ in size.
    """

    def __init__(self, layer: nn.Module, side: Side) -> None:
        self._layer, self._side = layer, side

    @property
    def side(self) -> tuple[int, int] | None:
        """(height, width) of a picture in patches; None if pictures differ in size."""
        return self._side()

    @classmethod
    def of(cls, vision_tower: nn.Module, feature_layer: int | Sequence[int], side: Side) -> TowerAttention | None:
        """The attention of a vision tower; None if it has no such layer.

        Args:
            feature_layer: number of the hidden state that the projector gets. They are counted from the embeddings on:
                number 1 is the output of the first layer. Of several, it is the last one named.
            side: as of the class.
        """
        stacks = [module for module in vision_tower.modules() if isinstance(module, nn.ModuleList)]
        layers = max(stacks, key=len, default=nn.ModuleList())
        index = feature_layer if isinstance(feature_layer, int) else feature_layer[-1]
        index = index + len(layers) if index < 0 else index - 1
        return cls(layers[index], side) if 0 <= index < len(layers) else None

    def listen(self, seen: Store) -> Recording:
        """Record the layer's queries and keys of every picture: `seen` gets a record for each call of the kernel."""

        def store(recorded: Recorded) -> None:
            # Of a tower with a class token, only that token's query is needed: the others can be freed.
            side = self._side()
            if side is not None and recorded.key.shape[2] == 1 + side[0] * side[1]:
                first = recorded.query[:, :, :1].clone()
                recorded = Recorded(first, recorded.key, recorded.scaling, special=recorded.special)
            seen(recorded)

        return Recording(self._layer, store)

    def patches(self, layout: Layout, seen: Sequence[Recorded]) -> Patches:
        """The attention and keys of the image tokens of a batch.

        Args:
            layout: of the batch.
            seen: the records that `listen` gave.

        Raises:
            UserError: if the batch's pictures were not seen, or the tower's tokens are not patches with at most a class
                token before them.
        """
        if not seen:
            raise UserError("the vision tower's attention was not seen: encode the images within the with block")
        values, _ = by_prompt(self._values(seen), layout.pictures)
        index = layout.patches(self._side() or (1, 1)).to(values.device)
        present = (index >= 0).all(dim=2)
        by_patch = torch.unflatten(take(values, index.clamp(min=0).flatten(1)), 1, index.shape[1:])
        by_token = by_patch.mean(dim=2)
        by_token = by_token.masked_fill(~present[..., None], 0.0).to(layout.index.device)
        return Patches(by_token[..., 0], by_token[..., 1:], present.to(layout.index.device) & layout.valid)

    def _values(self, seen: Sequence[Recorded]) -> torch.Tensor:
        """Attention received and key of each patch: `[pictures, patches, 1 + d]`, or `[patches, 1 + d]`."""
        pictures = [picture for recorded in seen for picture in _pictures(recorded)]
        values = [_received_and_keys(picture) for picture in pictures]
        side = self._side()
        if side is None:
            return torch.cat(values)
        count = side[0] * side[1]
        for value in values:
            if len(value) - count not in (0, 1):
                raise UserError(
                    f"a vision tower of {count} patches must have {count} or {count + 1} tokens, not {len(value)}"
                )
        return torch.stack([value[-count:] for value in values])


def _pictures(recorded: Recorded) -> list[Recorded]:
    """A record of several pictures as one record for each: in rows, or packed into one row."""
    if recorded.special is not None:
        raise UserError(f"the vision tower {recorded.special}, so scores cannot be made from its queries and keys")
    query, key, scaling = recorded.query, recorded.key, recorded.scaling
    if recorded.ends is not None:
        spans = [slice(start, stop) for start, stop in pairwise(recorded.ends.tolist())]
        return [Recorded(query[:, :, span], key[:, :, span], scaling) for span in spans]
    masks = [None] * len(key) if recorded.mask is None else list(recorded.mask[:, None])
    rows = zip(query[:, None], key[:, None], masks, strict=True)
    return [Recorded(*row[:2], scaling, mask=row[2]) for row in rows]


def _received_and_keys(picture: Recorded) -> torch.Tensor:
    """`[length, 1 + d]` attention that each token of a picture receives, and its key, mean over heads."""
    attention = _received(picture)
    keys = picture.key[0].transpose(0, 1).float().mean(dim=1)
    return torch.cat((attention[:, None], keys), dim=-1)


def _received(picture: Recorded, block: int = 2048) -> torch.Tensor:
    """`[length]` attention that each token of one picture receives, mean over heads and queries.

    Args:
        block: number of rows of attention that are held at a time.
    """
    query, key = picture.query[0].float(), picture.key[0].float()
    mask = picture.mask
    totals = []
    for start in range(0, query.shape[1], block):
        logits = query[:, start : start + block] @ key.transpose(-1, -2) * picture.scaling
        if mask is not None and mask.ndim == 4:  # True or 0 where a patch is seen
            rows = mask[0, :, start : start + block]
            logits = logits.masked_fill(~rows, float("-inf")) if rows.dtype == torch.bool else logits + rows
        totals.append(logits.softmax(dim=-1).mean(dim=(0, 1)) * (logits.shape[1] / query.shape[1]))
    return totals[0] if len(totals) == 1 else torch.stack(totals).sum(dim=0)
