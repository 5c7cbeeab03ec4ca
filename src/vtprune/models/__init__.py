"""Pruning transformers models: attaching, token layouts, loading."""

from vtprune.models.attach import Attachment, attach
from vtprune.models.families import FAMILIES
from vtprune.models.load import CheckpointError, load
from vtprune.models.prompt import Kept

__all__ = ["FAMILIES", "Attachment", "CheckpointError", "Kept", "attach", "load"]
