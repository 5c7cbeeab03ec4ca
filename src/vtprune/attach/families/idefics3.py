"""Idefics3 and SmolVLM: one grid a sub-image, with text between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from vtprune.attach.families.family import Family
from vtprune.attach.layout import Layout, Part, assemble_layout, image_token_places, square_grid
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel


class Idefics3(Family):
    """Idefics3: every sub-image of an image is a grid of its own, and the whole image comes last.

    Each follows a word that says which one it is. That of the whole image is the one before the last sub-image of a
    prompt, so it shows where each image ends. An image that is not split is the whole image alone.

    The tower (SigLIP) has no class token, so methods that ask for its attention get what a patch receives from all
    patches of its sub-image, in the tower's last layer. The frames of a video are such images.
    """

    model_class = "Idefics3ForConditionalGeneration"
    nested_images = True

    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """See `Family.layout`."""
        height, width = (side // config.scale_factor for side in square_grid(config))  # pixel shuffle
        places = image_token_places(config, input_ids, attended)
        rows = []
        for row, (place, ids) in enumerate(zip(places, input_ids.cpu(), strict=True)):
            first = torch.nn.functional.pad(place.diff() != 1, (1, 0), value=True)
            lengths = first.cumsum(dim=0).bincount()[1:].tolist()
            wrong = [length for length in lengths if length != height * width]
            if wrong:
                raise UserError(
                    f"a sub-image of prompt {row} of the batch has {wrong[0]} image tokens, not the {height * width} "
                    "that a sub-image of this model has"
                )
            words = ids[place[first] - 1]  # before each sub-image; a prompt never begins with one
            rows.append(_parts((words == words[-1]).tolist(), (height, width), config.scale_factor))
        return assemble_layout(places, rows, input_ids.device)

    def language_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """See `Family.language_model`."""
        return cast("PreTrainedModel", self.core(model).text_model)

    def vision_tower(self, model: PreTrainedModel) -> nn.Module:
        """See `Family.vision_tower`."""
        return cast(nn.Module, self.core(model).vision_model)

    def projector(self, model: PreTrainedModel) -> nn.Module:
        """See `Family.projector`."""
        return cast(nn.Module, self.core(model).connector)


class SmolVLM(Idefics3):
    """SmolVLM: laid out as Idefics3."""

    model_class = "SmolVLMForConditionalGeneration"


def _parts(whole: list[bool], grid: tuple[int, int], merged: int) -> list[Part]:
    """The parts of a prompt.

    Args:
        whole: for each sub-image, whether it is the whole image, which ends an image.
        grid: (height, width) of each in tokens.
        merged: patches along each side of a token.
    """
    parts: list[Part] = []
    image, split = 0, False
    for is_whole in whole:
        name = "tile" if not is_whole else "thumbnail" if split else "image"
        parts.append(Part(image, name, grid, merged=merged))
        image, split = image + is_whole, not is_whole
    return parts
