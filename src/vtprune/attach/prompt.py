"""One prompt batch on its way through the decoder: what is left of it, and where."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from vtprune.attach.layout import Layout, take
from vtprune.errors import UserError
from vtprune.stages import Goal


@dataclass(frozen=True)
class Kept:
    """The surviving tokens of one image, or of one sub-image where the family has those.

    A token that others were merged into is among them, where it stood.

    Attributes:
        indices: ``[k]`` ascending, counted row by row over the grid.
        positions: ``[k, 2]`` their (row, column).
        grid: the grid's (height, width); of ``any-res``, its newline tokens are the last column.
        image: which image of its prompt it is, or is part of.
        part: ``image`` (LLaVA-1.5), ``base`` or ``any-res`` (LLaVA-NeXT), ``tile`` or ``thumbnail``
            (InternVL, tiles row by row).
        merged: ``[k]`` bool, which of them are the mean of the tokens that were merged there (VisionZip's
            contextual tokens); the others are unchanged.
    """

    indices: torch.Tensor
    positions: torch.Tensor
    grid: tuple[int, int]
    image: int
    part: str
    merged: torch.Tensor


class Choice(NamedTuple):
    """What a stage makes of the image tokens, ``[b, n]`` each.

    Attributes:
        alive: bool, which are left.
        into: tokens with the same number here become their mean, which stands at the token of that
            number; -1 is for those that are in no mean. None if there are no means.
    """

    alive: torch.Tensor
    into: torch.Tensor | None = None

    def merge(self, hidden: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """The hidden states ``[b, length, d]`` with the means in their places.

        Args:
            slots: ``[b, n]`` where the image tokens stand in them.
        """
        if self.into is None:
            return hidden
        rows, n = self.into.shape
        marked = self.alive.new_zeros(rows, n + 1).scatter(1, self.into % (n + 1), True)[:, :n]
        most = int(marked.sum(dim=1).max())
        targets = marked.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        with torch.autocast(hidden.device.type, enabled=False):
            # A product, as adding up by index has no fixed order on GPUs.
            shares = (self.into[:, None] == targets[..., None]).float()
            means = shares @ take(hidden, slots).float() / shares.sum(dim=2, keepdim=True).clamp(min=1)
        row, which = marked.gather(1, targets).nonzero(as_tuple=True)
        return hidden.index_put((row, slots.gather(1, targets)[row, which]), means[row, which].to(hidden.dtype))

    def to(self, device: torch.device) -> "Choice":
        """The same on another device."""
        return Choice(self.alive.to(device), None if self.into is None else self.into.to(device))


@dataclass
class Prompt:
    """State of one prompt batch; lives as long as the cache that it filled.

    Attributes:
        input_ids: ``[b, length]``.
        layout: its image tokens, ``n`` per row.
        prompt_attended: ``[b, length]`` bool, False on padding.
        attended: ``[b, current length]`` the same over the sequence as it is now.
        text: ``[b, current length]`` bool, which of these are no image tokens.
        alive: ``[b, n]`` bool, which image tokens are still there.
        slots: ``[b, n]`` where each of them stands now.
        choices: by layer, what its stage made of the image tokens.
        goal: what the stages that share a budget go towards.
        segments: (first layer, ``attended``) of each stretch of layers that sees a shortened sequence.
        rotary, position_ids: those of the shortened sequence; None while it is whole.
        replay: ``choices`` of the prompt that this one continues, which its stages repeat.
        pixels: what the vision tower was given.
        pixel_values: what the model was given, if it was.
        images: weak reference to the origin of image features that were computed ahead of the forward, if so.
    """

    input_ids: torch.Tensor
    layout: Layout
    prompt_attended: torch.Tensor
    attended: torch.Tensor
    text: torch.Tensor
    alive: torch.Tensor
    slots: torch.Tensor
    choices: dict[int, Choice] = field(default_factory=dict)
    goal: Goal | None = None
    segments: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    rotary: tuple[torch.Tensor, torch.Tensor] | None = None
    position_ids: torch.Tensor | None = None
    replay: dict[int, Choice] | None = None
    pixels: torch.Tensor | None = None
    pixel_values: torch.Tensor | None = None
    images: Any = None

    @classmethod
    def start(cls, input_ids: torch.Tensor, layout: Layout, attended: torch.Tensor, image_token: int) -> "Prompt":
        text = attended & (input_ids != image_token)
        return cls(input_ids, layout, attended, attended, text, alive=layout.valid, slots=layout.index)

    def continues(self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None, images: Any) -> bool:
        """Whether a prompt is this one and what has been generated since: longer ids, the same images."""
        rows, length = self.input_ids.shape
        if (
            input_ids.shape[0] != rows
            or input_ids.shape[1] <= length
            or not torch.equal(input_ids[:, :length], self.input_ids)
        ):
            return False
        if pixel_values is not None:
            return self.pixel_values is not None and torch.equal(pixel_values, self.pixel_values)
        return images is not None and self.images is not None and self.images() is images

    def drop(self, layer: int, choice: Choice) -> torch.Tensor | None:
        """Leave only the image tokens that a stage chose from ``layer`` on.

        Rows are packed to the right and padded on the left to the longest, so that the last
        position stays every row's last token.

        Returns:
            ``[b, new length]`` what the positions of the new sequence were in the one before; None
            if nothing was dropped.
        """
        alive = choice.alive
        dropped = self.alive & ~alive
        self.choices[layer], self.alive = choice, alive
        if not dropped.any():
            return None
        rows, length = self.attended.shape
        # One more column takes the writes of tokens that are not dropped.
        gone = torch.zeros(rows, length + 1, dtype=torch.bool, device=alive.device)
        stay = self.attended & ~gone.scatter(1, self.slots.masked_fill(~dropped, length), True)[:, :length]
        longest = int(stay.sum(dim=1).max())
        order = stay.to(torch.uint8).argsort(dim=1, stable=True)[:, length - longest :]
        moved = torch.zeros(rows, length, dtype=torch.long, device=alive.device)
        moved.scatter_(1, order, torch.arange(longest, device=alive.device).expand(rows, -1))
        self.attended, self.text = stay.gather(1, order), self.text.gather(1, order)
        self.slots = moved.gather(1, self.slots)
        self.segments.append((layer, self.attended))
        return order

    def to(self, device: torch.device) -> None:
        """Follow the hidden states to another device (models spread over several)."""
        if self.alive.device != device:
            for name in ("attended", "text", "alive", "slots"):
                setattr(self, name, getattr(self, name).to(device))

    def segment(self, layer: int) -> tuple[int, torch.Tensor] | None:
        """The stretch of shortened layers that ``layer`` lies in, None before the first."""
        return next((part for part in reversed(self.segments) if part[0] <= layer), None)

    def check_grown(self, cache: Any) -> None:
        """Raise ``ValueError`` unless every layer's cache holds its prompt and, since then, equally many tokens."""
        lengths = {0: self.input_ids.shape[1]} | {layer: attended.shape[1] for layer, attended in self.segments}
        grown = {cache.get_seq_length(layer) - length for layer, length in lengths.items()}
        if self.segments and (len(grown) > 1 or min(grown) < 0):
            raise UserError(
                "the cache does not fit its pruned prompt (was it cropped?): a prompt has to stay whole, and what follows it "
                "can only be taken back from all layers alike"
            )

    def next_positions(
        self, tokens: int, cached: int, mask: torch.Tensor | None, positions: torch.Tensor | None, *, unseen: bool
    ) -> torch.Tensor:
        """Where tokens stand that continue a prompt of which layer 0 has cached only a part.

        transformers takes the length of the past from layer 0's cache. Positions that it would fill
        in are too low then, and ids that are cut off by it begin with some that are cached already.

        Args:
            tokens: how many continue the prompt.
            cached: the length of layer 0's cache.
            mask: ``[b, whole length]`` the attention mask given with them, if one is.
            positions: ``[1 or b, tokens]`` the position ids given with them, which are returned; without
                any, the tokens follow the whole prompt and what has been cached since.
            unseen: whether image tokens are among them whose image is not given.

        Raises:
            ValueError: if one of these shows that the tokens begin earlier.
        """
        since = cached - self.segments[0][1].shape[1]
        past = self.input_ids.shape[1] + since
        if positions is None:
            positions = torch.arange(past, past + tokens, device=self.input_ids.device)[None]
        attended = self.prompt_attended.sum(dim=1) + since if mask is None else mask[:, :past].sum(dim=1)
        short = mask is not None and mask.shape[1] < past + tokens
        if unseen or short or (positions[:, 0] < attended.to(positions.device)).any():
            raise UserError(
                f"{past} tokens came before these {tokens}, counting those that were dropped before layer 0, but by their "
                "attention_mask, position_ids or image tokens these begin earlier: give the new ones only, and a mask of all"
            )
        return positions

    def kept(self, layer: int | None = None) -> list[list[Kept]]:
        """Survivors by row and (sub-)image, after ``layer``'s stage or, without one, in the end."""
        alive = (self.alive if layer is None else self.choices[layer].alive).cpu()
        merged = self._merged(layer).cpu()
        image, cell, positions = (part.cpu() for part in (self.layout.image, self.layout.cell, self.layout.positions))
        result = []
        for row, parts in enumerate(self.layout.parts):
            survivors = []
            for which, part in enumerate(parts):
                mask = alive[row] & (image[row] == which)
                survivors.append(
                    Kept(cell[row][mask], positions[row][mask], part.grid, part.image, part.name, merged[row][mask])
                )
            result.append(survivors)
        return result

    def _merged(self, layer: int | None) -> torch.Tensor:
        """``[b, n]`` bool, which tokens are means after ``layer``'s stage or, without one, in the end."""
        merged = torch.zeros_like(self.alive)
        for stage_layer, choice in self.choices.items():
            if choice.into is not None and (layer is None or stage_layer <= layer):
                index = torch.arange(choice.into.shape[1], device=choice.into.device)
                merged |= (choice.into == index).to(merged.device)
        return merged

    def fingerprint(self) -> list[bytes]:
        """By row, the bytes of its prompt ids and, where they were seen, its images' pixels."""
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
