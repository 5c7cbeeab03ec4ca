"""The further miniatures' architectures and first weights, made from a miniature that is trained already.

``llava``: the same model with other layers. ``next`` and ``internvl``: LLaVA-NeXT and InternVL of 48-pixel
tiles, so that a 96-pixel picture is a view of the whole at half the resolution and 2 x 2 tiles at its own;
a token covers a cell of 8 pixels on the tiles, and four of them on the whole.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
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
KINDS = ("llava", "next", "internvl")
_INTERNVL_TOKENS = {
    "context_image_token": "<image>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "video_token": "<video>",
}


def variant(kind: str, source: nn.Module, processor: Any, layers: Sequence[int]) -> tuple[nn.Module, Any]:
    """A model of that kind that starts from `source`, and its processor.

    Args:
        kind: one of `KINDS`; `source` is a LLaVA, or of the same kind.
        layers: which of the source's decoder layers make the new decoder's. One that stands there twice
            adds nothing at first the second time: its outputs' weights are 0, so that the deeper model
            begins as the source.

    The tower is the source's where it fits. InternVL's is new, and LLaVA-NeXT's begins as LLaVA's, each to be
    trained on what `teacher_of` tells.

    Raises:
        ValueError: for another kind, or layers that the source does not have.
    """
    if kind not in KINDS:
        raise UserError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    depth = source.config.text_config.num_hidden_layers
    if not layers or not all(0 <= layer < depth for layer in layers):
        raise UserError(f"layers must be some of 0 to {depth - 1}, not {list(layers)}")
    text = LlamaConfig(**source.config.text_config.to_dict() | {"num_hidden_layers": len(layers)})
    same = isinstance(source, _class(kind))
    tokenizer = processor.tokenizer
    if kind == "internvl" and not same:
        tokenizer = _with_image_tokens(tokenizer)
        text.vocab_size = len(tokenizer)
    model = _class(kind)(
        source.config.__class__(**source.config.to_dict() | {"text_config": text})
        if same
        else _config(kind, source, text)
    )
    _copy_decoder(source, model, layers)
    if same:
        model.model.vision_tower.load_state_dict(source.model.vision_tower.state_dict())
        model.model.multi_modal_projector.load_state_dict(source.model.multi_modal_projector.state_dict())
        if kind == "next":
            model.model.image_newline.data.copy_(source.model.image_newline)
        return model, processor
    if kind == "next":
        _begin_as_llava(source, model, tokenizer)
    return model, _processor(kind, tokenizer, processor.chat_template)


def teacher_of(features: Tensor, kind: str) -> Tensor:
    """What each view's tokens should be, given LLaVA's of the whole picture.

    Args:
        features: `[b, 144, d]` of the 12 x 12 cells.

    Returns:
        `[b, 5, 36, d]`: of the 2 x 2 tiles, their own cells; of the whole, the mean of each four cells.
        LLaVA-NeXT has the whole first, InternVL last.
    """
    b, _, d = features.shape
    grid = features.view(b, 12, 12, d)
    tiles = grid.view(b, 2, 6, 2, 6, d).transpose(2, 3).reshape(b, 4, 36, d)
    whole = grid.view(b, 6, 2, 6, 2, d).mean(dim=(2, 4)).view(b, 1, 36, d)
    return torch.cat((whole, tiles) if kind == "next" else (tiles, whole), dim=1)


def views(model: nn.Module, pixels: Tensor) -> Tensor:
    """`[b, 5, 3, 48, 48]` as the processor gives them -> `[b, 5, 36, d]` projected, before any packing."""
    flat = pixels.flatten(0, 1)
    if isinstance(model, InternVLForConditionalGeneration):
        found = model.model.get_image_features(pixel_values=flat, return_dict=True).pooler_output
    else:
        found = model.model.multi_modal_projector(model.model.vision_tower(pixel_values=flat).last_hidden_state[:, 1:])
    return found.view(*pixels.shape[:2], *found.shape[1:])


def features(model: nn.Module, pixels: Tensor) -> Tensor:
    """The image tokens `[b, n, d]` as they enter the language model, of one picture a row."""
    if isinstance(model, InternVLForConditionalGeneration):
        return views(model, pixels).flatten(1, 2)
    sizes = (
        {"image_sizes": torch.tensor([[SIDE, SIDE]] * len(pixels))}
        if isinstance(model, LlavaNextForConditionalGeneration)
        else {}
    )
    return torch.stack(
        list(model.model.get_image_features(pixel_values=pixels, return_dict=True, **sizes).pooler_output)
    )


def _class(kind: str) -> type[nn.Module]:
    classes = (LlavaForConditionalGeneration, LlavaNextForConditionalGeneration, InternVLForConditionalGeneration)
    return dict(zip(KINDS, classes, strict=True))[kind]


def _config(kind: str, source: nn.Module, text: LlamaConfig) -> Any:
    image = source.config.image_token_id
    if kind == "next":
        vision = CLIPVisionConfig(**source.config.vision_config.to_dict() | {"image_size": TILE})
        return LlavaNextConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=image,
            tie_word_embeddings=True,
            image_grid_pinpoints=[[TILE, SIDE], [SIDE, TILE], [SIDE, SIDE]],
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
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
        image_token_id=image,
        image_seq_length=(TILE // CELL) ** 2,
        tie_word_embeddings=True,
    )


def _copy_decoder(source: nn.Module, model: nn.Module, layers: Sequence[int]) -> None:
    old, new = source.model.language_model, model.model.language_model
    with torch.no_grad():
        new.norm.load_state_dict(old.norm.state_dict())
        words = len(old.embed_tokens.weight)
        new.embed_tokens.weight[:words] = old.embed_tokens.weight
        new.embed_tokens.weight[words:] = old.embed_tokens.weight.mean(dim=0)  # tokens that the source lacks
        for place, layer in enumerate(layers):
            new.layers[place].load_state_dict(old.layers[layer].state_dict())
            if layer in layers[:place]:
                new.layers[place].self_attn.o_proj.weight.zero_()
                new.layers[place].mlp.down_proj.weight.zero_()
    model.tie_weights()


def _begin_as_llava(source: nn.Module, model: nn.Module, tokenizer: Any) -> None:
    """LLaVA's tower, its positions those of the picture's middle; a row of tiles ends in a line break."""
    state = source.model.vision_tower.state_dict()
    name = next(key for key in state if key.endswith("position_embedding.weight"))
    side, tile = SIDE // CELL, TILE // CELL
    middle = slice((side - tile) // 2, (side + tile) // 2)
    grid = state[name][1:].view(side, side, -1)[middle, middle]
    state[name] = torch.cat((state[name][:1], grid.reshape(tile * tile, -1)))
    fresh = model.model.vision_tower.state_dict()
    model.model.vision_tower.load_state_dict(
        {key: fresh[key] if key.endswith("position_ids") else value for key, value in state.items()}
    )
    model.model.multi_modal_projector.load_state_dict(source.model.multi_modal_projector.state_dict())
    newline = model.model.language_model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("\n")]
    model.model.image_newline.data.copy_(newline)


def _with_image_tokens(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
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


def _processor(kind: str, tokenizer: Any, chat: str) -> Any:
    side = {"height": TILE, "width": TILE}
    common = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
    if kind == "next":
        images = LlavaNextImageProcessorPil(
            size={"shortest_edge": TILE},
            crop_size=side,
            image_grid_pinpoints=[[TILE, SIDE], [SIDE, TILE], [SIDE, SIDE]],
            **common,
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
    images = GotOcr2ImageProcessorPil(size=side, crop_to_patches=True, **common)
    return InternVLProcessor(
        images, tokenizer, InternVLVideoProcessor(size=side), image_seq_length=(TILE // CELL) ** 2, chat_template=chat
    )
