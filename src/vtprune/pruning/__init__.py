"""Pruning methods: which image tokens of a prompt stay. Needs torch alone."""

# The registry: a method is known once it is imported, so each has its line here (`as` marks it exported).
from vtprune.pruning.adaptprune import AdaptPrune as AdaptPrune
from vtprune.pruning.avgpool3x3 import AvgPool3x3 as AvgPool3x3
from vtprune.pruning.base import Method, Ranking, Stage, get_method, layer_at, methods, register
from vtprune.pruning.budget import Budget, Count, Fraction, as_budget
from vtprune.pruning.fastv import FastV as FastV
from vtprune.pruning.features import Features, Patches
from vtprune.pruning.fitprune import FitPrune as FitPrune
from vtprune.pruning.geometry import centre_prior, grid_positions, paper_positions
from vtprune.pruning.last import LastTokens as LastTokens
from vtprune.pruning.maxpool3x3 import MaxPool3x3 as MaxPool3x3
from vtprune.pruning.nms import adaptive_nms, adaptive_nms_reference
from vtprune.pruning.none import NoPruning as NoPruning
from vtprune.pruning.pyramiddrop import PyramidDrop as PyramidDrop
from vtprune.pruning.random import RandomPruning as RandomPruning
from vtprune.pruning.random3x3 import Random3x3 as Random3x3
from vtprune.pruning.skip import SkipPruning as SkipPruning
from vtprune.pruning.spectra import Spectrum, energy_rank, spectrum
from vtprune.pruning.spectral import SpectralBudget
from vtprune.pruning.visionzip import VisionZip as VisionZip
from vtprune.pruning.vtw import VTW as VTW

__all__ = [
    "Budget",
    "Count",
    "Features",
    "Fraction",
    "Method",
    "Patches",
    "Ranking",
    "SpectralBudget",
    "Spectrum",
    "Stage",
    "adaptive_nms",
    "adaptive_nms_reference",
    "as_budget",
    "centre_prior",
    "energy_rank",
    "get_method",
    "grid_positions",
    "layer_at",
    "methods",
    "paper_positions",
    "register",
    "spectrum",
]
__all__ += [method.__name__ for method in methods().values()]
