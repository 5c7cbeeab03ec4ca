"""A batch of prompts on its way through the decoder: which image tokens are left, and where they stand."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from vtprune.attach.kept import Choice, Kept
from vtprune.attach.layout import Layout
from vtprune.errors import UserError
from vtprune.ops.indexing import inverse_of, mask_from_indices, pack_right

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache


class Segment(NamedTuple):
    """A run of layers that sees the same shortened sequence.

    Attributes:
        first: its first layer.
        attended: `[b, length]` bool, False on padding.
        blocks: `[b, length]` as in `Prompt`.
    """

    first: int
    attended: torch.Tensor
    blocks: torch.Tensor | None


@dataclass
class Prompt:
    """A batch of prompts, as far as the stages have shortened it. It lives as long as the cache that it filled.

    Attributes:
        input_ids: `[b, length]` of the prompt.
        layout: its image tokens, `n` per row.
        prompt_attended: `[b, length]` bool, False on padding.
        attended: `[b, current length]` the same over the current sequence.
        prompt_text: `[b, length]` bool, the tokens that are not image tokens.
        text: `[b, current length]` the same over the current sequence.
        blocks: `[b, current length]` numbers of the blocks of tokens that see one another, -1 for tokens of none; None
            in models in which every token sees only itself and earlier ones.
        alive: `[b, n]` bool, the image tokens that are left.
        slots: `[b, n]` current position of each image token.
        choices: the choice of each stage, by its layer.
        segments: each run of layers that sees the same shortened sequence.
        ahead: `[b, 1]` by how much the position that follows the prompt is above the number of its tokens (M-RoPE gives
            an image fewer positions than tokens); None where positions have one axis.
        pixels: the input of the vision tower, if it was seen.
        pixel_values: the pixels that the model was given, if any.
        image_features: reference to the image features that were computed before the forward, if any.
    """

    input_ids: torch.Tensor
    layout: Layout
    prompt_attended: torch.Tensor
    attended: torch.Tensor
    prompt_text: torch.Tensor
    text: torch.Tensor
    alive: torch.Tensor
    slots: torch.Tensor
    blocks: torch.Tensor | None = None
    choices: dict[int, Choice] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    ahead: torch.Tensor | None = None
    pixels: torch.Tensor | None = None
    pixel_values: torch.Tensor | None = None
    image_features: weakref.ref[object] | None = None

    @classmethod
    def start(
        cls,
        input_ids: torch.Tensor,
        layout: Layout,
        attended: torch.Tensor,
        image_token: int,
        blocks: torch.Tensor | None = None,
    ) -> Prompt:
        """A prompt of which nothing has been dropped.

        Args:
            image_token: id of the image token.
        """
        text = attended & (input_ids != image_token)
        return cls(input_ids, layout, attended, attended, text, text, layout.valid, layout.index, blocks)

    def is_continued_by(
        self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None, image_features: object | None
    ) -> bool:
        """Whether a prompt is this one and the tokens generated since: longer ids that begin alike, the same images."""
        rows, length = self.input_ids.shape
        if (
            input_ids.shape[0] != rows
            or input_ids.shape[1] <= length
            or not torch.equal(input_ids[:, :length], self.input_ids)
        ):
            return False
        if pixel_values is not None:
            return self.pixel_values is not None and torch.equal(pixel_values, self.pixel_values)
        return (
            image_features is not None and self.image_features is not None and self.image_features() is image_features
        )

    def drop(self, layer: int, choice: Choice) -> torch.Tensor | None:
        """Drop the image tokens that the stage before `layer` did not choose.

        Rows are packed to the right and padded on the left to the longest, so that the last position stays the
        last token of every row.

        Returns:
            `[b, new length]` for each position of the new sequence, its position in the old one. None if nothing
            was dropped.
        """
        dropped = self.alive & ~choice.alive
        self.choices[layer], self.alive = choice, choice.alive
        if not dropped.any():
            return None
        length = self.attended.shape[1]
        gone = mask_from_indices(self.slots.masked_fill(~dropped, -1), length)
        stay = self.attended & ~gone
        order = pack_right(stay)
        self.attended, self.text = stay.gather(1, order), self.text.gather(1, order)
        self.blocks = None if self.blocks is None else self.blocks.gather(1, order)
        self.slots = inverse_of(order, length).gather(1, self.slots)
        self.segments.append(Segment(layer, self.attended, self.blocks))
        return order

    def to(self, device: torch.device) -> None:
        """Follow the hidden states to another device, in models that are spread over several."""
        if self.alive.device != device:
            self.attended, self.text = self.attended.to(device), self.text.to(device)
            self.alive, self.slots = self.alive.to(device), self.slots.to(device)
            self.blocks = None if self.blocks is None else self.blocks.to(device)

    def repeated(self, rows: int) -> Prompt:
        """The prompt of a cache of which every row was repeated; the same for a cache as it was filled.

        Raises:
            UserError: if there is more than one prompt, and the number of rows is another.
        """
        given = len(self.input_ids)
        if rows == given:
            return self
        if given != 1:
            raise UserError(f"a cache of {given} prompts cannot be continued with {rows} rows, only with {given}")

        def repeat(values: torch.Tensor | None) -> torch.Tensor | None:
            return None if values is None else values.expand(rows, *values.shape[1:])

        names = ("input_ids", "prompt_attended", "prompt_text", "attended", "text", "blocks", "alive", "slots", "ahead")
        segments = [
            Segment(run.first, cast(torch.Tensor, repeat(run.attended)), repeat(run.blocks)) for run in self.segments
        ]
        repeated: dict[str, Any] = {name: repeat(getattr(self, name)) for name in names}
        return replace(self, segments=segments, **repeated)

    def segment(self, layer: int) -> Segment | None:
        """The run of shortened layers that `layer` is part of; None before the first one."""
        return next((segment for segment in reversed(self.segments) if segment.first <= layer), None)

    def check_grown(self, cache: Cache) -> None:
        """Check that the cache of every layer holds its prompt and, after it, equally many tokens.

        Raises:
            UserError: if it does not.
        """
        lengths = {0: self.input_ids.shape[1]} | {run.first: run.attended.shape[1] for run in self.segments}
        grown = {cache.get_seq_length(layer) - length for layer, length in lengths.items()}
        if self.segments and (len(grown) > 1 or min(grown) < 0):
            raise UserError(
                "the cache does not fit its pruned prompt (was it cropped?): only the tokens after the prompt can be "
                "removed, from all layers alike"
            )

    def next_positions(
        self, tokens: int, cached: int, mask: torch.Tensor | None, positions: torch.Tensor | None, *, unseen: bool
    ) -> torch.Tensor:
        """The positions of tokens that continue a prompt of which layer 0 has perhaps cached only a part.

        transformers takes the length of the past from the cache of layer 0. Where it has a part, the positions that it
        would fill in are too low, and ids that a caller cuts off by that length begin with tokens that are cached
        already.

        Args:
            tokens: number of tokens that continue the prompt.
            cached: length of the cache of layer 0.
            mask: `[b, length of all]` the attention mask of the call, if it has one.
            positions: `[1 or b, tokens]` the position ids of the call, or with several axes `[axes, 1 or b, tokens]`,
                which are returned. If there are none, the tokens follow the prompt and everything that was cached
                after it.
            unseen: whether the tokens contain image tokens without an image.

        Raises:
            UserError: if the mask, the positions or the image tokens show that the tokens begin earlier.
        """
        begun = self.segment(0)
        since = cached - (self.input_ids if begun is None else begun.attended).shape[1]
        past = self.input_ids.shape[1] + since
        attended = self.prompt_attended.sum(dim=1) + since if mask is None else mask[:, :past].sum(dim=1)
        first = attended if self.ahead is None else attended + self.ahead[:, 0].to(attended)
        if positions is None:
            new = torch.arange(tokens, device=self.input_ids.device)
            positions = (past + new)[None] if self.ahead is None else first[:, None] + new
        given = positions[-1] if positions.ndim == 3 else positions
        short = mask is not None and mask.shape[1] < past + tokens
        if unseen or short or bool((given[:, 0] < first.to(given.device)).any()):
            raise UserError(
                f"expected only tokens after position {past} (pruned tokens included), but the attention_mask, the "
                "position_ids or the image tokens show that the input starts earlier: pass only the new tokens, with "
                "an attention mask over the whole sequence"
            )
        return positions

    def kept(self, layer: int | None = None) -> list[list[Kept]]:
        """The survivors by prompt and part, after the stage before `layer` or, without a layer, at the end."""
        alive = (self.alive if layer is None else self.choices[layer].alive).cpu()
        merged = torch.zeros_like(alive)
        for stage_layer, choice in self.choices.items():
            if layer is None or stage_layer <= layer:
                merged |= choice.is_mean.cpu()
        part_index, cell = self.layout.image.cpu(), self.layout.cell.cpu()
        positions = self.layout.positions.cpu()
        result = []
        for row, parts in enumerate(self.layout.parts):
            masks = [alive[row] & (part_index[row] == number) for number in range(len(parts))]
            result.append(
                [
                    Kept(cell[row][mask], positions[row][mask], part.grid, part.image, part.name, merged[row][mask])
                    for part, mask in zip(parts, masks, strict=True)
                ]
            )
        return result

    def fingerprint(self) -> list[bytes]:
        """For each row, the bytes of its prompt ids and, where they were seen, of the pixels of its images."""
        ids, attended = self.input_ids.cpu(), self.prompt_attended.cpu()
        texts = [ids[row][attended[row]].numpy().tobytes() for row in range(len(ids))]
        if self.pixels is None:
            return texts
        pixels = self.pixels.detach().cpu().contiguous().view(torch.uint8).flatten(1).numpy()
        pictures = self.layout.pictures
        beams = max(1, sum(pictures) // len(pixels))  # beam search repeats prompts, not pixels
        result, first = [], 0
        for row, text in enumerate(texts):
            result.append(text + pixels[first : first + pictures[row]].tobytes())
            if row % beams == beams - 1:
                first += pictures[row]
        return result
