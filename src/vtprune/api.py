"""What ``from vtprune import ...`` gives: every method and what goes with it, and ``load``."""

from importlib.metadata import version

from vtprune import pruning
from vtprune.models import load
from vtprune.pruning import *  # noqa: F403

__version__ = version("vtprune")
__all__ = ["load", *pruning.__all__]
