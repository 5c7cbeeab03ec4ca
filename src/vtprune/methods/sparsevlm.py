"""SparseVLM: tokens that the relevant words attend to, and means of some of the others."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import BudgetedMethod, register
from vtprune.methods.budget import Keep
from vtprune.ops.clustering import density_peaks
from vtprune.ops.cosine import rounded
from vtprune.ops.indexing import mask_from_indices, take
from vtprune.ops.precision import precise_type
from vtprune.ops.ranking import highest, ranks
from vtprune.stages import Stage, as_layer
from vtprune.validation import convert, finite, shorten


@register
@dataclass(frozen=True)
class SparseVLM(BudgetedMethod):
    """Keep the tokens that the relevant words attend to, at several layers (SparseVLM v1, arXiv 2410.04417).

    Words are the text tokens after the image. For each image token, a softmax of its products with the embeddings of
    all words says how relevant each word is. The words whose mean over the image tokens is above the average are
    raters. The score of an image token is the attention that raters pay to it in the layer before, mean over heads and
    raters.

    Some dropped tokens are recycled: the 30 % (and one) of the highest scores are clustered by density peaks, about ten
    to a cluster, and each cluster becomes its mean (see `vtprune.ops.clustering.density_peaks`).

    The differences from paper and code:

    - The paper adapts the number of tokens in each layer to the rank of an attention matrix. The authors' code has
      fixed lists in its place: 300, 200 and 110 tokens for "192", 303, 110 and 36 for "128", 66, 30 and 17 for "64"
      (means over the layers). Here the budget says how many tokens, recycled ones included, remain after the last
      stage, and every stage keeps the same ratio (see `vtprune.stages.Stage`). At most half of the tokens that stay are
      means.
    - A mean takes the place and the position of its cluster's centre. There, means follow the other image tokens, and
      positions are consecutive.
    - Equal densities are told apart by the tokens' order, there by random noise.
    - The words before the first image rate nothing, as there; every row of a batch is rated by its own words.

    Attributes:
        keep: the image tokens that remain after the last stage: a fraction in (0, 1], a count, or a budget.
        layers: the 0-based decoder layers before which tokens are dropped, or fractions of the decoder's depth: by
            default 3, 7 and 16 of 32. In a shallow decoder, a stage moves to the next free layer.
        recycled: share of the dropped tokens from which means are made, in [0, 1]; 0.3 in the authors' code. 0 makes
            none.
    """

    name: ClassVar[str] = "sparsevlm"
    needs: ClassVar[frozenset[Need]] = frozenset({"paid_by_text"})

    keep: Keep
    layers: tuple[int | float, ...] = (3 / 32, 7 / 32, 16 / 32)
    recycled: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "recycled", finite)
        if not 0 <= self.recycled <= 1:
            raise UserError(f"recycled must be a share of the dropped tokens in [0, 1], not {self.recycled}")
        if not isinstance(self.layers, (tuple, list)) or not self.layers:
            raise UserError(
                f"layers must be a tuple of the layers before which tokens are dropped, not {shorten(self.layers)}"
            )
        object.__setattr__(self, "layers", tuple(as_layer(layer) for layer in self.layers))

    def stages(self) -> list[Stage]:
        steps = len(self.layers)
        return [
            Stage(layer, self, self.budget, step, steps, shifts=isinstance(layer, float))
            for step, layer in enumerate(self.layers, start=1)
        ]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        roles = self._roles(features, counts)
        last = roles.rank.shape[1]
        return highest(torch.where(roles.best, -roles.rank, -last - roles.rank), counts, roles.best | roles.centre)

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        if not self.recycled:
            return None
        into = self._roles(features, kept.sum(dim=1)).into
        return None if bool((into < 0).all()) else into

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the products of all image tokens with all text tokens (twice if there are means), and the means."""
        clusters = self.clusters(widths.entering, kept)
        products = widths.text * (2 if self._pool(widths.entering, kept) else 1)
        return 2 * tokens * (products + clusters) * widths.hidden

    def clusters(self, tokens: int, kept: int) -> int:
        """Return how many of the `kept` ones of `tokens` tokens are means."""
        pool = self._pool(tokens, kept)
        return min(pool // 10 + 1, kept // 2) if pool else 0

    def _pool(self, tokens: int, kept: int) -> int:
        """How many of the dropped tokens are clustered."""
        return int((tokens - kept) * self.recycled) + 1 if self.recycled and kept < tokens else 0

    def _scores(self, features: Features) -> torch.Tensor:
        """`[b, n]` the mean attention of the raters."""
        text, image = features.text(), features.at_first()
        words = text.after_image
        if not words.any(dim=1).all():
            row = int((~words.any(dim=1)).nonzero()[0])
            raise UserError(
                f"{self.name} rates image tokens by the text after the image, and prompt {row} of the batch has none"
            )
        precise = precise_type(image.device)
        with torch.autocast(image.device.type, enabled=False):
            products = features.embeddings().to(precise) @ text.embeddings.to(precise).mT
        shares = products.masked_fill(~words[:, None], float("-inf")).softmax(dim=2).masked_fill(~image[..., None], 0.0)
        relevance = rounded(shares.sum(dim=1) / image.sum(dim=1, keepdim=True))
        raters = words & (relevance > 1 / words.sum(dim=1, keepdim=True))
        raters = torch.where(raters.any(dim=1, keepdim=True), raters, words)  # all words are equally relevant
        paid = features.paid_by_text().masked_fill(~raters[..., None], 0.0)
        return paid.sum(dim=1) / raters.sum(dim=1, keepdim=True)

    def _roles(self, features: Features, counts: torch.Tensor) -> "_Roles":
        valid = features.valid
        pairs = list(zip(valid.sum(dim=1).tolist(), counts.tolist(), strict=True))
        clusters = counts.new_tensor([self.clusters(*pair) for pair in pairs])
        sizes = counts.new_tensor([self._pool(*pair) if self.clusters(*pair) else 0 for pair in pairs])
        rank = ranks(self._scores(features), valid)
        best = valid & (rank < (counts - clusters)[:, None])
        pool = highest(-rank, sizes, valid & ~best)
        place = pool.clamp(min=0)
        centre = density_peaks(take(features.hidden(), place), clusters, pool >= 0)
        into = valid.new_full((len(valid), valid.shape[1] + 1), -1, dtype=torch.long)  # one more column for -1
        into = into.scatter(1, pool % into.shape[1], place.gather(1, centre.clamp(min=0)))[:, :-1]
        return _Roles(best, rank, mask_from_indices(into, valid.shape[1]), into)


class _Roles(NamedTuple):
    """What becomes of the image tokens, `[b, n]` each.

    Attributes:
        best: tokens that stay unchanged.
        rank: place by the score, 0 for the highest.
        centre: tokens that become a mean.
        into: for each token, the token whose mean it joins; -1 for none.
    """

    best: torch.Tensor
    rank: torch.Tensor
    centre: torch.Tensor
    into: torch.Tensor
