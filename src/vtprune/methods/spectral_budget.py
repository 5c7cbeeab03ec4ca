"""A budget per image from the spectrum of its features (E-AdaPrune, arXiv 2603.05950)."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch

from vtprune.errors import UserError
from vtprune.features import Features
from vtprune.ops.spectrum import Route, check_energy, check_route, energy_rank
from vtprune.validation import boolean, convert, integer, one_of, optional_integer

Source = Literal["vision", "projected", "hidden"]
SOURCES: tuple[Source, ...] = ("vision", "projected", "hidden")


@dataclass(frozen=True)
class SpectralBudget:
    """Keep as many tokens as it takes singular values to hold a share of the spectral energy.

    With the singular values s_1 >= s_2 >= ... of an image's feature matrix X (tokens x width), the
    budget is the smallest k with (s_1^2 + ... + s_k^2) / |X|_F^2 >= `energy` - 1e-5, clamped to
    [`k_min`, `k_max`] and to the number of tokens. Any ranking then chooses which k tokens stay. Only
    summaries of the paper were available: choices that they leave open are marked "our assumption".

    The 1e-5 (`vtprune.ops.spectrum.ROUNDING`) is the share of the energy that float32 may lose. It is
    subtracted from every `energy`, whatever the route and power: 0.9 asks for 0.89999, and
    1.0 for all that float32 can tell from 0. For an `energy` up to 1e-5, one singular value is enough.

    All image tokens of a prompt have one budget together: an image's tiles, or its two sequences,
    are one matrix (our assumption). Several images in a prompt share a budget, as with every other budget.

    Neither the order of the tokens nor a rotation of the feature space changes singular values, so
    neither changes the budget. Duplicating every token doubles X^T X, and with it each energy and
    their total; the mean stays. So the shares and the budget stay too, except for rounding at a
    tie. A constant image has one singular value: a budget of 1, or, centred, of `k_min`.

    Attributes:
        energy: tau, the share to hold, in (0, 1]; met within 1e-5, see above.
        k_min: the fewest tokens, at least 1 (our assumption: 1).
        k_max: the most tokens; None for all (our assumption).
        features: the matrix X (our assumption: `projected`). `vision`: the vision tower's
            output, as the projector gets it. `projected`: the image tokens as they enter the
            language model. `hidden`: their hidden states before the pruned layer.
        centre: subtract the mean token first (our assumption: no, because the total is the norm of X).
        power: of the singular values. 2 is the paper's energy; another power needs the route `svd`.
        route: `randomised` as in the paper, `gram` or `svd`. All give the same budget, and which
            is fastest depends on the matrix (benchmarks/spectra.py). Float32 products of the features
            have an error of about 2e-7 of the energy. So for an image whose sum comes that close to the
            threshold, one route may give one token more than another. That matters where one direction
            holds nearly all energy, as in `hidden`: there one more singular value, at a quarter of the
            tokens, holds 1e-5. (If the totals and eigenvalues were float32 too, 3 in 100 of such images
            would differ.)
        rank: the target rank t from which the randomised route starts (our assumption). It is doubled
            until the budget is certain, see `vtprune.ops.spectrum.energy_rank`.
        oversampling, iterations: columns beyond t, and power iterations (our assumption).
        seed: of the random projection.

    Raises:
        UserError: on creation, for a parameter that is out of range; when counting, for features
            that hold NaN or infinity, or that were not recorded (`vision` of images that were
            encoded before the `with` block).
    """

    energy: float
    k_min: int = 1
    k_max: int | None = None
    features: Source = "projected"
    centre: bool = False
    power: float = 2.0
    route: Route = "randomised"
    rank: int = 32
    oversampling: int = 8
    iterations: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "energy", check_energy(self.energy))
        checked = check_route(self.route, self.rank, self.oversampling, self.iterations, self.power)
        for name, value in zip(("rank", "oversampling", "iterations", "power"), checked, strict=True):
            object.__setattr__(self, name, value)
        convert(self, "k_min", integer)
        convert(self, "k_max", optional_integer)
        convert(self, "centre", boolean)
        convert(self, "seed", integer)
        one_of(SOURCES, "features", self.features)
        if self.k_min < 1:
            raise UserError(f"k_min must be at least 1, not {self.k_min}")
        if self.k_max is not None and self.k_max < self.k_min:
            raise UserError(f"k_max must be at least k_min, which is {self.k_min}, not {self.k_max}")

    def __str__(self) -> str:
        return f"{self.energy:g} of the spectral energy"

    def count(self, features: Features) -> torch.Tensor:
        return self.count_with_rank(features)[0]

    def count_with_rank(self, features: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `[b]` the budgets, and `[b]` the target rank at which each was certain."""
        x, valid = image_features(features, self.features)
        ranks, used = energy_rank(
            x,
            self.energy,
            valid.to(x.device),
            least=self.k_min,
            most=self.k_max,
            route=self.route,
            rank=self.rank,
            oversampling=self.oversampling,
            iterations=self.iterations,
            seed=self.seed,
            centre=self.centre,
            power=self.power,
        )
        return torch.minimum(ranks.to(features.valid.device), features.valid.sum(dim=1)), used

    def signature(self) -> dict[str, Any]:
        return {"budget": "spectral"} | {field.name: getattr(self, field.name) for field in fields(self)}


def image_features(features: Features, source: Source) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the matrices `[b, m, d]` from which a spectrum is computed, and `[b, m]` which of their rows exist."""
    if source == "vision":
        return features.vision()
    return (features.embeddings() if source == "projected" else features.hidden()), features.valid
