"""Pruning transformers models: attaching, token layouts, loading."""

from vtprune.attach.attachment import Attachment, attach, attach_all
from vtprune.attach.families import FAMILIES
from vtprune.attach.kept import Kept
from vtprune.attach.loading import load
from vtprune.attach.prefix import Prefix
from vtprune.attach.reindexing import Positions

__all__ = ["FAMILIES", "Attachment", "Kept", "Positions", "Prefix", "attach", "attach_all", "load"]
