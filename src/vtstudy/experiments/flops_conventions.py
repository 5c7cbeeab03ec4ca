"""Which way to count FLOPs gives the reductions in the captions (81 % for LLaVA-1.5, 87 %, 88 %).

The paper prints the reductions, but not how it counted. Common counts differ in four ways, the attributes of
`Convention`. FastV's formula (arXiv 2403.06764, section 4) for `n` tokens of width `d` and an MLP of width `m` is
`4nd^2 + 2n^2d + 2ndm` for a layer, in multiply-adds: two MLP matrices, no grouped queries, full attention.

Results for 90 % pruning and the prompts of `paper_models.SIZES`:

- **One convention gives all five reductions**: FLOPs proportional to the tokens, only in the layers after the pruning
  (K=0, no attention, the whole prompt): 81.1, 81.1, 86.6, 88.3, 88.3 %. This is the share of the prompt's tokens that
  is dropped. It is not a saving of the model.
- The decoder really saves 76.4, 77.3, 82.4, 82.7, 83.9 % over the prompt with K=2. With tower and projector the model
  saves 72.9, 75.4, 78.7, 47.0, 71.1 %.
- With pruning before layer 2 (as published) or 3, no convention gives more than 86 % for LLaVA-NeXT or InternVL2,
  whatever the length of the text. FastV's formula with K=2 gives 81 % for LLaVA-1.5-7B if 27 tokens are never dropped;
  the prompt has 35 tokens before the image alone. K=3 over the image tokens alone gives 81.9 %.
- K=1 gives 81, 81 and 87 % with 48, 51 and 50 such tokens, but 88 % for InternVL2 only with 5 and 14.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

import numpy as np

from vtprune.cost.flops import Workload
from vtprune.cost.model_shapes import Shape

PRINTED = {  # AdaptPrune, captions of Tables 1 and 2: "reduced by around", at 90 % pruning
    "LLaVA-1.5-7B": 0.81,
    "LLaVA-1.5-13B": 0.81,
    "LLaVA-NeXT-7B": 0.87,
    "InternVL2-2B": 0.88,
    "InternVL2-8B": 0.88,
}
AROUND = 0.005  # half of the last printed digit

Mlp = Literal["plain", "actual"]
Attention = Literal["whole", "causal", "none"]
Scope = Literal["image", "prompt", "model"]


@dataclass(frozen=True)
class Convention:
    """A way to count FLOPs.

    Attributes:
        layer: how many layers see all tokens: 2 in the published code, 3 if "layer 3" is a count. 0 counts only the
            layers after the pruning.
        mlp: `plain` counts two MLP matrices and as many key heads as query heads, like FastV's formula. `actual`
            counts what the model has.
        attention: `whole` counts both products of the attention, `causal` half of them, `none` leaves them out, so
            that a layer's FLOPs are proportional to its tokens.
        scope: the decoder's layers over the `image` tokens alone or over the whole `prompt`, or the whole `model` up to
            the first answer token, with tower and projector.
    """

    layer: int
    mlp: Mlp
    attention: Attention
    scope: Scope

    @property
    def name(self) -> str:
        return f"K={self.layer}, MLP {self.mlp}, attention {self.attention}, {self.scope}"


def conventions() -> list[Convention]:
    """All combinations of the attributes."""
    grid = product((0, 1, 2, 3), get_args(Mlp), get_args(Attention), get_args(Scope))
    return [Convention(*choice) for choice in grid]


def reduction(convention: Convention, shape: Shape, workload: Workload, keep: float) -> float:
    """The fraction of the FLOPs that pruning to `int(keep * image tokens)` saves under a convention."""
    return float(_reductions(convention, shape, workload, keep, np.array([workload.text_tokens]))[0])


def fitting_text(convention: Convention, shape: Shape, workload: Workload, keep: float, printed: float) -> int | None:
    """The number of text tokens for which the convention gives the printed reduction; None if no number below 500 does.

    Text tokens are all tokens that are never dropped, including LLaVA-NeXT's newlines. If several numbers fit, the one
    with the smallest error is returned.
    """
    if convention.scope == "image":
        return None
    texts = np.arange(1, 500)
    errors = np.abs(_reductions(convention, shape, workload, keep, texts) - printed)
    nearest = int(errors.argmin())
    return int(texts[nearest]) if errors[nearest] <= AROUND else None


def _reductions(convention: Convention, shape: Shape, workload: Workload, keep: float, texts: np.ndarray) -> np.ndarray:
    """The fractions for several numbers of text tokens."""
    pruned = int(workload.image_tokens * keep)
    unpruned = _flops(convention, shape, workload, workload.image_tokens, texts)
    return 1 - _flops(convention, shape, workload, pruned, texts) / unpruned


def _flops(convention: Convention, shape: Shape, workload: Workload, kept: int, texts: np.ndarray) -> np.ndarray:
    decoder = shape.decoder
    if convention.mlp == "plain":
        decoder = replace(decoder, mlp_matrices=2, kv_heads=decoder.heads)
    share = {"whole": 1.0, "causal": 0.5, "none": 0.0}[convention.attention]
    text = np.zeros_like(texts) if convention.scope == "image" else texts

    def layer(image: int) -> Any:
        tokens: Any = text + image  # the formulas hold for arrays, too
        return decoder.linear(tokens) + share * decoder.attention(tokens, tokens)

    layers = convention.layer * layer(workload.image_tokens) + (decoder.layers - convention.layer) * layer(kept)
    if convention.scope != "model":
        return layers
    vision = shape.tower_flops(workload.tiles) + shape.projector_flops(workload.tiles)
    return layers + vision + 2 * decoder.width * shape.vocabulary
