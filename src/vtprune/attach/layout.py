"""Where a prompt's image tokens stand, and where on their image's grid they lie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image

from vtprune.errors import UserError


@dataclass(frozen=True)
class Part:
    """Consecutive tokens of an image that form one grid: the whole image, or a sub-image.

    Attributes:
        image: which image of its prompt.
        name: ``image`` (LLaVA-1.5), ``base`` and ``any-res`` (LLaVA-NeXT), ``tile`` and
            ``thumbnail`` (InternVL).
        grid: (height, width) in tokens.
        lead: tokens before the grid that have no place on it.
        tiles: (rows, columns) of the pictures that the vision tower is given for it.
        cut: (rows, columns) of patches above and left of the grid that are padding.
        newline: whether the grid's last column is newline tokens, which come of no patch.
        merged: patches along each side of a token (InternVL's pixel shuffle makes one of 2 x 2).
    """

    image: int
    name: str
    grid: tuple[int, int]
    lead: int = 0
    tiles: tuple[int, int] = (1, 1)
    cut: tuple[int, int] = (0, 0)
    newline: bool = False
    merged: int = 1

    @property
    def tokens(self) -> int:
        return self.lead + self.grid[0] * self.grid[1]

    @property
    def pictures(self) -> int:
        return self.tiles[0] * self.tiles[1]

    def patches(self, side: tuple[int, int]) -> torch.Tensor:
        """``[tokens, merged ** 2]`` which patches of its pictures each token is made of, -1 for none.

        Args:
            side: (height, width) of a picture in patches.
        """
        height, width, times = self.grid[0], self.grid[1] - self.newline, self.merged
        row = self.cut[0] + torch.arange(height * times)[:, None]
        column = self.cut[1] + torch.arange(width * times)
        picture = row // side[0] * self.tiles[1] + column // side[1]
        index = (picture * side[0] + row % side[0]) * side[1] + column % side[1]
        index = index.view(height, times, width, times).transpose(1, 2)
        index = torch.nn.functional.pad(index, (0, 0, 0, 0, 0, int(self.newline)), value=-1)
        return torch.nn.functional.pad(index.reshape(-1, times**2), (0, 0, self.lead, 0), value=-1)


@dataclass(frozen=True)
class Layout:
    """The image tokens of ``b`` prompts, padded to the ``n`` of the row that has most.

    Attributes:
        parts: by row, what its image tokens are made of, in their order.
        index: ``[b, n]`` where in the sequence each stands (0 where not valid).
        valid: ``[b, n]`` bool, False for padding and for tokens that no method may drop.
        image: ``[b, n]`` which of its row's parts it belongs to.
        cell: ``[b, n]`` its index on that part's grid, row by row.
        positions: ``[b, n, 2]`` its (row, column) on that grid.
        grids: ``[b, n, 2]`` that grid's (height, width).
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
        """By row, how many pictures the vision tower is given for it."""
        return [sum(part.pictures for part in parts) for parts in self.parts]

    def patches(self, side: tuple[int, int]) -> torch.Tensor:
        """``[b, n, p]`` which patches of all its row's pictures each token is made of, -1 for none.

        Args:
            side: (height, width) of a picture in patches.
        """
        rows = []
        for parts in self.parts:
            before = [0, *accumulate(part.pictures * side[0] * side[1] for part in parts)]
            own = [part.patches(side) for part in parts]
            rows.append(
                torch.cat([index.where(index < 0, index + start) for index, start in zip(own, before, strict=False)])
            )
        return pad_sequence(rows, batch_first=True, padding_value=-1).to(self.index.device)


def take(tensor: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """``[b, length, d]`` at ``[b, m]`` positions: ``[b, m, d]``."""
    return tensor.gather(1, index.to(tensor.device)[..., None].expand(-1, -1, tensor.shape[-1]))


def square_grid(config: Any) -> tuple[int, int]:
    """(height, width) in patches of a fixed-size vision tower's output: image size over patch size.

    Raises:
        ValueError: if the tower has no fixed image size.
    """
    vision = config.vision_config
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if size is None or patch is None or vision.model_type == "pixtral":
        raise UserError(f"vision tower {vision.model_type!r} has no fixed grid, which pruning needs here")
    height, width = (size, size) if isinstance(size, int) else size
    down, across = (patch, patch) if isinstance(patch, int) else patch
    return height // down, width // across


def llava_layout(config: Any, input_ids: torch.Tensor, attended: torch.Tensor) -> Layout:
    """The layout of LLaVA-1.5 prompts: every image one grid, tokens in reading order.

    Args:
        config: a ``LlavaConfig``.
        input_ids: ``[b, length]``, image tokens expanded as the processor does it.
        attended: ``[b, length]`` bool, False on padding.

    Raises:
        ValueError: if a row has no image, or not as many image tokens as whole images have.
    """
    # With the strategy "full" CLIP's class token comes before the patches; it has no place on the
    # grid, so it is never dropped.
    image = Part(0, "image", square_grid(config), lead=int(_has_class_token(config)))
    places = _places(config, input_ids, attended)
    rows = []
    for row, place in enumerate(places):
        count, rest = divmod(len(place), image.tokens)
        if rest:
            raise UserError(
                f"prompt {row} of the batch has {len(place)} image tokens, which is no multiple of the "
                f"{image.tokens} that an image of this model takes"
            )
        rows.append([replace(image, image=number) for number in range(count)])
    return _assemble(places, rows, input_ids.device)


def llava_next_layout(
    config: Any, input_ids: torch.Tensor, attended: torch.Tensor, image_sizes: torch.Tensor | None
) -> Layout:
    """The layout of LLaVA-NeXT prompts: two sequences an image, the base and the any-resolution one.

    The base is the whole image at the tower's own size. The any-resolution sequence is the grid that
    the tiles make together, without what is padding on it; its rows each end in a newline token.
    Those are image tokens like the others: counted by the budget, ranked, and dropped. Their places
    are the last column of the grid, so that the sequence is a full ``height x (width + 1)`` grid
    (AdaptPrune's supplement A: "we restore each image sequence to a two-dimensional arrangement").
    Were they always kept, a tenth of the tokens would not be a tenth.

    Args:
        config: a ``LlavaNextConfig``.
        input_ids: ``[b, length]``, image tokens expanded as the processor does it.
        attended: ``[b, length]`` bool, False on padding.
        image_sizes: ``[images, 2]`` (height, width) in pixels before any processing, of all rows'
            images in order. Rows that repeat one another (beam search) may share theirs.

    Raises:
        ValueError: if a row has no image or other image tokens than its images' sizes make, if the
            sizes are missing, or if the vision tower's class token is among the image tokens.
    """
    if _has_class_token(config):
        raise UserError("pruning LLaVA-NeXT needs vision_feature_select_strategy 'default', not 'full'")
    places = _places(config, input_ids, attended)
    if image_sizes is None:
        raise UserError("pruning LLaVA-NeXT needs the image_sizes that its processor gives")
    images = [_next_parts(config, size) for size in torch.as_tensor(image_sizes).tolist()]
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
                f"but the image_sizes of its images make {tokens}"
            )
        shown = enumerate(images[start:end])
        rows.append([replace(part, image=number) for number, parts in shown for part in parts])
        if row % repeats == repeats - 1:
            start = end
    if start != len(images):
        raise UserError(f"there are {len(images)} image_sizes, but the prompts show {start} images")
    return _assemble(places, rows, input_ids.device)


def internvl_layout(config: Any, input_ids: torch.Tensor, attended: torch.Tensor) -> Layout:
    """The layout of InternVL prompts: every tile of an image a grid of its own, the thumbnail last.

    An image's tokens are one run, set off by the tokens ``<img>`` and ``</img>``. An image of one
    tile has no thumbnail. A video's frames are images of one tile.

    Args:
        config: an ``InternVLConfig``.
        input_ids: ``[b, length]``, image tokens expanded as the processor does it.
        attended: ``[b, length]`` bool, False on padding.

    Raises:
        ValueError: if a row has no image, or an image other tokens than whole tiles have.
    """
    height, width = (int(side * config.downsample_ratio) for side in square_grid(config))  # pixel shuffling
    tile = Part(0, "tile", (height, width), merged=round(1 / config.downsample_ratio))
    places = _places(config, input_ids, attended)
    rows = []
    for row, place in enumerate(places):
        parts: list[Part] = []
        run = torch.nn.functional.pad(place.diff() != 1, (1, 0)).cumsum(dim=0)
        for number, length in enumerate(run.bincount().tolist()):
            count, rest = divmod(length, tile.tokens)
            if rest:
                raise UserError(
                    f"image {number} of prompt {row} of the batch has {length} image tokens, which is no "
                    f"multiple of the {tile.tokens} that a tile of this model takes"
                )
            parts += [replace(tile, image=number)] * count
            if count > 1:
                parts[-1] = replace(tile, image=number, name="thumbnail")
        rows.append(parts)
    return _assemble(places, rows, input_ids.device)


def _has_class_token(config: Any) -> bool:
    return config.vision_feature_select_strategy == "full" and "clip" in config.vision_config.model_type


def _next_parts(config: Any, size: list[int]) -> list[Part]:
    """Both sequences of an image of that (height, width), by the model's own functions."""
    height, width = square_grid(config)
    down, across = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, config.vision_config.image_size)
    # Numbered, so that the first patch that is left tells what was cut off.
    canvas = torch.arange(down * height * across * width).view(1, down * height, across * width)
    shown = unpad_image(canvas, size)[0]
    cut = divmod(int(shown[0, 0]), across * width) if shown.numel() else (0, 0)
    rows, columns = shown.shape
    return [
        Part(0, "base", (height, width)),
        Part(0, "any-res", (rows, columns + 1), tiles=(down, across), cut=cut, newline=True),
    ]


def _places(config: Any, input_ids: torch.Tensor, attended: torch.Tensor) -> list[torch.Tensor]:
    """By row, where its image tokens stand, on the CPU."""
    is_image = ((input_ids == config.image_token_id) & attended).cpu()
    places = [row.nonzero().flatten() for row in is_image]
    for row, place in enumerate(places):
        if len(place) == 0:
            raise UserError(f"prompt {row} of the batch has no image, so there is nothing to prune in it")
    return places


def _assemble(places: Sequence[torch.Tensor], rows: list[list[Part]], device: torch.device) -> Layout:
    """The layout of rows whose image tokens stand at ``places`` and are made of those parts."""
    columns = []
    for place, parts in zip(places, rows, strict=True):
        which = torch.arange(len(parts)).repeat_interleave(torch.tensor([part.tokens for part in parts]))
        within = torch.cat([torch.arange(-part.lead, part.tokens - part.lead) for part in parts])
        height, width = torch.tensor([part.grid for part in parts])[which].unbind(dim=1)
        cell = within.clamp(min=0)
        columns.append(
            torch.stack((place, within >= 0, which, cell, cell // width, cell % width, height, width), dim=1)
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
        grids=table[..., 6:].clamp(min=1),  # of padding, so that nobody divides by 0
    )
