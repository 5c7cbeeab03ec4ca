"""Tiny random models of the families with a SigLIP tower, and the pictures of their prompts."""

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

SIDE = 32
_TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIGLIP_IMAGES = {
    # (height, width) in pixels: one image alone has any-resolution tiles, several have one tile each.
    "llava_onevision": [[(30, 70)], [(100, 20), (64, 64)], [(3, 90)]],
    # (rows, columns) of sub-images, (0, 0) for an image that is not split.
    "smolvlm": [[(1, 2)], [(0, 0), (2, 1)], [(2, 2)]],
    "idefics3": [[(1, 2)], [(0, 0), (2, 1)], [(2, 2)]],
    "gemma3": [[1], [1, 1], [1]],
}
_WORDS = 6  # the words before sub-images have the ids from here on


def build_siglip(family: str, layers: int, image: int, text: dict, pinpoints: list, **options):
    """A model with 16 image tokens a tile.

    Args:
        image: id of the image token.
        text: the decoder's further options.
        pinpoints: of any-resolution images.
    """
    decoder = {
        **text,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        **options,
    }
    if family == "llava_onevision":
        vision = {"model_type": "siglip_vision_model", "image_size": SIDE, "patch_size": 8, **_TOWER}
        config = LlavaOnevisionConfig(
            vision_config=vision,
            text_config={"model_type": "qwen2", **decoder},
            image_token_id=image,
            video_token_id=image + 1,
            image_grid_pinpoints=pinpoints,
            vision_aspect_ratio="anyres_max_2",
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
        )
        return LlavaOnevisionForConditionalGeneration(config)
    if family == "gemma3":
        vision = {"image_size": SIDE, "patch_size": 4, **_TOWER, "vision_use_head": False}
        kinds = ["full_attention"] * (layers - 1) + ["sliding_attention"]
        decoder = {"layer_types": kinds, **decoder, "head_dim": 16, "sliding_window": 9, "query_pre_attn_scalar": 16}
        config = Gemma3Config(vision_config=vision, text_config=decoder, mm_tokens_per_image=16, image_token_id=image)
        model = Gemma3ForConditionalGeneration(config)
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)  # it is made of zeros
        return model
    classes = {
        "smolvlm": (SmolVLMConfig, SmolVLMForConditionalGeneration),
        "idefics3": (Idefics3Config, Idefics3ForConditionalGeneration),
    }
    vision = {"image_size": SIDE, "patch_size": 4, **_TOWER}
    config, model = classes[family]
    return model(
        config(
            vision_config=vision,
            text_config={"model_type": "llama", **decoder},
            image_token_id=image,
            scale_factor=2,
            tie_word_embeddings=False,
            pad_token_id=text["pad_token_id"],
        )
    )


def siglip_pictures(model, images, image: int, tiling, generator) -> tuple[dict, list[torch.Tensor]]:
    """The model's arguments for the images, and for each image the ids that stand for it.

    Args:
        image: id of the image token.
        tiling: says the (rows, columns) of tiles of an any-resolution image.
    """
    family = model.config.model_type
    if family == "gemma3":
        pixels = torch.randn(len(images), 3, SIDE, SIDE, generator=generator)
        return {"pixel_values": pixels}, [torch.full((16,), image)] * len(images)
    if family == "llava_onevision":
        tiles = [1 + rows * columns for rows, columns in map(tiling, images)] if len(images) == 1 else [1] * len(images)
        inputs = {
            "pixel_values": torch.randn(len(images), max(tiles), 3, SIDE, SIDE, generator=generator),
            "image_sizes": torch.tensor(images),
            "batch_num_images": torch.tensor([len(images)]),
        }
        features = model.get_image_features(**inputs).pooler_output
        return inputs, [torch.full((len(feature),), image) for feature in features]
    words = [[_WORDS + 1 + number for number in range(rows * columns)] + [_WORDS] for rows, columns in images]
    pixels = torch.randn(1, sum(map(len, words)), 3, SIDE, SIDE, generator=generator)
    pieces = [torch.tensor([token for word in part for token in (word, *[image] * 16)]) for part in words]
    return {"pixel_values": pixels}, pieces
