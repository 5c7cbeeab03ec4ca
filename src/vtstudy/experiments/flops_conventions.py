"""Which way of counting FLOPs gives the captions' reductions (81 % for LLaVA-1.5, 87 %, 88 %).

The paper gives the figures, not how they were counted. The counts in use differ in four ways, each
an attribute of :class:`Convention`; FastV's formula (arXiv 2403.06764, section 4), for ``n`` tokens of
width ``d`` and an MLP of width ``m``, is ``4nd^2 + 2n^2d + 2ndm`` a layer: two MLP matrices, no grouped
queries, and attention in whole, in multiply-adds.

What comes out, for 90 % pruning and the prompts of :data:`vtprune.cost.SIZES`:

- **One way of counting gives all five figures**: FLOPs proportional to the tokens, in the layers
  behind the pruning alone (K=0, attention left out, whole prompt): 81.1, 81.1, 86.6, 88.3, 88.3 %.
  That is the share of the prompt's tokens that is dropped, not a saving of the model.
- What the decoder truly saves over the prompt with K=2 is 76.4, 77.3, 82.4, 82.7, 83.9 %; with tower
  and projector 72.9, 75.4, 78.7, 47.0, 71.1 %.
- With pruning before layer 2, as published, or 3, none comes above 86 % for LLaVA-NeXT or InternVL2,
  however short the text. 81 % for LLaVA-1.5-7B is FastV's formula with K=2 and 27 tokens that are
  never dropped, fewer than the 35 before the image; or nearly (81.9 %) K=3 over the image alone.
- K=1 gives 81, 81 and 87 % with 48, 51 and 50 such tokens, but 88 % for InternVL2 only with 5 and 14.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

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
    """A way to count.

    Attributes:
        layer: how many layers see all tokens: 2 as the published code has it, 3 with "layer 3" read as
            a count; 0 counts the layers behind the pruning alone.
        mlp: ``plain`` counts two MLP matrices and as many key as query heads, as FastV's formula
            does; ``actual`` what the model has.
        attention: the two products of the attention ``whole``, ``causal`` (half of them) or left out
            (``none``: then a layer's FLOPs are proportional to its tokens).
        scope: the decoder's layers over the ``image`` tokens alone, over the whole ``prompt``, or the
            whole ``model`` up to the first answer token, tower and projector included.
    """

    layer: int
    mlp: Mlp
    attention: Attention
    scope: Scope

    @property
    def name(self) -> str:
        return f"K={self.layer}, MLP {self.mlp}, attention {self.attention}, {self.scope}"


def conventions() -> list[Convention]:
    """All combinations."""
    grid = product((0, 1, 2, 3), get_args(Mlp), get_args(Attention), get_args(Scope))
    return [Convention(*choice) for choice in grid]


def reduction(convention: Convention, shape: Shape, workload: Workload, keep: float) -> float:
    """The fraction of the FLOPs that pruning to ``int(keep * image tokens)`` saves, under a convention."""
    pruned = int(workload.image_tokens * keep)
    whole = _flops(convention, shape, workload, workload.image_tokens)
    return 1 - _flops(convention, shape, workload, pruned) / whole


def fitting_text(convention: Convention, shape: Shape, workload: Workload, keep: float, printed: float) -> int | None:
    """How many text tokens make the convention give the printed figure; None if no number below 500 does.

    Meant are all tokens that are never dropped, LLaVA-NeXT's newlines among them. More of them mean a
    smaller reduction, so there is at most one stretch of such numbers; the nearest is taken.
    """
    if convention.scope == "image":
        return None
    fits = []
    for text in range(1, 500):
        error = abs(reduction(convention, shape, replace(workload, text_tokens=text), keep) - printed)
        if error <= AROUND:
            fits.append((error, text))
    return min(fits)[1] if fits else None


def _flops(convention: Convention, shape: Shape, workload: Workload, left: int) -> float:
    decoder = shape.decoder
    if convention.mlp == "plain":
        decoder = replace(decoder, mlp_matrices=2, kv_heads=decoder.heads)
    share = {"whole": 1.0, "causal": 0.5, "none": 0.0}[convention.attention]
    text = 0 if convention.scope == "image" else workload.text_tokens

    def layer(image: int) -> float:
        tokens = text + image
        return decoder.linear(tokens) + share * decoder.attention(tokens, tokens)

    layers = convention.layer * layer(workload.image_tokens) + (decoder.layers - convention.layer) * layer(left)
    if convention.scope != "model":
        return layers
    vision = shape.tower_flops(workload.tiles) + shape.projector_flops(workload.tiles)
    return layers + vision + 2 * decoder.width * shape.vocabulary
