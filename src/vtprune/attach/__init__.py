"""Pruning transformers models: attaching, token layouts, loading."""

from vtprune.attach.attachment import Attachment, attach
from vtprune.attach.families import FAMILIES
from vtprune.attach.loading import load
from vtprune.attach.prefix import Prefix
from vtprune.attach.prompt import Kept

__all__ = ["FAMILIES", "Attachment", "Kept", "Prefix", "attach", "load"]
