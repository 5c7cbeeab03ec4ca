"""Architectures and initial weights of the miniatures that are derived from a trained one.

`llava`: the same architecture with other layers. `next` and `internvl`: LLaVA-NeXT and InternVL with tiles of
48 pixels. They see a 96-pixel picture as 2 x 2 tiles at full resolution and as a whole at half the resolution:
a token covers one grid cell of 8 pixels on the tiles, and four cells on the whole.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)

from vtprune.errors import UserError
from vtstudy.world.scene import CELL, SIDE

TILE = SIDE // 2
_PINPOINTS = [[TILE, SIDE], [SIDE, TILE], [SIDE, SIDE]]
_TILE_SIZE = {"height": TILE, "width": TILE}
_NORMALIZATION: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
_CLASSES: dict[str, Any] = {
    "llava": LlavaForConditionalGeneration,
    "next": LlavaNextForConditionalGeneration,
    "internvl": InternVLForConditionalGeneration,
}
KINDS = tuple(_CLASSES)
_INTERNVL_TOKENS = {
    "context_image_token": "<image>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "video_token": "<video>",
}


def derive(kind: str, source: Any, processor: Any, layers: Sequence[int]) -> tuple[Any, Any]:
    """A model of the given kind that starts from `source`, and its processor.

    The vision tower is the source's if both are of one kind. Otherwise it is to be trained with
    `teacher_targets`: InternVL's has random weights, LLaVA-NeXT's has those of LLaVA.

    Args:
        kind: one of `KINDS`.
        source: a LLaVA, or a model of that kind.
        layers: the source's decoder layers of which the new decoder is made. A layer that is repeated adds
            nothing at first, because its output weights are set to 0: the deeper model begins as the source.

    Raises:
        UserError: for an unknown kind, or for layers that the source does not have.
    """
    if kind not in KINDS:
        raise UserError(f"The kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    depth = source.config.text_config.num_hidden_layers
    if not layers or not all(0 <= layer < depth for layer in layers):
        raise UserError(f"The layers must be from 0 to {depth - 1}, not {list(layers)}.")
    same_kind = isinstance(source, _CLASSES[kind])
    if not same_kind and not isinstance(source, LlavaForConditionalGeneration):
        raise UserError(f"A model of kind {kind!r} must start from a LLaVA or from its own kind.")
    text = LlamaConfig(**source.config.text_config.to_dict() | {"num_hidden_layers": len(layers)})
    tokenizer = processor.tokenizer
    if same_kind:
        config = source.config.__class__(**source.config.to_dict() | {"text_config": text})
        model = _CLASSES[kind](config)
        _copy_decoder(source, model, layers)
        model.model.vision_tower.load_state_dict(source.model.vision_tower.state_dict())
        model.model.multi_modal_projector.load_state_dict(source.model.multi_modal_projector.state_dict())
        if kind == "next":
            model.model.image_newline.data.copy_(source.model.image_newline)
        return model, processor
    if kind == "next":
        model = LlavaNextForConditionalGeneration(next_config(source, text))
        _copy_decoder(source, model, layers)
        _copy_llava_tower(source, model, tokenizer)
        return model, _next_processor(tokenizer, processor.chat_template)
    tokenizer = _with_image_tokens(tokenizer)
    text.vocab_size = len(tokenizer)
    model = InternVLForConditionalGeneration(internvl_config(source, text))
    _copy_decoder(source, model, layers)
    return model, _internvl_processor(tokenizer, processor.chat_template)


def teacher_targets(features: Tensor, kind: str) -> Tensor:
    """The features that the new tower should give, from LLaVA's features of the same picture.

    Args:
        features: LLaVA's, of the 12 x 12 cells, `[b, 144, d]`.

    Returns:
        `[b, 5, 36, d]`. A token of a tile should equal its cell; a token of the whole should equal the mean of its
        four cells. LLaVA-NeXT has the whole first, InternVL has it last.
    """
    b, _, d = features.shape
    grid = features.view(b, 12, 12, d)
    tiles = grid.view(b, 2, 6, 2, 6, d).transpose(2, 3).reshape(b, 4, 36, d)
    whole = grid.view(b, 6, 2, 6, 2, d).mean(dim=(2, 4)).view(b, 1, 36, d)
    return torch.cat((whole, tiles) if kind == "next" else (tiles, whole), dim=1)


def view_features(model: Any, pixels: Tensor) -> Tensor:
    """The projected features of each view: `[b, 5, 3, 48, 48]` as the processor gives them to `[b, 5, 36, d]`."""
    flat = pixels.flatten(0, 1)
    if isinstance(model, InternVLForConditionalGeneration):
        features = model.model.get_image_features(pixel_values=flat, return_dict=True).pooler_output
    else:
        hidden = model.model.vision_tower(pixel_values=flat).last_hidden_state[:, 1:]
        features = model.model.multi_modal_projector(hidden)
    return features.view(*pixels.shape[:2], *features.shape[1:])


def image_features(model: Any, pixels: Tensor) -> Tensor:
    """The image tokens that enter the language model, `[b, n, d]`; each row of `pixels` is one picture."""
    if isinstance(model, InternVLForConditionalGeneration):
        return view_features(model, pixels).flatten(1, 2)
    sizes = {}
    if isinstance(model, LlavaNextForConditionalGeneration):
        sizes["image_sizes"] = torch.tensor([[SIDE, SIDE]] * len(pixels))
    output = model.model.get_image_features(pixel_values=pixels, return_dict=True, **sizes)
    return torch.stack(list(output.pooler_output))


def next_config(source: Any, text: LlamaConfig) -> LlavaNextConfig:
    vision = CLIPVisionConfig(**source.config.vision_config.to_dict() | {"image_size": TILE})
    return LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=source.config.image_token_id,
        tie_word_embeddings=True,
        image_grid_pinpoints=_PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )


def internvl_config(source: Any, text: LlamaConfig) -> InternVLConfig:
    vision = InternVLVisionConfig(
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        attention_bias=True,
        image_size=[TILE, TILE],
        patch_size=[CELL // 2, CELL // 2],
        layer_scale_init_value=1.0,
    )
    return InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=source.config.image_token_id,
        image_seq_length=(TILE // CELL) ** 2,
        tie_word_embeddings=True,
    )


CONFIGS = (next_config, internvl_config)


def _copy_decoder(source: Any, model: Any, layers: Sequence[int]) -> None:
    old, new = source.model.language_model, model.model.language_model
    with torch.no_grad():
        new.norm.load_state_dict(old.norm.state_dict())
        known = len(old.embed_tokens.weight)
        new.embed_tokens.weight[:known] = old.embed_tokens.weight
        new.embed_tokens.weight[known:] = old.embed_tokens.weight.mean(dim=0)  # tokens that the source lacks
        for place, layer in enumerate(layers):
            new.layers[place].load_state_dict(old.layers[layer].state_dict())
            if layer in layers[:place]:
                new.layers[place].self_attn.o_proj.weight.zero_()
                new.layers[place].mlp.down_proj.weight.zero_()
    model.tie_weights()


def _copy_llava_tower(source: Any, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Copy LLaVA's tower, with the position embeddings of the middle of its grid.

    The token at the end of each row of tiles starts as a line break.
    """
    state = source.model.vision_tower.state_dict()
    name = next(key for key in state if key.endswith("position_embedding.weight"))
    side, tile = SIDE // CELL, TILE // CELL
    middle = slice((side - tile) // 2, (side + tile) // 2)
    grid = state[name][1:].view(side, side, -1)[middle, middle]
    state[name] = torch.cat((state[name][:1], grid.reshape(tile * tile, -1)))
    for key, value in model.model.vision_tower.state_dict().items():
        if key.endswith("position_ids"):
            state[key] = value
    model.model.vision_tower.load_state_dict(state)
    model.model.multi_modal_projector.load_state_dict(source.model.multi_modal_projector.state_dict())
    newline = model.model.language_model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("\n")]
    model.model.image_newline.data.copy_(newline)


def _with_image_tokens(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tokenizer with InternVL's special tokens added."""
    backend = tokenizer.backend_tokenizer
    backend.add_special_tokens([AddedToken(token, special=True) for token in _INTERNVL_TOKENS.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        extra_special_tokens=_INTERNVL_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )


def _next_processor(tokenizer: PreTrainedTokenizerFast, chat: str) -> LlavaNextProcessor:
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size=_TILE_SIZE, image_grid_pinpoints=_PINPOINTS, **_NORMALIZATION
    )
    return LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=chat,
    )


def _internvl_processor(tokenizer: PreTrainedTokenizerFast, chat: str) -> InternVLProcessor:
    images = GotOcr2ImageProcessorPil(size=_TILE_SIZE, crop_to_patches=True, **_NORMALIZATION)
    video = InternVLVideoProcessor(size=_TILE_SIZE)
    return InternVLProcessor(images, tokenizer, video, image_seq_length=(TILE // CELL) ** 2, chat_template=chat)
