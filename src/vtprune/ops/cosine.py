"""Cosines of pairs of tokens, the same for equal tokens wherever they stand."""

import torch

from vtprune.ops.precision import precise_type

_ROUNDING = 2.0**20


@torch.no_grad()
def cosines(vectors: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
    """Return the cosine of each pair of tokens of a row: `[b, n, n]` float32; with `others`, `[b, n, m]`.

    The result is rounded to multiples of 2^-20. So equal tokens have the same cosines, and 1 with each other, whatever
    the order in which a matrix product adds. Neither the size of the vectors (up to the ends of bfloat16's range) nor
    autocast changes the result. A zero vector has the cosine 0 with every vector.

    Args:
        vectors: `[b, n, d]`, finite, of any floating type.
        others: `[b, m, d]`; by default the same vectors.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        unit = unit_vectors(vectors)
        return rounded(unit @ (unit if others is None else unit_vectors(others)).mT).float()


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Return `[..., d]` vectors of length 1 in the same directions, in the precise type; 0 stays 0."""
    precise = precise_type(vectors.device)
    scaled = vectors.to(precise)
    scaled = scaled / scaled.abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(precise).tiny)
    return torch.nn.functional.normalize(scaled, dim=-1)


def rounded(values: torch.Tensor) -> torch.Tensor:
    """Round to multiples of 2^-20, in place: the order in which products are added no longer shows."""
    return values.mul_(_ROUNDING).round_().div_(_ROUNDING)
