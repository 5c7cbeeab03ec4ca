"""Architecture and initial weights of a LLaVA whose grid is twice as fine: 24 x 24 image tokens, as LLaVA-1.5 has.

Its processor doubles a picture (each pixel becomes 2 x 2), so that a cell of the 12 x 12 grid is covered by four
tokens, its *quarters*. The vision tower gets one layer more than the tower that it starts from. This first layer
gathers the four quarters of a cell, and the others are copied: they then see each cell four times, which changes
nothing in an average over cells. So only the first layer has to be trained.

How the first layer begins: the patch embedding writes the 48 pixel values of a quarter and a code of its place into
dimensions of their own. Attention head h finds, by these codes, quarter h of the same cell, and carries on what the
source's patch embedding makes of it, as well as 32 dimensions can.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

from vtprune.errors import UserError
from vtstudy.training.derived import derive
from vtstudy.world.scene import CELL, GRID, SIDE

FINER = 2
"""Image tokens along the side of a cell, and pixels for each pixel of the world along a side."""
QUARTERS = FINER**2
_FINE_GRID = FINER * GRID
_QUARTER = CELL // FINER  # pixels of the world along the side of a quarter
_PIXELS = 3 * _QUARTER**2
_CODE = 8.0  # of a place; large against pixel values, so that normalization hardly depends on the pixels
_SHARPNESS = 6.0  # of the attention to a quarter


def fine_llava(source: Any, processor: Any, layers: list[int]) -> tuple[Any, Any]:
    """A LLaVA with 24 x 24 image tokens that starts from one with 12 x 12, and its processor.

    Args:
        layers: the source's decoder layers of which the new decoder is made (see `derive`).

    Raises:
        UserError: if the source is no LLaVA with 12 x 12 tokens and four attention heads in its tower, or lacks one of
            the layers.
    """
    vision = source.config.vision_config
    if not isinstance(source, LlavaForConditionalGeneration) or (
        (vision.image_size, vision.patch_size, vision.num_attention_heads) != (SIDE, CELL, QUARTERS)
    ):
        raise UserError(
            f"A miniature with a fine grid must start from a LLaVA that takes pictures of {SIDE} pixels in patches of "
            f"{CELL}, with {QUARTERS} attention heads in its vision tower."
        )
    coarse, _ = derive("llava", source, processor, layers)
    model = LlavaForConditionalGeneration(fine_config(coarse))
    model.model.language_model.load_state_dict(coarse.model.language_model.state_dict())
    model.model.multi_modal_projector.load_state_dict(source.model.multi_modal_projector.state_dict())
    model.tie_weights()
    start_tower(source.model.vision_tower, model.model.vision_tower)
    return model, fine_processor(processor)


def fine_config(source: Any) -> LlavaConfig:
    vision = source.config.vision_config.to_dict()
    vision |= {"image_size": FINER * SIDE, "num_hidden_layers": vision["num_hidden_layers"] + 1}
    changes = {"vision_config": CLIPVisionConfig(**vision), "image_seq_length": _FINE_GRID**2}
    return LlavaConfig(**source.config.to_dict() | {"text_config": source.config.text_config} | changes)


def fine_processor(processor: Any) -> Any:
    """The processor with pictures doubled exactly: its size is twice the world's, its filter the nearest pixel."""
    processor = deepcopy(processor)
    size = {"height": FINER * SIDE, "width": FINER * SIDE}
    processor.image_processor.size = processor.image_processor.crop_size = size
    processor.image_processor.resample = 0
    return processor


def fine_places(cells: Tensor) -> Tensor:
    """The tokens that cover some cells: cell numbers `[..., n]` to token numbers `[..., n, 4]`."""
    corner = (cells // GRID * _FINE_GRID + cells % GRID) * FINER
    steps = torch.arange(FINER, device=cells.device)
    return corner[..., None] + (steps[:, None] * _FINE_GRID + steps).flatten()


def coarse_places(tokens: Tensor) -> Tensor:
    """The cells of some tokens, by number."""
    return tokens // _FINE_GRID // FINER * GRID + tokens % _FINE_GRID // FINER


def start_tower(source: Any, tower: Any) -> None:
    """Give a tower the weights that it starts from: a first layer that gathers quarters, and the source's layers."""
    with torch.no_grad():
        for old, new in zip(source.encoder.layers, tower.encoder.layers[1:], strict=True):
            new.load_state_dict(old.state_dict())
        tower.post_layernorm.load_state_dict(source.post_layernorm.state_dict())
        _start_embeddings(tower.embeddings)
        _start_gathering(source, tower.encoder.layers[0])


def _start_embeddings(embeddings: Any) -> None:
    """Dimensions of the embedding: the pixels of a quarter, then codes of the cell's row and column and the quarter."""
    patch, place = embeddings.patch_embedding.weight.zero_(), embeddings.position_embedding.weight.zero_()
    embeddings.class_embedding.zero_()
    averages = patch[:_PIXELS].view(3, _QUARTER, _QUARTER, 3, CELL, CELL)
    for channel in range(3):
        for y in range(_QUARTER):
            for x in range(_QUARTER):
                pixel = slice(FINER * y, FINER * (y + 1)), slice(FINER * x, FINER * (x + 1))
                averages[channel, y, x, channel][pixel] = 1 / QUARTERS
    token = torch.arange(_FINE_GRID**2)
    for begin, value in zip(_CODES, _place(token), strict=True):
        place[1 + token, begin + value] = _CODE


def _place(token: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row and column of a token's cell, and of the token among the cell's quarters."""
    row, column = token // _FINE_GRID, token % _FINE_GRID
    return row // FINER, column // FINER, row % FINER, column % FINER


_CODE_LENGTHS = (GRID, GRID, FINER, FINER)
_CODES = tuple(_PIXELS + sum(_CODE_LENGTHS[:i]) for i in range(len(_CODE_LENGTHS)))
"""The first dimension of each code of `_place`."""
_UNUSED = _PIXELS + sum(_CODE_LENGTHS)  # the first dimension that begins as 0


def _start_gathering(source: Any, layer: Any) -> None:
    attention = layer.self_attn
    for module in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj, layer.mlp.fc2):
        module.weight.zero_()
        module.bias.zero_()
    width = attention.q_proj.weight.shape[0]
    nn.init.normal_(layer.mlp.fc1.weight, std=width**-0.5)
    # Without its mean over dimensions, as the normalization that follows takes it away.
    patch = source.embeddings.patch_embedding.weight
    patch = (patch - patch.mean(dim=0)) * source.pre_layrnorm.weight[:, None, None, None]
    for head, (keys, queries, values, outputs, target) in enumerate(
        zip(
            attention.k_proj.weight.chunk(QUARTERS),
            attention.q_proj.weight.chunk(QUARTERS),
            attention.v_proj.weight.chunk(QUARTERS),
            attention.out_proj.weight.chunk(QUARTERS, dim=1),
            attention.q_proj.bias.chunk(QUARTERS),
            strict=True,
        )
    ):
        y, x = divmod(head, FINER)
        for i, (length, begin) in enumerate(zip(_CODE_LENGTHS, _CODES, strict=True)):
            own = slice(begin - _PIXELS, begin - _PIXELS + length)
            # Codes less their mean, which normalization changes.
            centred = torch.eye(length) - 1 / length
            keys[own, begin : begin + length] = centred
            if i < 2:  # the same cell, whichever quarter the token is
                queries[own, begin : begin + length] = _SHARPNESS * centred
            else:
                target[own] = 2 * _SHARPNESS * _CODE * (torch.arange(length) == (y, x)[i - 2]).float()
                target[own] -= target[own].mean()
        quarter = patch[:, :, y * _QUARTER : (y + 1) * _QUARTER, x * _QUARTER : (x + 1) * _QUARTER]
        left, sizes, right = torch.linalg.svd(quarter.reshape(width, _PIXELS), full_matrices=False)
        rank = len(values)
        values[:, :_PIXELS] = right[:rank]
        # The unused dimensions hold the mean that normalization took away from the pixels.
        values[:, _UNUSED:] = -right[:rank].sum(dim=1, keepdim=True) / (width - _UNUSED)
        outputs[:] = left[:, :rank] * sizes[:rank] * _output_scale(width)


def _output_scale(width: int) -> float:
    """What normalization divides codes and pixels by, about: four codes and mid-grey pixels, and the source's half."""
    return 2 * (len(_CODES) * _CODE**2 / width) ** 0.5
