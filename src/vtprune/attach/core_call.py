"""One call of a model's core, seen by the names of its arguments."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vtprune.attach.image_encodings import identity_of
from vtprune.attach.transformers_internals import is_static
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache


@dataclass(frozen=True)
class CoreCall:
    """The arguments of one call of the module that gets `input_ids`; None for those that it does not have.

    Attributes:
        arguments: all of them, by name.
    """

    arguments: dict[str, Any]

    @classmethod
    def of(cls, core: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CoreCall:
        """The call of `core(*args, **kwargs)`.

        Raises:
            UserError: for a static cache, or an attention mask that is not two-dimensional.
        """
        arguments = inspect.signature(core.forward).bind_partial(*args, **kwargs).arguments
        further = arguments.pop("kwargs", {})
        call = cls({**arguments, **further})
        mask = call.arguments.get("attention_mask")
        if is_static(call.cache) or (mask is not None and not (isinstance(mask, torch.Tensor) and mask.ndim == 2)):
            raise UserError("pruning needs a dynamic cache and a two-dimensional attention mask")
        return call

    @property
    def rows(self) -> int:
        """The number of prompts."""
        given = self.inputs_embeds if self.input_ids is None else self.input_ids
        return 0 if given is None else len(given)

    @property
    def input_ids(self) -> torch.Tensor | None:
        """`[b, length]`."""
        return self.arguments.get("input_ids")

    @property
    def inputs_embeds(self) -> torch.Tensor | None:
        """`[b, length, d]`."""
        return self.arguments.get("inputs_embeds")

    @property
    def attention_mask(self) -> torch.Tensor | None:
        """`[b, length of all]`, cached tokens included."""
        return self.arguments.get("attention_mask")

    @property
    def position_ids(self) -> torch.Tensor | None:
        """`[1 or b, length]`, or `[3 or 4, b, length]` with a row for each axis (M-RoPE)."""
        return self.arguments.get("position_ids")

    @property
    def pixel_values(self) -> torch.Tensor | None:
        """The pixels, as the processor makes them."""
        return self.arguments.get("pixel_values")

    @property
    def image_features(self) -> object | None:
        """What identifies image features that were computed before the call."""
        encoded = self.arguments.get("mm_encoder_outputs") or {}
        return identity_of(encoded.get("image"))

    @property
    def cache(self) -> Cache | None:
        """The cache that the caller passes; the decoder makes one itself if there is none."""
        return self.arguments.get("past_key_values")

    @property
    def without_cache(self) -> bool:
        """Whether the caller turns caching off."""
        return self.arguments.get("use_cache") is False

    @property
    def continues_cache(self) -> bool:
        """Whether the tokens continue a cache that holds some already."""
        return self.cache is not None and self.cache.get_seq_length() > 0

    @property
    def brings_videos(self) -> bool:
        """Whether the call has videos, or features of videos."""
        encoded = self.arguments.get("mm_encoder_outputs") or {}
        return self.arguments.get("pixel_values_videos") is not None or encoded.get("video") is not None

    @property
    def brings_images(self) -> bool:
        """Whether the call has pixels or image features."""
        return self.pixel_values is not None or bool(self.arguments.get("mm_encoder_outputs"))

    def with_position_ids(self, position_ids: torch.Tensor) -> tuple[tuple[()], dict[str, Any]]:
        """The positional and named arguments of the same call with these position ids."""
        return (), {**self.arguments, "position_ids": position_ids}


def brings_labels(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of a whole model has labels."""
    if args:  # reading a signature takes as long as a small layer
        kwargs = inspect.signature(model.forward).bind_partial(*args, **kwargs).arguments
    return kwargs.get("labels") is not None
