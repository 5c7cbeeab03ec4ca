from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from vtprune.errors import UserError
from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.methods.budget import as_budget
from vtprune.ops.ranking import highest, ranks
from vtprune.stages import Budget, Stage


@register
@dataclass(frozen=True)
class VisionZip(Method):
    """Keep what the vision tower itself looks at, and merge the rest into a few tokens (VisionZip, arXiv 2412.04467).

    Before the language model: dominant tokens are those to which the tower's class token pays most
    attention (without a class token: those that receive most). Of the rest, evenly spaced ones are
    targets; every other goes to the target whose keys are most similar (cosine, of keys averaged over
    heads), and each target with what has come to it becomes their mean, a contextual token. As in the
    authors' code, targets stand every (rest // contextual) tokens from the first on.

    What is read otherwise than in that code:

    - Merged are the projected embeddings, as they enter the language model, not the tower's outputs
      before the projector. That is not linear, so the two differ; so methods need nothing but hooks
      on the decoder, and it is the same for every family.
    - Kept tokens keep their order and positions, as with every method here, and a contextual token
      those of its target. The authors feed a shorter sequence, the contextual tokens last, with
      consecutive positions.
    - A contextual token is the mean of all its tokens. Their code adds the mean of those that come to
      a target to the target, which about doubles it.
    - The class token counts as a dominant token there and goes to the language model; in transformers'
      checkpoints it never does (or, where it does, no method may drop it).
    - Images of a prompt, and the parts of an image, share one budget and are merged together: scores
      are softmaxes over one tile each. LLaVA-NeXT's newline tokens come of no patch: they are the
      last to be kept, and where they are not, they are gone.

    Attributes:
        keep: fraction in (0, 1], count, or budget: dominant and contextual tokens together.
        contextual: share of the budget for contextual tokens, in [0, 1), rounded down: 10 of 64, 20 of
            128 and 30 of 192 as in the paper. Where that makes none, nothing is merged.
    """

    name: ClassVar[str] = "visionzip"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    keep: float | int | Budget
    contextual: float = 10 / 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.contextual < 1:
            raise UserError(f"contextual must be a share of the budget in [0, 1), not {self.contextual}")

    def stages(self) -> list[Stage]:
        return [Stage(0, self, as_budget(self.keep))]

    def contextual_of(self, count: int) -> int:
        """How many of so many tokens are contextual."""
        return int(count * self.contextual)

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        parts = self._parts(features, counts)
        n = features.valid.shape[1]
        first = torch.where(parts.dominant, -parts.place, -n - parts.order)
        return highest(first, counts, parts.dominant | parts.target)

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        parts = self._parts(features, kept.sum(dim=1))
        targets = highest(-parts.order, parts.target.sum(dim=1), parts.target)
        if not targets.shape[1]:
            return None
        keys = torch.nn.functional.normalize(features.tower().keys.float(), dim=-1)
        index = targets.clamp(min=0)
        similarity = keys @ keys.gather(1, index[..., None].expand(-1, -1, keys.shape[-1])).mT
        nearest = similarity.masked_fill((targets < 0)[:, None], float("-inf")).argmax(dim=2)
        merged = (parts.patches | parts.target) & parts.target.any(dim=1, keepdim=True)
        own = torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
        return torch.where(parts.target, own, index.gather(1, nearest)).masked_fill(~merged, -1)

    def _parts(self, features: Features, counts: torch.Tensor) -> "_Parts":
        tower, valid = features.tower(), features.valid
        contextual = counts.new_tensor([self.contextual_of(count) for count in counts.tolist()])
        place = ranks(tower.attention.masked_fill(~tower.present, -1.0), valid)
        dominant = valid & (place < (counts - contextual)[:, None])
        rest = valid & ~dominant
        # What has no patch comes last, so that it is a target only where the patches do not suffice.
        patches = rest & tower.present
        among = patches.sum(dim=1)
        order = torch.where(patches, patches.cumsum(dim=1), among[:, None] + (rest & ~patches).cumsum(dim=1)) - 1
        step = (among // contextual.clamp(min=1)).clamp(min=1)[:, None]
        target = rest & (order % step == 0) & (order // step < contextual[:, None])
        return _Parts(dominant, place, patches, order, target)


class _Parts(NamedTuple):
    """``[b, n]`` each: what is dominant, and by score the how-manieth; of the rest what has patches, its
    place, and what is a target."""

    dominant: torch.Tensor
    place: torch.Tensor
    patches: torch.Tensor
    order: torch.Tensor
    target: torch.Tensor
