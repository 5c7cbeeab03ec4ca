"""What ``from vtprune import ...`` gives."""

from importlib.metadata import version

from vtprune.models import load
from vtprune.pruning import (
    AdaptPrune,
    FastV,
    NoPruning,
    RandomPruning,
    SpectralBudget,
    adaptive_nms,
    get_method,
    methods,
)

__version__ = version("vtprune")
__all__ = [
    "AdaptPrune",
    "FastV",
    "NoPruning",
    "RandomPruning",
    "SpectralBudget",
    "adaptive_nms",
    "get_method",
    "load",
    "methods",
]
