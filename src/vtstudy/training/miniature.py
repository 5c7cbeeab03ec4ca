"""The architecture of miniature-llava: LLaVA-1.5's classes in transformers, with 3.6 million parameters."""

from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from vtstudy.world.scene import CELL, SIDE

WIDTH = 192
"""Width of the language model and of the word embeddings that the vision tower learns."""


def llava_config(vocabulary: dict[str, int]) -> LlavaConfig:
    """A LLaVA with 12 x 12 image tokens and six decoder layers.

    Args:
        vocabulary: the id of each word.
    """
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=CELL,
        projection_dim=128,
        hidden_act="gelu",
    )
    text = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=vocabulary["<s>"],
        eos_token_id=vocabulary["</s>"],
        pad_token_id=vocabulary["<pad>"],
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=vocabulary["<image>"],
        image_seq_length=(SIDE // CELL) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
