"""Qwen3-VL: as Qwen2-VL, with DeepStack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vtprune.attach.families.qwen2_vl import Qwen2VL

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedConfig


class Qwen3VL(Qwen2VL):
    """Qwen3-VL: one grid an image, and image tokens get features of earlier tower layers added (DeepStack).

    The features are added after each of the first decoder layers (0, 1 and 2 in the released checkpoints). Where tokens
    are dropped before them, only those that are left get theirs; a token that has become a mean gets the mean.
    """

    model_class = "Qwen3VLForConditionalGeneration"

    def added_after(self, config: PreTrainedConfig) -> int:
        """See `Family.added_after`."""
        return len(config.vision_config.deepstack_visual_indexes)
