"""Decompositions of small matrices that do not fail where a device's own routine does."""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import torch

_LOGGER = logging.getLogger(__name__)
Result = TypeVar("Result", bound=tuple[torch.Tensor, ...])


def eigenvalues(matrices: torch.Tensor) -> torch.Tensor:
    """Return the eigenvalues `[b, n]`, ascending, of symmetric matrices `[b, n, n]` without negative ones.

    The routines of CUDA may not converge for matrices of low rank. Then the singular values, which are the same
    numbers, are computed on the CPU, and a warning says so once.
    """

    def on_cpu() -> tuple[torch.Tensor]:
        return (torch.linalg.svdvals(matrices.cpu()).flip(-1).to(matrices.device),)

    values: torch.Tensor
    (values,) = _first_that_works("eigenvalues", lambda: (torch.linalg.eigvalsh(matrices),), on_cpu)
    return values


def eigenvectors(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `eigenvalues`, with the eigenvectors `[b, n, n]` in columns."""

    def on_cpu() -> tuple[torch.Tensor, torch.Tensor]:
        left, values, _ = torch.linalg.svd(matrices.cpu())
        return values.flip(-1).to(matrices.device), left.flip(-1).to(matrices.device)

    def here() -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = torch.linalg.eigh(matrices)
        return values, vectors

    return _first_that_works("eigenvectors", here, on_cpu)


def singular_values(matrices: torch.Tensor) -> torch.Tensor:
    """Return the singular values `[b, min(n, d)]`, descending, of matrices `[b, n, d]`, as `eigenvalues` does."""

    def on_cpu() -> tuple[torch.Tensor]:
        return (torch.linalg.svd(matrices.cpu(), full_matrices=False).S.to(matrices.device),)

    values: torch.Tensor
    (values,) = _first_that_works("singular values", lambda: (torch.linalg.svdvals(matrices),), on_cpu)
    return values


def with_float64(x: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return both on a device that has float64: the CPU where their own has none, which a warning says once."""
    if has_float64(x.device):
        return x, mask
    _warn_once(f"device {x.device} has no float64: spectra are computed on the CPU")
    return x.cpu(), None if mask is None else mask.cpu()


@lru_cache
def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64; Apple's, for example, does not."""
    try:
        torch.ones(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return False
    return True


def _first_that_works(what: str, here: Callable[[], Result], on_cpu: Callable[[], Result]) -> Result:
    """The first of two results that is finite and no error."""
    try:
        result = here()
        if all(bool(part.isfinite().all()) for part in result):
            return result
        reason = "the result is not finite"
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
    _warn_once(f"the device's routine for {what} failed ({reason}): they are computed on the CPU, by another one")
    return on_cpu()


@lru_cache
def _warn_once(message: str) -> None:
    _LOGGER.warning(message)
