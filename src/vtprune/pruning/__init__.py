"""Pruning methods: which image tokens of a prompt stay. Needs torch alone."""

from vtprune.pruning.adaptprune import AdaptPrune
from vtprune.pruning.base import Method, Ranking, Stage, get_method, methods, register
from vtprune.pruning.budget import Budget, Count, Fraction, as_budget
from vtprune.pruning.fastv import FastV
from vtprune.pruning.features import Features
from vtprune.pruning.geometry import centre_prior, grid_positions, paper_positions
from vtprune.pruning.nms import adaptive_nms, adaptive_nms_reference
from vtprune.pruning.none import NoPruning
from vtprune.pruning.random import RandomPruning
from vtprune.pruning.spectra import Spectrum, energy_rank, spectrum
from vtprune.pruning.spectral import SpectralBudget

__all__ = [
    "AdaptPrune",
    "Budget",
    "Count",
    "FastV",
    "Features",
    "Fraction",
    "Method",
    "NoPruning",
    "RandomPruning",
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
    "methods",
    "paper_positions",
    "register",
    "spectrum",
]
