"""Where a prompt's image tokens stand, and where on their image's grid they lie."""

from dataclasses import dataclass
from typing import Any

import torch

from vtprune.pruning.geometry import grid_positions


@dataclass(frozen=True)
class Layout:
    """The image tokens of ``b`` prompts, padded to the ``n`` of the row that has most.

    Attributes:
        index: ``[b, n]`` where in the sequence each stands (0 where not valid).
        valid: ``[b, n]`` bool, False for padding and for tokens that no method may drop.
        image: ``[b, n]`` which image of its row it belongs to.
        cell: ``[b, n]`` its index on that image's grid, row by row.
        positions: ``[b, n, 2]`` its (row, column) on that grid.
        grids: ``[b, n, 2]`` that grid's (height, width).
    """

    index: torch.Tensor
    valid: torch.Tensor
    image: torch.Tensor
    cell: torch.Tensor
    positions: torch.Tensor
    grids: torch.Tensor


def square_grid(config: Any) -> tuple[int, int]:
    """(height, width) in tokens of a fixed-size vision tower's output: image size over patch size.

    Raises:
        ValueError: if the tower has no fixed image size.
    """
    vision = config.vision_config
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if size is None or patch is None or vision.model_type == "pixtral":
        raise ValueError(f"vision tower {vision.model_type!r} has no fixed grid, which pruning needs here")
    height, width = (size, size) if isinstance(size, int) else size
    down, across = (patch, patch) if isinstance(patch, int) else patch
    return height // down, width // across


def llava_layout(config: Any, input_ids: torch.Tensor, attended: torch.Tensor) -> Layout:
    """The layout of LLaVA-1.5 prompts: every image one square grid, tokens in reading order.

    Args:
        config: a ``LlavaConfig``.
        input_ids: ``[b, length]``, image tokens expanded as the processor does it.
        attended: ``[b, length]`` bool, False on padding.

    Raises:
        ValueError: if a row has no image, or not as many image tokens as whole images have.
    """
    height, width = square_grid(config)
    # With the strategy "full" CLIP's class token comes before the patches; it has no place on the
    # grid, so it is never dropped.
    has_class = config.vision_feature_select_strategy == "full" and "clip" in config.vision_config.model_type
    extra = int(has_class)
    per_image = height * width + extra

    is_image = (input_ids == config.image_token_id) & attended
    counts = is_image.sum(dim=1)
    totals = counts.tolist()
    for row, total in enumerate(totals):
        if total == 0:
            raise ValueError(f"prompt {row} of the batch has no image, so there is nothing to prune in it")
        if total % per_image:
            raise ValueError(
                f"prompt {row} of the batch has {total} image tokens, which is no multiple of the "
                f"{per_image} that an image of this model takes"
            )
    ordinal = torch.arange(max(totals), device=input_ids.device)
    present = ordinal < counts[:, None]
    index = is_image.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, : max(totals)]
    within = ordinal % per_image - extra
    cell = within.clamp(min=0)
    rows = len(totals)
    positions = grid_positions(height, width, input_ids.device)[cell]
    return Layout(
        index=index.masked_fill(~present, 0),
        valid=present & (within >= 0),
        image=(ordinal // per_image).expand(rows, -1),
        cell=cell.expand(rows, -1),
        positions=positions.expand(rows, -1, -1),
        grids=torch.tensor((height, width), device=input_ids.device).expand(rows, len(ordinal), 2),
    )
