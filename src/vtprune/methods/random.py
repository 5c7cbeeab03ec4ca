"""Random tokens, the baseline that every table holds."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.features import Features
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.ranking import highest
from vtprune.validation import convert, integer


@register
@dataclass(frozen=True)
class RandomPruning(SingleStageMethod):
    """Keep tokens at random, the same ones for the same prompt and image.

    The choice depends on `seed` and on a hash of the row's prompt ids and pixels. It does not depend on the
    other rows of a batch, on the device or on rounding. A smaller budget always keeps a subset of what a
    larger one keeps.

    Attributes:
        keep, layer: see `SingleStageMethod`.
        seed: another seed gives another selection.
    """

    name: ClassVar[str] = "random"

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        convert(self, "seed", integer)

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        return highest(random_scores(features.fingerprint(), features.valid, self.seed), counts, features.valid)


def random_scores(fingerprints: list[bytes], valid: torch.Tensor, seed: int) -> torch.Tensor:
    """Return `[b, n]` integer scores that put the valid tokens of each row into a random order.

    The order of a row depends on its fingerprint and on `seed` alone. It is drawn on the CPU, so that every
    device gets the same.
    """
    valid_on_cpu = valid.cpu()
    scores = torch.zeros(valid_on_cpu.shape, dtype=torch.long)
    for row, fingerprint in enumerate(fingerprints):
        digest = hashlib.blake2b(fingerprint, digest_size=8, salt=b"vtprune", key=str(seed).encode())
        generator = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)
        candidates = valid_on_cpu[row].nonzero().flatten()
        order = torch.randperm(len(candidates), generator=generator)
        scores[row, candidates[order]] = -torch.arange(len(candidates))
    return scores.to(valid.device)
