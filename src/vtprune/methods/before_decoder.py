"""The base of methods that choose image tokens before the first decoder layer."""

from dataclasses import dataclass

import torch

from vtprune.features import Features, Patches, check_finite
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
            NotFiniteError: if those of a valid token are not finite.
        """
        embeddings = check_finite(f"{self.name} cannot choose: embeddings", features.embeddings(), features.valid)
        return embeddings.masked_fill(~features.valid[..., None], 0.0)

    def _patches(self, features: Features) -> Patches:
        """`features.tower()`, of which only valid tokens are present; attention and keys of all others are 0.

        Raises:
            NotFiniteError: if the attention or the keys of a token that is present are not finite.
        """
        attention, keys, present = features.tower()
        present = present & features.valid
        check_finite(f"{self.name} cannot choose: attention weights in the vision tower", attention, present)
        check_finite(f"{self.name} cannot choose: keys in the vision tower", keys, present)
        return Patches(attention.masked_fill(~present, 0.0), keys.masked_fill(~present[..., None], 0.0), present)
