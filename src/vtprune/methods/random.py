import hashlib
from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features
from vtprune.methods.base import Method, register
from vtprune.ops.ranking import highest
from vtprune.stages import Budget


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
    layer: int | float = 2
    seed: int = 0

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(draw(features, self.seed), counts, features.valid)


def draw(features: Features, seed: int) -> torch.Tensor:
    """A score for each token that puts every row's tokens into a random order: ``[b, n]``.

    The order is drawn from ``seed`` and the row's fingerprint alone, on the CPU.
    """
    valid = features.valid.cpu()
    scores = torch.zeros(valid.shape, dtype=torch.long)
    for row, fingerprint in enumerate(features.fingerprint()):
        digest = hashlib.blake2b(fingerprint, digest_size=8, salt=b"vtprune", key=str(seed).encode())
        generator = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)
        candidates = valid[row].nonzero().flatten()
        order = torch.randperm(len(candidates), generator=generator)
        scores[row, candidates[order]] = -torch.arange(len(candidates))
    return scores.to(features.valid.device)
