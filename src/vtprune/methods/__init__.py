"""The pruning methods: which image tokens of a prompt stay, and how many.

A method is in the registry once its module is imported, so each method has a line here.
"""

from vtprune.methods.adaptprune import AdaptPrune
from vtprune.methods.avgpool3x3 import AvgPool3x3
from vtprune.methods.base import BudgetedMethod, Method, SingleStageMethod, get_method, methods, parse_method, register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.methods.budget import Count, Fraction, as_budget
from vtprune.methods.cdpruner import CDPruner
from vtprune.methods.dart import DART
from vtprune.methods.divprune import DivPrune
from vtprune.methods.fastervlm import FasterVLM
from vtprune.methods.fastv import FastV
from vtprune.methods.fitprune import FitPrune
from vtprune.methods.holov import HoloV
from vtprune.methods.last import LastTokens
from vtprune.methods.maxpool3x3 import MaxPool3x3
from vtprune.methods.none import NoPruning
from vtprune.methods.pooled import Pooled
from vtprune.methods.prumergeplus import PruMergePlus
from vtprune.methods.pyramiddrop import PyramidDrop
from vtprune.methods.random import RandomPruning
from vtprune.methods.random3x3 import Random3x3
from vtprune.methods.scope import Scope
from vtprune.methods.skip import SkipPruning
from vtprune.methods.sparsevlm import SparseVLM
from vtprune.methods.spectral_budget import SpectralBudget
from vtprune.methods.visionzip import VisionZip
from vtprune.methods.vispruner import VisPruner
from vtprune.methods.vtw import VTW

__all__ = [
    "DART",
    "VTW",
    "AdaptPrune",
    "AvgPool3x3",
    "BeforeDecoder",
    "BudgetedMethod",
    "CDPruner",
    "Count",
    "DivPrune",
    "FastV",
    "FasterVLM",
    "FitPrune",
    "Fraction",
    "HoloV",
    "LastTokens",
    "MaxPool3x3",
    "Method",
    "NoPruning",
    "Pooled",
    "PruMergePlus",
    "PyramidDrop",
    "Random3x3",
    "RandomPruning",
    "Scope",
    "SingleStageMethod",
    "SkipPruning",
    "SparseVLM",
    "SpectralBudget",
    "VisPruner",
    "VisionZip",
    "as_budget",
    "get_method",
    "methods",
    "parse_method",
    "register",
]
