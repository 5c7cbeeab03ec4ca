"""What ``from vtprune import ...`` gives: every method and what goes with it, and ``load``."""

from importlib.metadata import version

from vtprune import pruning
from vtprune.models import load
from vtprune.pruning import *

__version__ = version("vtprune")
__all__ = pruning.__all__ + ["load"]
