"""What a prompt and its answer cost under a pruning method: exact FLOPs of all matrix products, and the cache."""

from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from vtprune.cost.model_shapes import Shape, shape_of
from vtprune.errors import UserError
from vtprune.features import Features
from vtprune.methods.adaptprune import AdaptPrune
from vtprune.methods.base import Method
from vtprune.methods.visionzip import VisionZip
from vtprune.stages import Ranking, Stage, layer_at


@dataclass(frozen=True)
class Workload:
    """One prompt with its image, and the answer's length.

    Attributes:
        image_tokens: those that a method may drop.
        text_tokens: all others: text, special tokens, LLaVA-NeXT's newlines.
        tiles: images that the vision tower sees for it.
        new_tokens: of the answer; the prompt's own forward gives the first.
    """

    image_tokens: int
    text_tokens: int
    tiles: int = 1
    new_tokens: int = 1

    def __post_init__(self) -> None:
        for name in ("image_tokens", "text_tokens", "tiles", "new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Cost:
    """FLOPs (a multiply-add is two) by part, and bytes of the key-value cache after the answer.

    Attributes:
        tower, projector: the image's way into the decoder.
        prefill: the decoder's layers over the prompt.
        head: the output matrix, once for the prompt.
        scoring: the attention that rankings ask for: one row, (VisionZip) one of the tower, or (FitPrune) all.
        selection: what rankings compute from them: keys, similarities, means.
        decode: layers and output matrix for all answer tokens after the first.
        cache_bytes: keys and values of all layers.
        image_tokens: by decoder layer, the image tokens that it sees.
    """

    tower: int
    projector: int
    prefill: int
    head: int
    scoring: int
    selection: int
    decode: int
    cache_bytes: int
    image_tokens: tuple[int, ...]

    @property
    def flops(self) -> int:
        """Everything from pixels to the answer's last token."""
        return self.tower + self.projector + self.language

    @property
    def language(self) -> int:
        """Everything after the projector, what pruning itself costs included."""
        return self.prefill + self.head + self.scoring + self.selection + self.decode


def layer_tokens(method: Method, layers: int, image_tokens: int) -> tuple[int, ...]:
    """How many image tokens each of the decoder's layers sees under a method's stages.

    Raises:
        ValueError: if a stage names a layer that is not there, or its budget depends on the image.
    """
    seen, left, goal = [image_tokens] * layers, image_tokens, None
    for layer, stage in _placed(method, layers):
        counts, goal = stage.counts(_counted(left), goal)
        left = min(left, int(counts[0]))
        seen[layer:] = [left] * (layers - layer)
    return tuple(seen)


def cost(config: Any, method: Method, workload: Workload, *, cache_bytes_per_value: int = 2) -> Cost:
    """The cost of one prompt and its answer; a batch of equal prompts costs so many times as much.

    Counted are the products of matrices and the patch convolution, as ``torch.utils.flop_counter``
    counts them. Left out, there and here, are norms, activations, softmax and the like; and, here
    alone, the rotary embedding's angles (positions times frequencies, below 1e-6 of a real model).

    Args:
        config: of a supported transformers model (:func:`vtprune.cost.model_shapes.shape_of`), or its Shape.
        cache_bytes_per_value: 2 for bfloat16 and float16.

    Raises:
        ValueError: see :func:`vtprune.cost.model_shapes.shape_of` and :func:`layer_tokens`.
    """
    shape = config if isinstance(config, Shape) else shape_of(config)
    decoder, text, image = shape.decoder, workload.text_tokens, workload.image_tokens
    seen = layer_tokens(method, decoder.layers, image)
    prefill = sum(decoder.layer(text + tokens, text + tokens) for tokens in seen)
    head = 2 * decoder.width * shape.vocabulary

    scoring = selection = 0
    for layer, stage in _placed(method, decoder.layers):
        before = seen[layer - 1] if layer else image
        if seen[layer] == before:
            continue  # nothing to drop: the ranking is not asked
        row = 2 * decoder.heads * decoder.head_dim * (text + before)
        if "attention" in stage.ranking.needs:
            scoring += row
        if "received" in stage.ranking.needs:  # all rows, then their sums over text and over image tokens
            scoring += (row + 4 * (text + before)) * (text + before)
        if "tower" in stage.ranking.needs:  # what each tile's class token pays
            scoring += workload.tiles * 2 * shape.tower.width * (shape.patches + 1)
        selection += _selection(stage.ranking, image, seen[layer], shape)

    decode = 0
    for added in range(1, workload.new_tokens):
        decode += head + sum(decoder.layer(1, text + tokens + added) for tokens in seen)
    cached = sum(text + tokens + workload.new_tokens - 1 for tokens in seen)
    return Cost(
        tower=shape.tower_flops(workload.tiles),
        projector=shape.projector_flops(workload.tiles),
        prefill=prefill,
        head=head,
        scoring=scoring,
        selection=selection,
        decode=decode,
        cache_bytes=2 * decoder.key_width * cached * cache_bytes_per_value,
        image_tokens=seen,
    )


def parameters(config: Any) -> int:
    """How many parameters the model of that configuration has, tied ones once; nothing is allocated."""
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _placed(method: Method, layers: int) -> list[tuple[int, Stage]]:
    """The stages with their layers in this decoder, by layer."""
    placed = sorted(((layer_at(stage.layer, layers), stage) for stage in method.stages()), key=lambda pair: pair[0])
    for layer, _ in placed:
        if not 0 <= layer < layers:
            raise UserError(f"{method.name} prunes before layer {layer}, but the model has {layers} layers")
    return placed


def _selection(ranking: Ranking, tokens: int, kept: int, shape: Shape) -> int:
    """FLOPs of a ranking's own matrix products: AdaptPrune's and VisionZip's alone have any.

    AdaptPrune's keys are projected anew from the layer's input, for all of the prompt's image tokens.
    VisionZip compares the tower's keys, averaged over heads, with its targets', and averages embeddings.
    """
    decoder = shape.decoder
    if isinstance(ranking, AdaptPrune) and ranking.similarity:
        return 2 * tokens * decoder.width * decoder.key_width + 2 * tokens * tokens * decoder.key_width
    if isinstance(ranking, VisionZip):
        return 2 * ranking.contextual_of(kept) * tokens * (shape.tower.head_dim + decoder.width)
    return 0


def _counted(tokens: int) -> Features:
    """Image tokens of which only the number is known: enough for a budget that depends on nothing else."""

    def unknown(*_: Any) -> NoReturn:
        raise UserError("this method's budget depends on the image, so its cost is not known beforehand")

    return Features(
        valid=torch.ones(1, tokens, dtype=torch.bool),
        positions=torch.zeros(1, tokens, 2, dtype=torch.long),
        grids=torch.ones(1, tokens, 2, dtype=torch.long),
        image=torch.zeros(1, tokens, dtype=torch.long),
        attention=unknown,
        received=unknown,
        keys=unknown,
        embeddings=unknown,
        fingerprint=unknown,
    )
