"""The interface of a model family: where its parts are, and how its image tokens are laid out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import nn

from vtprune.attach.layout import Layout

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel


class Family(ABC):
    """A family of vision-language models of one transformers class.

    The methods that name a part return it as the families of the LLaVA kind have it; override those that differ.
    """

    model_class: ClassVar[str]
    """Name of the transformers class, which checkpoints have as their architecture."""

    needs_sizes: ClassVar[bool] = False
    """Whether the layout of a prompt depends on the sizes of its images in pixels."""

    @abstractmethod
    def layout(
        self,
        config: PreTrainedConfig,
        input_ids: torch.Tensor,
        attended: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
    ) -> Layout:
        """Lay out the image tokens of a batch of prompts.

        Args:
            config: the model's configuration.
            input_ids: `[b, length]`, with as many image tokens as the processor makes.
            attended: `[b, length]` bool, False on padding.
            image_sizes: `[images, 2]` (height, width) in pixels before any processing, for all images of all
                prompts in order. Only families with `needs_sizes` read them.

        Raises:
            UserError: if a prompt has no image, or a number of image tokens that its images cannot have.
        """

    def core(self, model: PreTrainedModel) -> PreTrainedModel:
        """The module that gets `input_ids` and holds the other parts."""
        return cast("PreTrainedModel", model.model)

    def language_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """The decoder, with `layers` and `config`."""
        return cast("PreTrainedModel", self.core(model).language_model)

    def vision_tower(self, model: PreTrainedModel) -> nn.Module:
        """The module that gets the pixels."""
        return cast(nn.Module, self.core(model).vision_tower)

    def projector(self, model: PreTrainedModel) -> nn.Module:
        """The module that turns the vision tower's output into image tokens."""
        return cast(nn.Module, self.core(model).multi_modal_projector)
