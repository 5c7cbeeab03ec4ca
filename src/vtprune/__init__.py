"""Visual token pruning for vision-language models.

    from vtprune import AdaptPrune, load

    model, processor = load("llava-hf/llava-1.5-7b-hf")
    with AdaptPrune(keep=0.1).attach(model) as pruned:
        model.generate(**inputs)

`attach` and `methods` are packages of the library, so the functions of these names stand there:
`vtprune.attach.attach`, and `vtprune.methods.methods`, which is `all_methods` here.
"""

from importlib.metadata import version

from vtprune.attach import FAMILIES, Attachment, Kept, Prefix, attach_all, load
from vtprune.errors import CheckpointError, UserError
from vtprune.features import Features, Patches
from vtprune.methods import (
    DART,
    VTW,
    AdaptPrune,
    AvgPool3x3,
    BeforeDecoder,
    BudgetedMethod,
    CDPruner,
    Count,
    DivPrune,
    FasterVLM,
    FastV,
    FitPrune,
    Fraction,
    HoloV,
    LastTokens,
    MaxPool3x3,
    Method,
    NoPruning,
    Pooled,
    PruMergePlus,
    PyramidDrop,
    Random3x3,
    RandomPruning,
    Scope,
    SingleStageMethod,
    SkipPruning,
    SparseVLM,
    SpectralBudget,
    VisionZip,
    VisPruner,
    as_budget,
    get_method,
    parse_method,
    register,
)
from vtprune.methods import methods as all_methods
from vtprune.ops import (
    Spectrum,
    adaptive_nms,
    adaptive_nms_reference,
    centre_prior,
    energy_rank,
    grid_positions,
    paper_positions,
    spectrum,
)
from vtprune.stages import Budget, Ranking, Stage, layer_at

__version__ = version("vtprune")

__all__ = [
    "DART",
    "FAMILIES",
    "VTW",
    "AdaptPrune",
    "Attachment",
    "AvgPool3x3",
    "BeforeDecoder",
    "Budget",
    "BudgetedMethod",
    "CDPruner",
    "CheckpointError",
    "Count",
    "DivPrune",
    "FastV",
    "FasterVLM",
    "Features",
    "FitPrune",
    "Fraction",
    "HoloV",
    "Kept",
    "LastTokens",
    "MaxPool3x3",
    "Method",
    "NoPruning",
    "Patches",
    "Pooled",
    "Prefix",
    "PruMergePlus",
    "PyramidDrop",
    "Random3x3",
    "RandomPruning",
    "Ranking",
    "Scope",
    "SingleStageMethod",
    "SkipPruning",
    "SparseVLM",
    "SpectralBudget",
    "Spectrum",
    "Stage",
    "UserError",
    "VisPruner",
    "VisionZip",
    "__version__",
    "adaptive_nms",
    "adaptive_nms_reference",
    "all_methods",
    "as_budget",
    "attach_all",
    "centre_prior",
    "energy_rank",
    "get_method",
    "grid_positions",
    "layer_at",
    "load",
    "paper_positions",
    "parse_method",
    "register",
    "spectrum",
]
