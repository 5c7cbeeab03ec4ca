"""A tiny LLaVA checkpoint with random weights, and small data sets, for the tests of evaluation."""

from pathlib import Path

import torch

GRID, PATCH = 4, 8
_TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT: {% endif %}"
)
_WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<image>",
    "<unk>",
    "USER:",
    "ASSISTANT:",
    "yes",
    "no",
    "A",
    "B",
    "C",
    "D",
    "red",
    "green",
    "blue",
    "yellow",
    "cup",
    "boat",
    "lamp",
    "tree",
    "10",
    "20",
    "30",
    "40",
    "Is",
    "there",
    "a",
    "an",
    "one",
    "What",
    "color",
    "is",
    "the",
    "Answer",
    "question",
    "using",
    "single",
    "word",
    "or",
    "phrase.",
    "with",
    "from",
    "given",
    "choices",
    "directly.",
    "How",
    "high",
    "bar?",
    "Provide",
    "one-sentence",
    "caption",
    "for",
    "provided",
    "image.",
    "stands",
    "near",
    "old",
    "house",
]


def build_checkpoint(folder: Path) -> Path:
    """Write a model of 4 layers and 16 image tokens, with its processor."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    from helpers.tiny_tokenizer import word_tokenizer

    words = list(dict.fromkeys(_WORDS))
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=PATCH * GRID,
        patch_size=PATCH,
        projection_dim=16,
    )
    text = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_id=3, image_seq_length=GRID * GRID)
    )
    model.generation_config.suppress_tokens = [3]
    model.save_pretrained(folder)
    side = {"height": PATCH * GRID, "width": PATCH * GRID}
    LlavaProcessor(
        CLIPImageProcessor(size=side, do_center_crop=False),
        word_tokenizer(words),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def write_data(root: Path, *names: str) -> Path:
    """The small data sets of the schemas' own tests."""
    from helpers.small_data_sets import write

    for name in names:
        write(root, name)
    return root
