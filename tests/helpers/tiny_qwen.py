"""Tiny random models of the Qwen families, and the pictures of their prompts."""

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

# (height, width) of images in tokens. In Qwen2.5-VL's tower, a window of attention is 2 x 2 tokens.
QWEN_IMAGES = [[(4, 3)], [(2, 5), (3, 3)], [(1, 7)]]
_CLASSES = {
    "qwen2_vl": (Qwen2VLConfig, Qwen2VLForConditionalGeneration),
    "qwen2_5_vl": (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    "qwen3_vl": (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
}
PATCH, WIDTH = 4, 64
_VALUES = 3 * 2 * PATCH**2  # of a patch: three colours, two frames
_TOWERS = {
    "qwen2_vl": {"embed_dim": 16, "hidden_size": WIDTH, "mlp_ratio": 2},
    "qwen2_5_vl": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "out_hidden_size": WIDTH,
        "window_size": 4 * PATCH,
        "fullatt_block_indexes": [1],
    },
    "qwen3_vl": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
    },
}


def build_qwen(family: str, layers: int, image: int, text: dict, **options):
    """A model whose decoder has heads of 16: two, three and three pairs of values for the axes of a position.

    Args:
        image: id of the image token.
        text: the decoder's further options.
    """
    config, model = _CLASSES[family]
    decoder = {
        **text,
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        **options,
    }
    if family != "qwen3_vl":
        del decoder["head_dim"]
    tower = {"depth": 2, "num_heads": 2, "patch_size": PATCH, "in_channels": 3, **_TOWERS[family]}
    made = config(
        vision_config=tower,
        text_config=decoder,
        image_token_id=image,
        video_token_id=image + 1,
        vision_start_token_id=image + 2,
        tie_word_embeddings=False,
    )
    return model(made)


def qwen_pictures(images, generator) -> tuple[dict, list[int]]:
    """The model's arguments for images of so many (rows, columns) of tokens, and how many tokens each has."""
    grids = torch.tensor([[1, 2 * height, 2 * width] for height, width in images])
    pixels = torch.randn(int(grids.prod(dim=1).sum()), _VALUES, generator=generator)
    return {"pixel_values": pixels, "image_grid_thw": grids}, [height * width for height, width in images]
