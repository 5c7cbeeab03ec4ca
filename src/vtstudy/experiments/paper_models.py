"""The papers' models as transformers configurations. They are written here, so nothing is downloaded.

Every number is from the `config.json` of the named checkpoint. Numbers that this file does not have are the defaults of
transformers. transformers has no InternLM2, the decoder of InternVL2. A Llama with the same matrices stands in, and
costs the same: InternLM2's `wqkv` is q, k and v side by side, its `w1, w3, w2` are gate, up and down, without biases.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vtprune.cost.flops import Workload

# The prompt of the published code has 35 tokens before the image (a fixed offset in the code). A question with its
# instruction and the beginning of the answer has about 29.
TEXT_TOKENS = 64


@dataclass(frozen=True)
class Size:
    """A model of a paper.

    Attributes:
        source: the checkpoint whose `config.json` has the numbers.
        config: makes the configuration.
        workload: the prompt that the costs are computed for.
        image: the image of that prompt.
    """

    source: str
    config: Callable[[], Any]
    workload: Workload
    image: str


def _clip() -> Any:
    """openai/clip-vit-large-patch14-336, the tower of all LLaVA checkpoints below."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )


def _llama(
    width: int, layers: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int, context: int = 4096
) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=context,
    )


def _llava(**text: int) -> Any:
    from transformers import LlavaConfig

    return LlavaConfig(
        vision_config=_clip(),
        text_config=_llama(**text),
        image_token_index=32000,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )


def _llava_next(image_token: int = 32000, **text: int) -> Any:
    from transformers import LlavaNextConfig

    return LlavaNextConfig(
        vision_config=_clip(),
        text_config=_llama(**text),
        image_token_index=image_token,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
    )


def _internvl(**text: int) -> Any:
    """InternVL2 with InternViT-300M-448px, the tower of both InternVL2-2B and -8B."""
    from transformers import InternVLConfig, InternVLVisionConfig

    vision = InternVLVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=448,
        patch_size=14,
        attention_bias=True,
        use_qk_norm=False,
        norm_type="layer_norm",
    )
    return InternVLConfig(
        vision_config=vision,
        text_config=_llama(**text, context=32768),
        image_token_id=92546,
        image_seq_length=256,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )


_VICUNA_7B = {"width": 4096, "layers": 32, "heads": 32, "kv_heads": 32, "intermediate": 11008, "vocabulary": 32064}
_VICUNA_13B = {"width": 5120, "layers": 40, "heads": 40, "kv_heads": 40, "intermediate": 13824, "vocabulary": 32064}
_LLAMA3_8B = {"width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "intermediate": 14336, "vocabulary": 128320}
_INTERNLM2_1_8B = {"width": 2048, "layers": 24, "heads": 16, "kv_heads": 8, "intermediate": 8192, "vocabulary": 92553}
_INTERNLM2_7B = {"width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "intermediate": 14336, "vocabulary": 92553}

_ONE = Workload(image_tokens=576, text_tokens=TEXT_TOKENS)
# A square image: 2 x 2 tiles and the complete image, without padding. The 48 newline tokens are not on the grids.
_FIVE = Workload(image_tokens=5 * 576, text_tokens=TEXT_TOKENS + 48, tiles=5)
# 12 tiles (the maximum of InternVL2's default setting) and the thumbnail.
_THIRTEEN = Workload(image_tokens=13 * 256, text_tokens=TEXT_TOKENS, tiles=13)

SIZES = {
    "LLaVA-1.5-7B": Size("llava-hf/llava-1.5-7b-hf", lambda: _llava(**_VICUNA_7B), _ONE, "any"),
    "LLaVA-1.5-13B": Size("llava-hf/llava-1.5-13b-hf", lambda: _llava(**_VICUNA_13B), _ONE, "any"),
    "LLaVA-NeXT-7B": Size(
        "llava-hf/llava-v1.6-vicuna-7b-hf",
        lambda: _llava_next(**_VICUNA_7B),
        _FIVE,
        "672 x 672: 2 x 2 tiles and the whole",
    ),
    "LLaVA-NeXT-8B": Size(
        "llava-hf/llama3-llava-next-8b-hf",
        lambda: _llava_next(128256, **_LLAMA3_8B),
        _FIVE,
        "672 x 672: 2 x 2 tiles and the whole",
    ),
    "InternVL2-2B": Size(
        "OpenGVLab/InternVL2-2B", lambda: _internvl(**_INTERNLM2_1_8B), _THIRTEEN, "12 tiles and the thumbnail"
    ),
    "InternVL2-8B": Size(
        "OpenGVLab/InternVL2-8B", lambda: _internvl(**_INTERNLM2_7B), _THIRTEEN, "12 tiles and the thumbnail"
    ),
}
