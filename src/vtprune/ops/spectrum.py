"""Spectral energies of feature matrices, and the smallest rank that holds a share of them.

Three routes lead to the same numbers: the singular values (`svd`), the eigenvalues of the smaller Gram
matrix (`gram`), and a randomised range finder (`randomised`; Halko, Martinsson and Tropp, SIAM
Review 53, 2011, algorithm 4.4), which E-AdaPrune proposes for its cost of O(n d t + t^2 d).

Matrices of the features' size are computed in float32, also under autocast. The smaller results are
float64: the total, the eigenvalues of the small matrices, and running sums. In float32 each of these
would have an error of up to 2e-6 of the energy, and one more singular value may hold as little: 1e-5 in hidden
states with one dominant direction, at a quarter of the tokens. On GPUs, keep PyTorch's default that
float32 products are not reduced to TF32: the bounds here assume float32's rounding. Devices without float64 leave
spectra to the CPU.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

from vtprune.errors import NotFiniteError, UserError
from vtprune.ops.decompositions import eigenvalues, eigenvectors, singular_values, with_float64
from vtprune.validation import integer, number, one_of

Route = Literal["svd", "gram", "randomised"]
ROUTES: tuple[Route, ...] = ("svd", "gram", "randomised")
ROUNDING = 1e-5
"""The share of the energy that float32 may lose. It is subtracted from every target."""
_MARGIN = 1e-6  # randomised sums must miss or meet a target by more than this, their rounding
_PROBES, _STEPS = 10, 4  # of the estimate of the energy outside the computed range
_LEAST_CHI = 0.3  # chi-squared with 10 degrees of freedom falls below it with a chance of 6e-7


@dataclass(frozen=True)
class Spectrum:
    """Leading energies of `b` matrices, largest first.

    Attributes:
        shares: `[b, t]` float64, on the CPU if the device has none: each energy divided by the total (0 where that is
            0).
        slack: `[b, t]` float64, a bound on how much the running sum of `shares` is too low. It is
            0 for the exact routes and possibly infinite for the randomised one. The sum is never too high.
        total: `[b]` float32, the sum of all energies: for power 2 the squared Frobenius norm,
            which is exact whatever the route.
    """

    shares: torch.Tensor
    slack: torch.Tensor
    total: torch.Tensor


@contextmanager
def _in_float32(x: torch.Tensor, valid: torch.Tensor | None) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Compute without gradients, without autocast to a smaller type, and where float64 exists."""
    x, valid = with_float64(x, valid)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        yield x, valid


def spectrum(
    x: torch.Tensor,
    valid: torch.Tensor | None = None,
    *,
    route: Route = "gram",
    rank: int = 32,
    oversampling: int = 8,
    iterations: int = 2,
    seed: int = 0,
    centre: bool = False,
    power: float = 2.0,
) -> Spectrum:
    """Compute the leading energies `s_i ** power` from each matrix's singular values.

    `svd` and `gram` give all `min(n, d)` energies, `randomised` the first `rank`. Rows
    (tokens) that are not valid count as absent. The same `seed` gives the same result for a matrix, whatever
    other matrices are in the batch.

    Args:
        x: `[b, n, d]` of any floating type, on any device.
        valid: `[b, n]` bool; None for all.
        route: one of `ROUTES`.
        rank: the randomised route's target rank t.
        oversampling: columns that it computes beyond t.
        iterations: power iterations; each multiplies by `x` and its transpose once more.
        seed: of its random projections.
        centre: subtract the mean token first.
        power: 2 for energies. Others need the route `svd` (the Gram matrix squares the small
            singular values, so that they are lost in rounding; for the randomised route the total would be
            unknown).

    Raises:
        UserError: for a parameter that is out of range, or features that are empty or hold NaN or infinity.
    """
    rank, oversampling, iterations, power = check_route(route, rank, oversampling, iterations, power)
    with _in_float32(x, valid) as (x, valid):
        x, size = _normalised(x, valid, centre)
        if route == "randomised":
            columns = min(rank + oversampling, *x.shape[1:])
            shares, slack = _randomised(x, columns, iterations, seed)
            return Spectrum(shares[:, :rank], slack[:, :rank], size.square())
        if route == "gram":
            shares = _gram(x)
            return Spectrum(shares, torch.zeros_like(shares), size.square())
        energies = singular_values(x).double().pow(power) * (size > 0)[:, None]
        total = energies.sum(dim=1)
        shares = energies / total.clamp(min=1e-30)[:, None]
        return Spectrum(shares, torch.zeros_like(shares), total.float() * size.pow(power))


def energy_rank(
    x: torch.Tensor,
    energy: float,
    valid: torch.Tensor | None = None,
    *,
    least: int = 0,
    most: int | None = None,
    route: Route = "randomised",
    rank: int = 32,
    oversampling: int = 8,
    iterations: int = 2,
    seed: int = 0,
    centre: bool = False,
    power: float = 2.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the smallest k of each matrix whose first k energies make up the share `energy` of all.

    All routes give the same k. The randomised route knows the total exactly, so it stops at the first
    `rank` for which its bounds leave a single k (within `least` and `most`). Until then it
    doubles `rank` for the matrices in doubt, and it takes the Gram matrix once the projection would
    be half as wide as they are. It is wrong only if its estimate of the energy outside the projection is, with a
    chance below one in a million.

    Every target is met within `ROUNDING`, which is subtracted from it: the sum has to reach
    `energy` - 1e-5, so 1.0 asks for all that float32 can tell from 0. A matrix without any
    energy (a constant image, centred) has k = 0.

    Args:
        x, valid, route, rank, oversampling, iterations, seed, centre, power: see `spectrum`.
        energy: in (0, 1].
        least, most: the result is clamped to them. `most` wins over `least`, and the number of
            valid tokens over both.

    Returns:
        `[b]` the ranks, and `[b]` the target rank at which each was certain (`min(n, d)` where
        all energies were computed).

    Raises:
        UserError: as `spectrum`, and for an `energy` out of range.
    """
    energy = check_energy(energy)
    rank, oversampling, iterations, power = check_route(route, rank, oversampling, iterations, power)
    device = x.device
    _check_shape(x, valid)
    with _in_float32(x, valid) as (x, valid):
        rows, tokens, width = x.shape
        available = x.new_full((rows,), tokens, dtype=torch.long) if valid is None else valid.sum(dim=1)
        upper = available if most is None else available.clamp(max=most)
        full = min(tokens, width)
        if route != "randomised":
            shares = spectrum(x, valid, route=route, centre=centre, power=power).shares
            ranks = torch.minimum(ranks_at(shares, energy).clamp(min=least), upper)
            return ranks.to(device), torch.full_like(ranks, full, device=device)

        x, _ = _normalised(x, valid, centre)
        ranks, used = torch.zeros_like(available), torch.zeros_like(available)
        pending = torch.arange(rows, device=x.device)
        while len(pending):
            columns = rank + oversampling
            exact = 2 * columns > full
            if exact:
                low = high = ranks_at(_gram(x[pending]), energy)
            else:
                shares, slack = _randomised(x[pending], columns, iterations, seed)
                high = _reached(shares, energy - ROUNDING + _MARGIN, full)
                short = shares.cumsum(dim=1) + slack < energy - ROUNDING - _MARGIN
                # The last k that is proved to fall short proves it for all before it.
                low = (short * torch.arange(1, columns + 1, device=x.device)).amax(dim=1) + 1
                low = torch.minimum(low, high)
            low, high = (torch.minimum(k.clamp(min=least), upper[pending]) for k in (low, high))
            settled = low == high
            ranks[pending[settled]] = high[settled]
            used[pending[settled]] = full if exact else rank
            pending = pending[~settled]
            rank *= 2
        return ranks.to(device), used.to(device)


def ranks_at(shares: torch.Tensor, energy: float) -> torch.Tensor:
    """Find the smallest k whose first k shares sum to `energy`, as `energy_rank` does from a matrix.

    Args:
        shares: `[b, t]`, all shares of each matrix.
        energy: in (0, 1].

    Returns:
        `[b]` integers.
    """
    return _reached(shares, check_energy(energy) - ROUNDING, shares.shape[1])


def check_energy(energy: object) -> float:
    """Return `energy` as a Python float. Raise `UserError` unless it lies in (0, 1]."""
    checked = float(number("energy", energy))
    if not 0 < checked <= 1:
        raise UserError(f"energy must lie in (0, 1], not be {checked!r}")
    return checked


def check_route(
    route: Route, rank: object, oversampling: object, iterations: object, power: object
) -> tuple[int, int, int, float]:
    """Return the options of a route, all but its name, as Python numbers.

    Raises:
        UserError: if there is no such route, or it does not accept an option.
    """
    one_of(ROUTES, "route", route)
    checked = (integer("rank", rank), integer("oversampling", oversampling), integer("iterations", iterations))
    for name, value, least in zip(("rank", "oversampling", "iterations"), checked, (1, 0, 0), strict=True):
        if value < least:
            raise UserError(f"{name} must be at least {least}, not {value}")
    exponent = float(number("power", power))
    if not (exponent > 0 and math.isfinite(exponent)):
        raise UserError(f"power must be positive, not {exponent}")
    if exponent != 2 and route != "svd":
        raise UserError(f"a power of {exponent:g} needs the route 'svd': '{route}' computes squares only")
    return (*checked, exponent)


def _check_shape(x: torch.Tensor, valid: torch.Tensor | None) -> None:
    if x.ndim != 3 or (valid is not None and valid.shape != x.shape[:2]):
        mask = "" if valid is None else f" with valid of shape {list(valid.shape)}"
        raise UserError(f"features must be of shape [b, n, d], not {list(x.shape)}{mask}")
    if not (x.shape[1] and x.shape[2]):
        raise UserError(f"features must have at least one token and one dimension, not be of shape {list(x.shape)}")


def _normalised(x: torch.Tensor, valid: torch.Tensor | None, centre: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `x` in float32 with Frobenius norm 1 (0 if it has no energy), and `[b]` its norm before."""
    _check_shape(x, valid)
    x = x.float()
    if valid is not None:
        x = x.masked_fill(~valid[..., None], 0.0)
    largest = x.abs().amax(dim=(1, 2))  # also keeps the squares in float32's range
    if not torch.isfinite(largest).all():
        row = int((~torch.isfinite(largest)).nonzero()[0])
        raise NotFiniteError(f"the features of row {row} of the batch hold NaN or infinity, so they have no spectrum")
    x = x / largest.clamp(min=1e-30)[:, None, None]
    norm = _norm(x).float()
    if centre:
        present = x.new_ones(x.shape[:2]) if valid is None else valid.to(x.dtype)
        mean = x.sum(dim=1, keepdim=True) / present.sum(dim=1).clamp(min=1)[:, None, None]
        x = (x - mean) * present[..., None]
        centred_norm = _norm(x).float()
        # Of equal tokens, the rounding of the mean is all that remains: that is no energy.
        norm = torch.where(centred_norm > 1e-6 * norm, centred_norm, 0.0)
    x = torch.where((norm > 0)[:, None, None], x / norm.clamp(min=1e-30)[:, None, None], 0.0)
    return x, norm * largest


def _gram(x: torch.Tensor) -> torch.Tensor:
    """Return `[b, min(n, d)]` float64 squared singular values over their sum, largest first."""
    gram = x @ x.mT if x.shape[1] <= x.shape[2] else x.mT @ x
    energies = eigenvalues(gram.double()).flip(-1).clamp(min=0)
    return energies / _norm(x).square().clamp(min=1e-30)[:, None]


def _norm(x: torch.Tensor) -> torch.Tensor:
    """Return `[b]` float64 Frobenius norms."""
    norm: torch.Tensor = torch.linalg.vector_norm(x, dim=(1, 2), dtype=torch.float64)
    return norm


def _randomised(x: torch.Tensor, columns: int, iterations: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[b, columns]` float64 leading energies of `x` over the sum of all, and the slack of their sums.

    With `A = x x^T` and an orthonormal `Q` of its approximate range, the energies are the
    eigenvalues `theta` of `H = Q^T A Q`, which are never too high. The slack bounds the sum of
    A's first j eigenvalues: in a basis whose first part are H's eigenvectors, A has the blocks
    `[[theta, E^T], [E, G]]`, and for any positive diagonal D it is at most (in the Loewner order)
    `[[theta + D, 0], [0, G + E D^-1 E^T]]`. With `d_i = theta_j - theta_i` beyond j, and up to j
    proportional to the residuals `e_i` (E's column norms), those blocks' first j eigenvalues lie
    in the first block as long as `room` is positive, and D adds `(e_1 + ... + e_j)^2 / room`.
    """
    q = torch.linalg.qr(x @ _gaussian(x.shape[2], columns, seed, x.device)).Q
    for _ in range(iterations):
        q = torch.linalg.qr(x @ (x.mT @ q)).Q
    image = x @ (x.mT @ q)
    small = q.mT @ image
    energies, vectors = eigenvectors((small + small.mT).double() / 2)
    total = _norm(x).square()[:, None]
    energies, vectors = energies.flip(-1).clamp(min=0) / total.clamp(min=1e-30), vectors.flip(-1)
    residuals = torch.linalg.vector_norm((image - q @ small) @ vectors.float(), dim=1).double()

    # Neither x's energy outside Q's range nor its largest eigenvalue (of G) exceeds the remaining energy.
    remaining = ((total > 0).double() - energies.sum(dim=1, keepdim=True)).clamp(min=0)
    outside = torch.minimum(remaining, energy_outside(x, q, seed)[:, None])
    gaps = (energies[:, :, None] - energies[:, None, :]).clamp(min=_MARGIN / 10)
    beyond = (residuals.square()[:, None, :] / gaps).triu(diagonal=1).sum(dim=2)
    room = energies - outside - beyond
    slack = residuals.cumsum(dim=1).square() / room.clamp(min=1e-30)
    return energies, torch.where(room > 0, torch.minimum(slack, remaining), remaining)


def energy_outside(x: torch.Tensor, q: torch.Tensor, seed: int) -> torch.Tensor:
    """Return `[b]` a bound on the largest energy of R, the part of `x` outside `q`, from powers of random probes.

    For M = R^T R with the largest eigenvalue m, `|M^s Z|^2` is at least `m^(2s)` times a
    chi-squared number: the probes' components along the eigenvector.
    """
    z = _gaussian(x.shape[2], _PROBES, seed + 1, x.device).expand(len(x), -1, -1)
    logarithm = x.new_zeros(len(x))
    for _ in range(_STEPS):
        y = x @ z
        z = x.mT @ (y - q @ (q.mT @ y))
        size = torch.linalg.vector_norm(z, dim=(1, 2)).clamp(min=1e-30)
        logarithm = logarithm + size.log()
        z = z / size[:, None, None]
    return ((logarithm - math.log(_LEAST_CHI) / 2) / _STEPS).exp()


@lru_cache(maxsize=16)
def _gaussian(rows: int, columns: int, seed: int, device: torch.device) -> torch.Tensor:
    """Draw `[rows, columns]` on the CPU, so that every device gets the same. Cached, because drawing is slow."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).to(device)


def _reached(shares: torch.Tensor, target: float, never: int) -> torch.Tensor:
    """Return `[b]` the first k whose shares sum to `target`; 0 without energy, `never` if no k reaches it."""
    short = (shares.double().cumsum(dim=1) < target).sum(dim=1)
    ranks = torch.where(short < shares.shape[1], short + 1, never)
    return torch.where(shares[:, 0] > 0, ranks, 0)
