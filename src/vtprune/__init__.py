"""Visual token pruning for vision-language models.

``from vtprune import AdaptPrune`` loads torch only when a method is asked for, so that
stages which need no pruning (rendering, reporting) neither import nor depend on it.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "AdaptPrune": "vtprune.pruning",
    "FastV": "vtprune.pruning",
    "RandomPruning": "vtprune.pruning",
    "adaptive_nms": "vtprune.pruning",
    "get_method": "vtprune.pruning",
    "load": "vtprune.models",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'vtprune' has no attribute {name!r}")
