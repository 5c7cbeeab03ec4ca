"""Layouts: where the image tokens of a prompt stand, and where they lie on the grid of their image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Part:
    """Consecutive tokens of an image that form one grid: an image, or a sub-image.

    Attributes:
        image: index of the image in its prompt.
        name: `image` (LLaVA-1.5, Qwen), `base` and `any-res` (LLaVA-NeXT), `newline` (LLaVA-OneVision),
            `tile` and `thumbnail` (InternVL, Idefics3).
        grid: (height, width) in tokens.
        lead: number of tokens before the grid that have no place on it.
        tiles: (rows, columns) of the pictures from which the vision tower makes the part.
        cut: (rows, columns) of patches above and left of the grid that are padding.
        newline: whether the last column of the grid is newline tokens, which come from no patch.
        merged: number of patches along each side of a token (InternVL's pixel shuffle merges 2 x 2).
        shrunk_from: (height, width) in patches of the grid that was shrunk to this one by bilinear interpolation
            (LLaVA-OneVision's large images).
        own_size: whether the vision tower takes the part's patches as they are, those of a token one after the other,
            instead of pictures of one size (Qwen's towers).
        order: for towers with `own_size` that sort the tokens: for each token, its place among those of the part.
    """

    image: int
    name: str
    grid: tuple[int, int]
    lead: int = 0
    tiles: tuple[int, int] = (1, 1)
    cut: tuple[int, int] = (0, 0)
    newline: bool = False
    merged: int = 1
    shrunk_from: tuple[int, int] | None = None
    own_size: bool = False
    order: tuple[int, ...] | None = None

    @property
    def tokens(self) -> int:
        """Number of image tokens of the part."""
        return self.lead + self.grid[0] * self.grid[1]

    @property
    def pictures(self) -> int:
        """Number of pictures from which the vision tower makes the part; of patches, where it has its own size."""
        return self.tokens * self.merged**2 if self.own_size else self.tiles[0] * self.tiles[1]

    def patches(self, side: tuple[int, int]) -> torch.Tensor:
        """`[tokens, p]` indices of the patches that each token is made of, -1 for none.

        Args:
            side: (height, width) of a picture in patches; (1, 1) where each has its own size.
        """
        if self.own_size:
            places = torch.arange(self.tokens) if self.order is None else torch.tensor(self.order)
            return places[:, None] * self.merged**2 + torch.arange(self.merged**2)
        height, width, times = self.grid[0], self.grid[1] - self.newline, self.merged
        down, across = self.shrunk_from or (height * times, width * times)
        row, column = self.cut[0] + torch.arange(down)[:, None], self.cut[1] + torch.arange(across)
        picture = row // side[0] * self.tiles[1] + column // side[1]
        index = (picture * side[0] + row % side[0]) * side[1] + column % side[1]
        if self.shrunk_from is not None:
            index = index[_taps(height, down)[:, :, None, None], _taps(width, across)].transpose(1, 2)
        else:
            index = index.view(height, times, width, times).transpose(1, 2)
        index = index.reshape(height, width, -1) if index.numel() else index.new_zeros(height, width, times**2)
        index = torch.nn.functional.pad(index, (0, 0, 0, int(self.newline)), value=-1)
        return torch.nn.functional.pad(index.flatten(0, 1), (0, 0, self.lead, 0), value=-1)


def _taps(count: int, whole: int) -> torch.Tensor:
    """`[count, 2]` the values from which bilinear interpolation makes each of `count` out of `whole` values."""
    centres = (torch.arange(count) + 0.5) * whole / max(1, count) - 0.5
    lower = centres.floor().long().clamp(min=0)
    return torch.stack((lower, (lower + 1).clamp(max=whole - 1)), dim=1)


@dataclass(frozen=True)
class Layout:
    """The image tokens of `b` prompts, padded to the `n` of the prompt that has most.

    Attributes:
        parts: for each prompt, the parts that its image tokens form, in their order.
        index: `[b, n]` position of each token in the sequence (0 where not valid).
        valid: `[b, n]` bool, False for padding and for tokens that no method may drop.
        image: `[b, n]` index of the token's part among the parts of its prompt.
        cell: `[b, n]` index of the token on the grid of that part, row by row.
        positions: `[b, n, 2]` (row, column) of the token on that grid.
        grids: `[b, n, 2]` (height, width) of that grid.
    """

    parts: list[list[Part]]
    index: torch.Tensor
    valid: torch.Tensor
    image: torch.Tensor
    cell: torch.Tensor
    positions: torch.Tensor
    grids: torch.Tensor

    @property
    def pictures(self) -> list[int]:
        """For each prompt, the number of pictures that the vision tower gets."""
        return [sum(part.pictures for part in parts) for parts in self.parts]

    def patches(self, side: tuple[int, int]) -> torch.Tensor:
        """`[b, n, p]` indices, among the patches of all pictures of a prompt, that each token is made of; -1 for none.

        Args:
            side: (height, width) of a picture in patches.
        """
        rows = []
        for parts in self.parts:
            # The patches of a part are counted from those of the parts before it.
            starts = accumulate((part.pictures * side[0] * side[1] for part in parts[:-1]), initial=0)
            indices = _equally_wide([part.patches(side) for part in parts])
            shifted = [index.where(index < 0, index + start) for index, start in zip(indices, starts, strict=True)]
            rows.append(torch.cat(shifted))
        return pad_sequence(rows, batch_first=True, padding_value=-1).to(self.index.device)


def _equally_wide(indices: list[torch.Tensor]) -> list[torch.Tensor]:
    """The same `[tokens, p]`, all with the largest p: the patches of a token are repeated, which keeps their mean."""
    most = max(index.shape[1] for index in indices)
    return [index.repeat(1, most // index.shape[1]) for index in indices]


def image_token_places(config: PreTrainedConfig, input_ids: torch.Tensor, attended: torch.Tensor) -> list[torch.Tensor]:
    """For each prompt, the positions of its image tokens, on the CPU.

    Raises:
        UserError: if a prompt has no image token.
    """
    is_image = ((input_ids == config.image_token_id) & attended).cpu()
    places = [row.nonzero().flatten() for row in is_image]
    for row, place in enumerate(places):
        if len(place) == 0:
            raise UserError(f"prompt {row} of the batch has no image, so there is nothing to prune in it")
    return places


def assemble_layout(places: Sequence[torch.Tensor], rows: list[list[Part]], device: torch.device) -> Layout:
    """The layout of prompts whose image tokens stand at `places` and form the parts in `rows`."""
    columns = []
    for place, parts in zip(places, rows, strict=True):
        part_index = torch.arange(len(parts)).repeat_interleave(torch.tensor([part.tokens for part in parts]))
        within = torch.cat([torch.arange(-part.lead, part.tokens - part.lead) for part in parts])
        height, width = torch.tensor([part.grid for part in parts])[part_index].unbind(dim=1)
        cell = within.clamp(min=0)
        columns.append(
            torch.stack((place, within >= 0, part_index, cell, cell // width, cell % width, height, width), dim=1)
        )
    table = pad_sequence(columns, batch_first=True).to(device)
    index, valid, image, cell = table[..., :4].unbind(dim=-1)
    return Layout(
        parts=rows,
        index=index,
        valid=valid.bool(),
        image=image,
        cell=cell,
        positions=table[..., 4:6],
        grids=table[..., 6:].clamp(min=1),  # padding has no grid, and nobody may divide by 0
    )


def equal_images(config: PreTrainedConfig, input_ids: torch.Tensor, attended: torch.Tensor, image: Part) -> Layout:
    """The layout of prompts whose images all have the same tokens.

    Args:
        config: of the model, for the id of an image token.
        input_ids: `[b, t]`.
        attended: `[b, t]` bool, False for padding.
        image: the one part of an image; its tokens are those of the grid, in reading order.

    Raises:
        UserError: if the image tokens of a prompt are not those of whole images.
    """
    places = image_token_places(config, input_ids, attended)
    rows = []
    for row, place in enumerate(places):
        count, rest = divmod(len(place), image.tokens)
        if rest:
            raise UserError(
                f"prompt {row} of the batch has {len(place)} image tokens, which is not a multiple of the "
                f"{image.tokens} image tokens that an image of this model has"
            )
        rows.append([replace(image, image=number) for number in range(count)])
    return assemble_layout(places, rows, input_ids.device)


def parts_by_prompt(
    places: Sequence[torch.Tensor], images: Sequence[list[Part]], sizes_argument: str
) -> list[list[Part]]:
    """Distribute the images over the prompts, by how many image tokens each prompt has.

    Prompts that repeat one another (beam search) may share their images.

    Args:
        places: for each prompt, the positions of its image tokens.
        images: the parts of every image of the batch, in order.
        sizes_argument: name of the argument from which the parts were made, for messages.

    Raises:
        UserError: if they do not fit.
    """
    sizes = [sum(part.tokens for part in parts) for parts in images]
    repeats = max(1, sum(map(len, places)) // max(1, sum(sizes)))
    rows, start = [], 0
    for row, place in enumerate(places):
        end, tokens = start, 0
        while tokens < len(place) and end < len(sizes):
            tokens, end = tokens + sizes[end], end + 1
        if tokens != len(place):
            raise UserError(
                f"prompt {row} of the batch has {len(place)} image tokens, "
                f"but the {sizes_argument} of its images make {tokens}"
            )
        numbered = enumerate(images[start:end])
        rows.append([replace(part, image=number) for number, parts in numbered for part in parts])
        if row % repeats == repeats - 1:
            start = end
    if start != len(images):
        raise UserError(f"there are {len(images)} {sizes_argument}, but the prompts show {start} images")
    return rows


def square_grid(config: PreTrainedConfig) -> tuple[int, int]:
    """(height, width) in patches of a picture in a vision tower of fixed image size: image size over patch size.

    Raises:
        UserError: if the tower has no fixed image size.
    """
    vision = config.vision_config
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if size is None or patch is None or vision.model_type == "pixtral":
        raise UserError(f"vision tower {vision.model_type!r} has no fixed grid, which pruning needs here")
    height, width = (size, size) if isinstance(size, int) else size
    down, across = (patch, patch) if isinstance(patch, int) else patch
    return height // down, width // across


def has_class_token(config: PreTrainedConfig) -> bool:
    """Whether the vision tower's class token is among the image tokens (LLaVA's strategy "full" with CLIP)."""
    return config.vision_feature_select_strategy == "full" and "clip" in config.vision_config.model_type
