"""VisionZip: tokens that the vision tower attends to, and means of the others."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import BudgetedMethod, register
from vtprune.ops.ranking import highest, ranks
from vtprune.stages import Stage
from vtprune.validation import convert, finite


@register
@dataclass(frozen=True)
class VisionZip(BudgetedMethod):
    """Keep the tokens the vision tower attends to, and merge the rest into a few (VisionZip, arXiv 2412.04467).

    Tokens are dropped before the language model. Dominant tokens are those to which the tower's class token
    pays most attention (in a tower without a class token: those that receive most). Of the other tokens, evenly
    spaced ones are targets. Every remaining token joins the target whose keys are most similar (cosine, of keys
    averaged over heads). Each target becomes the mean of itself and of the tokens that joined it: a contextual
    token. As in the authors' code, every (rest // contextual)-th token is a target, from the first on.

    The differences from that code:

    - The projected embeddings are merged, as they enter the language model, not the tower's outputs
      before the projector. The projector is not linear, so the two differ. This way methods need hooks on the
      decoder alone, and the method is the same for every family.
    - Kept tokens keep their order and positions, as with every method here, and a contextual token has
      those of its target. The authors feed a shorter sequence with consecutive positions, the contextual tokens
      last.
    - A contextual token is the mean of all its tokens. The authors' code adds the mean of the joining tokens
      to the target, which about doubles it.
    - There, the class token counts as a dominant token and goes to the language model. In transformers'
      checkpoints it never does (or, where it does, no method may drop it).
    - Images of a prompt, and the parts of an image, share one budget and are merged together; scores
      are softmaxes over one tile each. LLaVA-NeXT's newline tokens come from no patch: they are the
      last to be kept, and where they are not kept they are discarded.

    Attributes:
        keep: a fraction in (0, 1], a count, or a budget, for dominant and contextual tokens together.
        contextual: share of the budget for contextual tokens, in [0, 1), rounded down: 10 of 64, 20 of
            128 and 30 of 192 as in the paper. Where that gives none, nothing is merged.
    """

    name: ClassVar[str] = "visionzip"
    needs: ClassVar[frozenset[Need]] = frozenset({"tower"})

    contextual: float = 10 / 64

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "contextual", finite)
        if not 0 <= self.contextual < 1:
            raise UserError(f"contextual must be a share of the budget in [0, 1), not {self.contextual}")

    def stages(self) -> list[Stage]:
        return [Stage(0, self, self.budget)]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        roles = self._roles(features, counts)
        tokens = features.valid.shape[1]
        scores = torch.where(roles.dominant, -roles.rank, -tokens - roles.order)
        return highest(scores, counts, roles.dominant | roles.target)

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        roles = self._roles(features, kept.sum(dim=1))
        targets = highest(-roles.order, roles.target.sum(dim=1), roles.target)
        if not targets.shape[1]:
            return None
        keys = torch.nn.functional.normalize(features.tower().keys.float(), dim=-1)
        index = targets.clamp(min=0)
        similarity = keys @ keys.gather(1, index[..., None].expand(-1, -1, keys.shape[-1])).mT
        nearest = similarity.masked_fill((targets < 0)[:, None], float("-inf")).argmax(dim=2)
        merged = (roles.patches | roles.target) & roles.target.any(dim=1, keepdim=True)
        itself = torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
        return torch.where(roles.target, itself, index.gather(1, nearest)).masked_fill(~merged, -1)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the similarities of all tokens' keys with the targets', and the means of embeddings."""
        return 2 * self.contextual_count(kept) * tokens * (widths.tower_key + widths.hidden)

    def contextual_count(self, kept: int) -> int:
        """Return how many of the kept tokens are contextual."""
        return int(kept * self.contextual)

    def _roles(self, features: Features, counts: torch.Tensor) -> "_Roles":
        tower, valid = features.tower(), features.valid
        contextual = counts.new_tensor([self.contextual_count(count) for count in counts.tolist()])
        rank = ranks(tower.attention.masked_fill(~tower.present, -1.0), valid)
        dominant = valid & (rank < (counts - contextual)[:, None])
        rest = valid & ~dominant
        # Tokens without a patch come last, so that one is a target only where there are too few patches.
        patches = rest & tower.present
        patch_count = patches.sum(dim=1)
        order = torch.where(patches, patches.cumsum(dim=1), patch_count[:, None] + (rest & ~patches).cumsum(dim=1)) - 1
        step = (patch_count // contextual.clamp(min=1)).clamp(min=1)[:, None]
        target = rest & (order % step == 0) & (order // step < contextual[:, None])
        return _Roles(dominant, rank, patches, order, target)


class _Roles(NamedTuple):
    """Masks and ranks over the image tokens, `[b, n]` each.

    Attributes:
        dominant: tokens that are kept unchanged.
        rank: place by the tower's attention, 0 for the highest.
        patches: the other tokens that come from a patch.
        order: the index of these other tokens among themselves; those without a patch come last.
        target: tokens that become a mean.
    """

    dominant: torch.Tensor
    rank: torch.Tensor
    patches: torch.Tensor
    order: torch.Tensor
    target: torch.Tensor
