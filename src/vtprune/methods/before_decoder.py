"""The base of methods that choose image tokens before the first decoder layer."""

from dataclasses import dataclass

import torch

from vtprune.errors import UserError
from vtprune.features import Features, Patches
from vtprune.methods.base import BudgetedMethod
from vtprune.stages import Stage


@dataclass(frozen=True)
class BeforeDecoder(BudgetedMethod):
    """Base of methods that prune once, before the language model; they implement `select`.

    They rank by what the vision tower and the projector made. All but `CDPruner` never look at the question.

    Attributes:
        keep: a fraction in (0, 1], a count, or a budget. It is stored as a budget.
    """

    def stages(self) -> list[Stage]:
        return [Stage(0, self, self.budget)]

    def _embeddings(self, features: Features) -> torch.Tensor:
        """`features.embeddings()`, with 0 for tokens that are not valid.

        Raises:
            UserError: if those of a valid token are not finite.
        """
        embeddings = features.embeddings()
        self._check_finite("embeddings", embeddings, features.valid)
        return embeddings.masked_fill(~features.valid[..., None], 0.0)

    def _patches(self, features: Features) -> Patches:
        """`features.tower()`, of which only valid tokens are present; attention and keys of all others are 0.

        Raises:
            UserError: if the attention or the keys of a token that is present are not finite.
        """
        attention, keys, present = features.tower()
        present = present & features.valid
        self._check_finite("attention in the vision tower", attention[..., None], present)
        self._check_finite("keys in the vision tower", keys, present)
        return Patches(attention.masked_fill(~present, 0.0), keys.masked_fill(~present[..., None], 0.0), present)

    def _check_finite(self, what: str, values: torch.Tensor, valid: torch.Tensor) -> None:
        wrong = (valid & ~values.isfinite().all(dim=-1)).any(dim=1)
        if wrong.any():
            rows = wrong.nonzero().flatten().tolist()
            raise UserError(
                f"{self.name} cannot rank the image tokens of prompt {rows[0]} of the batch: their {what} must be "
                "finite numbers, but hold NaN or infinity"
            )
