"""Tiny random models of every family with every decoder, and prompts for them."""

import torch
from transformers import (
    CLIPVisionConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from helpers.tiny_qwen import QWEN_IMAGES, build_qwen, qwen_pictures
from helpers.tiny_siglip import SIGLIP_IMAGES, build_siglip, siglip_pictures

IMAGE, PAD, VOCABULARY = 3, 0, 60
GRID, SIDE = 4, 32  # 4x4 tokens of a 32-pixel picture: 8-pixel patches, or 4-pixel ones shuffled
PINPOINTS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
DECODERS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
# The other families, with the decoder that each has.
TODAY = [*((family, "") for family in (*QWEN, *SIGLIP_IMAGES)), ("internvl", "qwen3")]
CASES = [
    ("llava", "mistral"),
    ("llava", "qwen2"),
    ("llava_next", "llama"),
    ("llava_next", "mistral"),
    ("internvl", "llama"),
    ("internvl", "qwen2"),
    *TODAY,
]
# The images of three prompts by family: (height, width) for LLaVA-NeXT, the number of tiles for InternVL.
IMAGES = {
    "llava": [[1], [1, 1], [1]],
    "llava_next": [[(30, 70)], [(100, 20), (64, 64)], [(3, 90)]],
    "internvl": [[5], [1, 3], [13]],
}
IMAGES |= dict.fromkeys(QWEN, QWEN_IMAGES) | SIGLIP_IMAGES
_SHARED = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
BY_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT: {% endif %}"
)
MESSAGES = [
    [{"role": "user", "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}]
    for images, text in ((1, "what is this ?"), (2, "what ?"))
]


def text_config(decoder: str, layers: int = 2, **options):
    if decoder == "mistral":
        options = {"sliding_window": None, **options}
    return DECODERS[decoder](
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        **_SHARED,
        **options,
    )


def clip() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        projection_dim=16,
    )


def configuration(family: str, text):
    if family == "llava":
        return LlavaConfig(vision_config=clip(), text_config=text, image_token_id=IMAGE)
    if family == "llava_next":
        return LlavaNextConfig(
            vision_config=clip(), text_config=text, image_token_index=IMAGE, image_grid_pinpoints=PINPOINTS
        )
    vision = InternVLVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[SIDE, SIDE],
        patch_size=[4, 4],
    )
    return InternVLConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=GRID**2)


def build(family: str, decoder: str = "", attention: str = "sdpa", layers: int = 2, **options):
    """A model of a family; those of one decoder need not name it."""
    torch.manual_seed(0)
    if family in QWEN:
        model = build_qwen(family, layers, IMAGE, _SHARED, **options)
    elif family in SIGLIP_IMAGES:
        model = build_siglip(family, layers, IMAGE, _SHARED, PINPOINTS, **options)
    else:
        classes = (LlavaForConditionalGeneration, LlavaNextForConditionalGeneration, InternVLForConditionalGeneration)
        kind = classes[list(IMAGES).index(family)]
        model = kind(configuration(family, text_config(decoder, layers, **options)))
    return ready(model, attention)


def ready(model, attention: str):
    """Prepare a new model for these tests."""
    model.eval().set_attn_implementation(attention)
    # Trained norms are not uniform; with uniform ones both readings' keys have the same directions.
    for layer in decoder_of(model).layers:
        torch.nn.init.uniform_(layer.input_layernorm.weight, 0.2, 2.0)
    # No end of sequence: every row generates as many tokens as are asked for.
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = PAD
    # A generated image token would make LLaVA look for another image.
    model.generation_config.suppress_tokens = [IMAGE]
    return model


def decoder_of(model):
    return getattr(model.model, "language_model", None) or model.model.text_model


@torch.no_grad()
def prompt(model, images, before=3, after=5, seed=0) -> dict[str, torch.Tensor]:
    """One prompt: text, the images with a word between them, text. The model says how many image tokens there are."""
    generator = torch.Generator().manual_seed(seed)
    inputs, pieces_of = pictures(model, images, generator)
    text = torch.randint(6, VOCABULARY, (before + after + len(images),), generator=generator).split(1)
    pieces = list(text[:before])
    for number, piece in enumerate(pieces_of):
        pieces += [piece, text[before + number]]
    ids = torch.cat((*pieces, *text[before + len(images) :]))[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **inputs}
    if model.config.model_type in QWEN:
        inputs["mm_token_type_ids"] = (ids == IMAGE).int()
    if model.config.model_type == "gemma3":
        inputs["token_type_ids"] = (ids == IMAGE).int()
    return inputs


def pictures(model, images, generator) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The model's arguments for the images, and for each image the ids that stand for it."""
    family = model.config.model_type
    if family in QWEN:
        inputs, counts = qwen_pictures(images, generator)
    elif family in SIGLIP_IMAGES:
        return siglip_pictures(model, images, IMAGE, tiling, generator)
    elif family == "llava_next":
        tiles = [1 + rows * columns for rows, columns in map(tiling, images)]
        pixels = torch.randn(len(images), max(tiles), 3, SIDE, SIDE, generator=generator)
        inputs = {"pixel_values": pixels, "image_sizes": torch.tensor(images)}
        counts = [len(feature) for feature in model.get_image_features(**inputs).pooler_output]
    else:
        inputs = {"pixel_values": torch.randn(sum(images), 3, SIDE, SIDE, generator=generator)}
        features = model.get_image_features(**inputs).pooler_output
        counts = [tile_count * len(features[0]) for tile_count in images]
    return inputs, [torch.full((count,), IMAGE) for count in counts]


def tiling(size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of tiles: of the canvas that shows most of the image and, among those, wastes least."""
    height, width = size

    def merit(canvas):
        scale = min(canvas[0] / height, canvas[1] / width)
        shown = min(int(height * scale) * int(width * scale), height * width)
        return shown, shown - canvas[0] * canvas[1]

    best = max(PINPOINTS, key=merit)
    return best[0] // SIDE, best[1] // SIDE


def batch(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The prompts in one batch, padded on the left; fewer tiles are padded with pictures that the model ignores."""
    longest = max(row["input_ids"].shape[1] for row in rows)
    joined = {}
    for name in rows[0]:
        parts = [row[name] for row in rows]
        if name in BY_TOKEN:
            parts = [torch.nn.functional.pad(part, (longest - part.shape[1], 0), value=PAD) for part in parts]
        elif parts[0].ndim == 5:
            most = max(part.shape[1] for part in parts)
            parts = [torch.nn.functional.pad(part, (0,) * 7 + (most - part.shape[1],)) for part in parts]
        joined[name] = torch.cat(parts)
    return joined


def rows_of(model, family: str) -> list[dict[str, torch.Tensor]]:
    lengths = ((3, 5), (1, 9), (6, 2))
    return [prompt(model, images, *lengths[number], seed=number) for number, images in enumerate(IMAGES[family])]


def save(family: str, decoder: str, folder) -> None:
    """A checkpoint with its processor, which needs torchvision."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLProcessor,
        InternVLVideoProcessor,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
        PreTrainedTokenizerFast,
    )

    build(family, decoder).save_pretrained(folder)
    words = [
        "<pad>",
        "<s>",
        "</s>",
        "<image>",
        "<unk>",
        "<img>",
        "</img>",
        "<video>",
        "USER:",
        "ASSISTANT:",
        "what",
        "is",
        "this",
        "?",
    ]
    words += [f"word{number}" for number in range(len(words), VOCABULARY)]  # so that answers differ
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"image_token": "<image>"}
    if family == "internvl":
        special = {
            "context_image_token": "<image>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "video_token": "<video>",
        }
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=special,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )
    side = {"height": SIDE, "width": SIDE}
    if family == "internvl":
        images = GotOcr2ImageProcessor(size=side, crop_to_patches=True)
        processor = InternVLProcessor(
            images, fast, InternVLVideoProcessor(size=side), image_seq_length=GRID**2, chat_template=TEMPLATE
        )
    else:
        images = LlavaNextImageProcessor(size={"shortest_edge": SIDE}, crop_size=side, image_grid_pinpoints=PINPOINTS)
        processor = LlavaNextProcessor(
            images,
            fast,
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            image_token="<image>",
            chat_template=TEMPLATE,
        )
    processor.save_pretrained(folder)


def flat(kept) -> list[int]:
    """The survivors of one prompt, as indices among all its image tokens."""
    survivors, start = [], 0
    for part in kept:
        survivors += [start + index for index in part.indices.tolist()]
        start += part.grid[0] * part.grid[1]
    return survivors
