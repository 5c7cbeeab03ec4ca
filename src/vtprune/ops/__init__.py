"""Pure functions on tensors, from which methods are built."""

from vtprune.ops.geometry import centre_prior, grid_positions, paper_positions
from vtprune.ops.nms import adaptive_nms, adaptive_nms_reference
from vtprune.ops.ranking import highest, ranks
from vtprune.ops.spectrum import Spectrum, energy_rank, spectrum

__all__ = [
    "Spectrum",
    "adaptive_nms",
    "adaptive_nms_reference",
    "centre_prior",
    "energy_rank",
    "grid_positions",
    "highest",
    "paper_positions",
    "ranks",
    "spectrum",
]
