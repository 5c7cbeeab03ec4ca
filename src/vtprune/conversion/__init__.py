"""Converting checkpoints that their authors publish in a format of their own. No code of a checkpoint is run."""

from vtprune.conversion.internvl2 import convert_internvl2

__all__ = ["convert_internvl2"]
