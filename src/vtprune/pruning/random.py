import hashlib
from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.pruning.base import Method, register
from vtprune.pruning.budget import Budget
from vtprune.pruning.features import Features


@register
@dataclass(frozen=True)
class RandomPruning(Method):
    """Keep tokens at random, the same ones for the same prompt and image.

    The choice is drawn from ``seed`` and a hash of the row's prompt ids and pixels, neither of
    which depends on the other rows of a batch, on the device or on rounding. Fewer tokens are
    always a subset of more.

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped.
        seed: another seed, another selection.
    """

    name: ClassVar[str] = "random"

    keep: float | int | Budget
    layer: int = 2
    seed: int = 0

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        chosen = torch.full((len(counts), int(counts.max())), -1, dtype=torch.long)
        valid = features.valid.cpu()
        for row, (count, fingerprint) in enumerate(zip(counts.tolist(), features.fingerprint(), strict=True)):
            digest = hashlib.blake2b(fingerprint, digest_size=8, salt=b"vtprune", key=str(self.seed).encode())
            generator = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)
            candidates = valid[row].nonzero().flatten()
            order = torch.randperm(len(candidates), generator=generator)
            chosen[row, :count] = candidates[order[:count]]
        return chosen.to(counts.device)
