"""The interface of a model family: where its parts are, and how its image tokens are laid out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import nn

from vtprune.attach.layout import Layout, square_grid

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel


class Family(ABC):
    """A family of vision-language models of one transformers class.

    The docstring of a family begins with its name, a colon, and what is particular to its image tokens.

    The methods that name a part return it as the families of the LLaVA kind have it; override those that differ.
    """

    model_class: ClassVar[str]
    """Name of the transformers class, which checkpoints have as their architecture."""

    needs_sizes: ClassVar[bool] = False
    """Whether the layout of a prompt depends on the sizes of its images."""

    sizes_argument: ClassVar[str] = "image_sizes"
    """Name of the model's argument that holds these sizes."""

    nested_images: ClassVar[bool] = False
    """Whether the processor must be given the images of several prompts as a list for each prompt."""

    @classmethod
    def title(cls) -> str:
        """What readers call the family, such as LLaVA-1.5."""
        return cls._first_line().partition(":")[0]

    @classmethod
    def summary(cls) -> str:
        """How its image tokens are laid out, in one sentence."""
        sentence = cls._first_line().partition(":")[2].strip()
        return sentence[:1].upper() + sentence[1:]

    @classmethod
    def _first_line(cls) -> str:
        return (cls.__doc__ or "").strip().partition("\n")[0]

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
            image_sizes: what the model's argument `sizes_argument` holds, for all images of all prompts in order:
                `[images, 2]` (height, width) in pixels before any processing, or as the family says. Only families
                with `needs_sizes` read them.

        Raises:
            UserError: if a prompt has no image, or a number of image tokens that its images cannot have.
        """

    def layout_of_call(
        self, config: PreTrainedConfig, input_ids: torch.Tensor, attended: torch.Tensor, arguments: Mapping[str, Any]
    ) -> Layout:
        """As `layout`, from all arguments of a call by name, for families that need more than the sizes."""
        return self.layout(config, input_ids, attended, arguments.get(self.sizes_argument))

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

    def feature_layer(self, config: PreTrainedConfig) -> int | Sequence[int]:
        """The number of the vision tower's hidden state (or states) that the projector gets.

        That of the configuration; the last where it names none.
        """
        return cast("int | Sequence[int]", getattr(config, "vision_feature_layer", -1))

    def picture_side(self, config: PreTrainedConfig) -> tuple[int, int] | None:
        """(height, width) in patches of a picture that the vision tower gets; None if pictures differ in size.

        Raises:
            UserError: if the tower has no grid that this family could work with.
        """
        return square_grid(config)

    def added_after(self, config: PreTrainedConfig) -> int:
        """After how many of the first decoder layers image tokens get something added (Qwen3-VL's DeepStack)."""
        return 0

    def blocks(
        self, config: PreTrainedConfig, input_ids: torch.Tensor, arguments: Mapping[str, Any]
    ) -> torch.Tensor | None:
        """`[b, length]` numbers of the blocks of tokens that see one another, -1 for tokens of none.

        None in families in which every token sees only itself and earlier ones.

        Args:
            arguments: of the call, by name.
        """
        return None
