"""DART: tokens that resemble a few pivot tokens least."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.cosine import cosines
from vtprune.ops.indexing import mask_from_indices, pack_left, take
from vtprune.ops.ranking import highest
from vtprune.validation import convert, integer


@register
@dataclass(frozen=True)
class DART(SingleStageMethod):
    """Choose a few pivots, and the tokens that duplicate them least (DART, arXiv 2502.11494).

    Pivots are the 4 image tokens and the 4 text tokens after the image whose keys in the layer before have the largest
    L1 norm (all heads, rotated). The image pivots stay. Then each pivot in turn adds the image tokens, among those not
    yet chosen, whose cosine with it is lowest. Cosines are those of the hidden states that enter the layer, after the
    norm that follows the decoder's last layer. No attention weight is needed, and the question counts only through the
    text pivots.

    The differences from the authors' code:

    - The budget is exact. There, 8 pivots add (budget // 8) tokens each, and the image pivots come on top: 4 + 8 * 8
      for 64. Here all pivots share what the image pivots leave of the budget; the first ones add one token more where
      it cannot be divided. A budget below 5 keeps image pivots alone.
    - The pivots come in a fixed order: image before text, the largest norm first. There, they are a Python set.
    - Kept tokens keep their positions, as there.

    The L1 norm of a rotated key depends on its position, also on where its prompt begins. So a padded row has the
    pivots of the same prompt alone only if the model gets the row's own `position_ids`, as `generate` gives it.

    Attributes:
        keep: see `SingleStageMethod`.
        layer: see `SingleStageMethod`; 2 in the authors' instructions.
        image_pivots: number of image tokens that are pivots, at least 1.
        text_pivots: number of text tokens that are pivots.
    """

    name: ClassVar[str] = "dart"
    needs: ClassVar[frozenset[Need]] = frozenset({"last_keys"})

    image_pivots: int = 4
    text_pivots: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("image_pivots", 1), ("text_pivots", 0)):
            convert(self, name, integer)
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}")

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        valid, after_image = features.valid, features.text().after_image
        by_image, by_text = (keys.float().abs().sum(dim=-1) for keys in features.last_keys())
        image_pivots = highest(by_image, counts.clamp(max=self.image_pivots), valid)
        text_pivots = highest(by_text, after_image.sum(dim=1).clamp(max=self.text_pivots), after_image)
        missing = self.text_pivots - text_pivots.shape[1]
        text_pivots = torch.nn.functional.pad(text_pivots, (0, missing), value=-1)
        image, text = features.final()
        pivots = torch.cat((take(image, image_pivots.clamp(min=0)), take(text, text_pivots.clamp(min=0))), dim=1)
        similarity = cosines(image.masked_fill(~valid[..., None], 0.0), pivots)

        present = torch.cat((image_pivots, text_pivots), dim=1) >= 0
        number, pivot_count = present.cumsum(dim=1) - 1, present.sum(dim=1, keepdim=True).clamp(min=1)
        left = (counts - (image_pivots >= 0).sum(dim=1))[:, None]
        shares = (left // pivot_count + (number < left % pivot_count)).masked_fill(~present, 0)
        chosen = [image_pivots]
        free = valid & ~mask_from_indices(image_pivots, valid.shape[1])
        for pivot in range(present.shape[1]):
            chosen.append(highest(-similarity[..., pivot], shares[:, pivot], free))
            free = free & ~mask_from_indices(chosen[-1], valid.shape[1])
        return pack_left(torch.cat(chosen, dim=1))

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all tokens with the pivots."""
        return 2 * tokens * (min(kept, self.image_pivots) + self.text_pivots) * widths.hidden
