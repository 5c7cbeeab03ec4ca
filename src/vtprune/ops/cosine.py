"""Cosines of all pairs of tokens, the same for equal tokens wherever they stand."""

import torch

from vtprune.ops.precision import precise_type

_ROUNDING = 2.0**20


@torch.no_grad()
def cosines(vectors: torch.Tensor) -> torch.Tensor:
    """Return the cosine of each pair of tokens of a row: `[b, n, n]` float32.

    The result is rounded to multiples of 2^-20. So equal tokens have the same cosines, and 1 with each other, whatever
    the order in which a matrix product adds. Neither the size of the vectors (up to the ends of bfloat16's range) nor
    autocast changes the result. A zero vector has the cosine 0 with every vector.

    Args:
        vectors: `[b, n, d]`, finite, of any floating type.
    """
    precise = precise_type(vectors.device)
    with torch.autocast(vectors.device.type, enabled=False):
        scaled = vectors.to(precise)
        scaled = scaled / scaled.abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(precise).tiny)
        unit = torch.nn.functional.normalize(scaled, dim=-1)
        return (unit @ unit.mT).mul_(_ROUNDING).round_().div_(_ROUNDING).float()
