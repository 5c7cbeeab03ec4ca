"""Pruning transformers models: attaching, token layouts, loading."""

from vtprune.models.attach import Attachment, attach
from vtprune.models.families import FAMILIES
from vtprune.models.load import CheckpointError, load
from vtprune.models.prefix import Prefix
from vtprune.models.prompt import Kept

__all__ = ["FAMILIES", "Attachment", "CheckpointError", "Kept", "Prefix", "attach", "load"]
