"""Configurations of tiny models of every family, without a processor: for tests of costs."""

from typing import Any

from transformers import (
    CLIPVisionConfig,
    InternVLConfig,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
)

IMAGE_TOKEN = 7
_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 8,
}


def tiny_config(kind: str = "llava") -> Any:
    """A model with six decoder layers of width 32.

    Args:
        kind: `llava` (64 image tokens), `llava_next` (five tiles of 64) or `internvl` (tiles of 4 tokens).
    """
    text = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    if kind == "internvl":
        vision = InternVLVisionConfig(image_size=32, **_TOWER)
        return InternVLConfig(vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN)
    shared = {
        "vision_config": CLIPVisionConfig(image_size=64, **_TOWER),
        "text_config": text,
        "image_token_index": IMAGE_TOKEN,
    }
    if kind == "llava_next":
        return LlavaNextConfig(image_grid_pinpoints=[[128, 128]], **shared)
    return LlavaConfig(**shared)
