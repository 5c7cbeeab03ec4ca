"""The cost of a prompt and its answer under a pruning method: exact FLOPs of all matrix products, and the cache."""

from dataclasses import dataclass
from typing import NoReturn

import torch
from transformers import AutoModelForImageTextToText, PretrainedConfig

from vtprune.cost.model_shapes import Shape, shape_of
from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths
from vtprune.methods.base import Method
from vtprune.stages import placed


@dataclass(frozen=True)
class Workload:
    """One prompt with its image, and the length of the answer.

    Attributes:
        image_tokens: the tokens that a method may drop.
        text_tokens: all other tokens: text, special tokens, LLaVA-NeXT's newlines.
        tiles: images that the vision tower sees for the prompt.
        new_tokens: tokens of the answer; the forward of the prompt gives the first.

    Raises:
        UserError: if a number is below 1.
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
    """FLOPs by part (a multiply-add counts as two), and bytes of the key-value cache after the answer.

    Attributes:
        tower, projector: of the image, before it enters the decoder.
        prefill: the decoder's layers over the prompt.
        head: the output matrix, once for the prompt.
        scoring: the attention that rankings need: one row, one row of the tower (VisionZip), or all rows (FitPrune).
        selection: the other matrix products of rankings: keys, similarities, means.
        decode: layers and output matrix for all answer tokens after the first.
        cache_bytes: keys and values of all layers.
        image_tokens: the number of image tokens that each decoder layer sees.
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
        """Everything after the projector, including the cost of pruning itself."""
        return self.prefill + self.head + self.scoring + self.selection + self.decode


def layer_tokens(method: Method, layers: int, image_tokens: int) -> tuple[int, ...]:
    """Return how many image tokens each decoder layer sees under the stages of a method.

    Raises:
        UserError: if a stage names a layer that the decoder lacks, or its budget depends on the image.
    """
    seen, remaining, goal = [image_tokens] * layers, image_tokens, None
    for layer, stage in placed(method, layers).items():
        counts, goal = stage.counts(_features_of_count(remaining), goal)
        remaining = min(remaining, int(counts[0]))
        seen[layer:] = [remaining] * (layers - layer)
    return tuple(seen)


def cost(
    config: PretrainedConfig | Shape, method: Method, workload: Workload, *, cache_bytes_per_value: int = 2
) -> Cost:
    """Compute the cost of one prompt and its answer. A batch of n equal prompts costs n times as much.

    All matrix products and the patch convolution count, as in `torch.utils.flop_counter`. Norms,
    activations, softmax and the like count neither there nor here. The products for the rotary embedding's angles
    (positions times frequencies, below 1e-6 of a real model) count there, but not here.

    Args:
        config: of a supported transformers model (see `vtprune.cost.model_shapes.shape_of`), or its shape.
        method: the pruning method.
        workload: the prompt and the length of the answer.
        cache_bytes_per_value: 2 for bfloat16 and float16.

    Raises:
        UserError: see `vtprune.cost.model_shapes.shape_of` and `layer_tokens`.
    """
    shape = config if isinstance(config, Shape) else shape_of(config)
    decoder, text, image = shape.decoder, workload.text_tokens, workload.image_tokens
    seen = layer_tokens(method, decoder.layers, image)
    prefill = sum(decoder.layer(text + tokens, text + tokens) for tokens in seen)
    head = 2 * decoder.width * shape.vocabulary

    scoring = selection = 0
    for layer, stage in placed(method, decoder.layers).items():
        before = seen[layer - 1] if layer else image
        if seen[layer] == before:
            continue  # no token is dropped, so the ranking is not called
        row = 2 * decoder.heads * decoder.head_dim * (text + before)
        if "attention" in stage.ranking.needs:
            scoring += row
        if "received" in stage.ranking.needs:  # all rows, then their sums over text and over image tokens
            scoring += (row + 4 * (text + before)) * (text + before)
        if "paid_by_text" in stage.ranking.needs:
            scoring += row * text
        if "tower" in stage.ranking.needs:  # the attention of each tile's class token
            scoring += workload.tiles * 2 * shape.tower.width * (shape.patches + 1)
        widths = FeatureWidths(decoder.width, decoder.key_width, shape.tower.head_dim, text, before)
        selection += stage.ranking.selection_flops(image, seen[layer], widths)

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


def parameters(config: PretrainedConfig) -> int:
    """Count the parameters of the model with that configuration, tied ones once. Nothing is allocated."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)  # type: ignore[no-untyped-call]
    return sum(parameter.numel() for parameter in model.parameters())


def _features_of_count(tokens: int) -> Features:
    """Return features of which only the number of tokens is known, for budgets that depend on nothing else."""

    def unknown(*_: object) -> NoReturn:
        raise UserError("this method's budget depends on the image, so its cost cannot be computed in advance")

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
