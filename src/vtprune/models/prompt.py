"""One prompt batch on its way through the decoder: what is left of it, and where."""

from dataclasses import dataclass, field
from typing import Any

import torch

from vtprune.models.layout import Layout


@dataclass(frozen=True)
class Kept:
    """The surviving tokens of one image.

    Attributes:
        indices: ``[k]`` ascending, counted row by row over the image's grid.
        positions: ``[k, 2]`` their (row, column).
        grid: the grid's (height, width).
    """

    indices: torch.Tensor
    positions: torch.Tensor
    grid: tuple[int, int]


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
        kept_at: by layer, ``alive`` after that layer's stage.
        segments: (first layer, ``attended``) of each stretch of layers that sees a shortened sequence.
        rotary, position_ids: those of the shortened sequence; None while it is whole.
        replay: ``kept_at`` of the prompt that this one continues; its stages repeat that selection.
        pixels: what the vision tower was given.
        images: weak reference to image features that were computed ahead of the forward, if so.
    """

    input_ids: torch.Tensor
    layout: Layout
    prompt_attended: torch.Tensor
    attended: torch.Tensor
    text: torch.Tensor
    alive: torch.Tensor
    slots: torch.Tensor
    kept_at: dict[int, torch.Tensor] = field(default_factory=dict)
    segments: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    rotary: tuple[torch.Tensor, torch.Tensor] | None = None
    position_ids: torch.Tensor | None = None
    replay: dict[int, torch.Tensor] | None = None
    pixels: torch.Tensor | None = None
    images: Any = None

    @classmethod
    def start(cls, input_ids: torch.Tensor, layout: Layout, attended: torch.Tensor, image_token: int) -> "Prompt":
        text = attended & (input_ids != image_token)
        return cls(input_ids, layout, attended, attended, text, alive=layout.valid, slots=layout.index)

    def drop(self, layer: int, alive: torch.Tensor) -> torch.Tensor | None:
        """Leave only the image tokens in ``alive`` from ``layer`` on.

        Rows are packed to the right and padded on the left to the longest, so that the last
        position stays every row's last token.

        Returns:
            ``[b, new length]`` what the positions of the new sequence were in the one before; None
            if nothing was dropped.
        """
        dropped = self.alive & ~alive
        self.kept_at[layer] = self.alive = alive
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

    def kept(self, layer: int | None = None) -> list[list[Kept]]:
        """Survivors by row and image, after ``layer``'s stage or, without one, in the end."""
        alive = (self.alive if layer is None else self.kept_at[layer]).cpu()
        image, cell = self.layout.image.cpu(), self.layout.cell.cpu()
        positions, grids = self.layout.positions.cpu(), self.layout.grids.cpu()
        valid = self.layout.valid.cpu()
        result = []
        for row in range(len(alive)):
            images = []
            for which in image[row][valid[row]].unique().tolist():
                there = image[row] == which
                mask = alive[row] & there
                grid = grids[row][there][0].tolist()
                images.append(Kept(cell[row][mask], positions[row][mask], (grid[0], grid[1])))
            result.append(images)
        return result

    def fingerprint(self) -> list[bytes]:
        """By row, the bytes of its prompt ids and, where they were seen, its images' pixels."""
        ids, attended = self.input_ids.cpu(), self.prompt_attended.cpu()
        texts = [ids[row][attended[row]].numpy().tobytes() for row in range(len(ids))]
        if self.pixels is None:
            return texts
        pixels = self.pixels.detach().cpu().contiguous().view(torch.uint8).flatten(1).numpy()
        images = [int(row[valid].max()) + 1 for row, valid in zip(self.layout.image, self.layout.valid, strict=True)]
        beams = max(1, sum(images) // len(pixels))  # beam search repeats prompts, not pixels
        result, first = [], 0
        for row, text in enumerate(texts):
            result.append(text + pixels[first : first + images[row]].tobytes())
            if row % beams == beams - 1:
                first += images[row]
        return result
