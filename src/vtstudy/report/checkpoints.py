"""The papers' models, their checkpoints, and the checkpoints that were run in their places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

PAPER_CHECKPOINTS = {
    "LLaVA-1.5-7B": "llava-hf/llava-1.5-7b-hf",
    "LLaVA-1.5-13B": "llava-hf/llava-1.5-13b-hf",
    "LLaVA-NeXT-7B": "llava-hf/llava-v1.6-vicuna-7b-hf",
    "LLaVA-NeXT-8B": "llava-hf/llama3-llava-next-8b-hf",
    "InternVL2-2B": "OpenGVLab/InternVL2-2B",
    "InternVL2-8B": "OpenGVLab/InternVL2-8B",
}
"""The papers' models, and their checkpoints on the Hub. params.yaml says which checkpoint is run for each."""
_MINIATURE = "miniature"
"""Begins the name of every model that this repository trains."""


@dataclass(frozen=True)
class RunModel:
    """The checkpoint that is run in the place of one of the papers' models.

    Attributes:
        paper: the papers' model.
        checkpoint: a folder or a Hub id, as params.yaml has it.
        name: as results.csv has it; None if it was not run.
        source: the Hub id that the weights were fetched from; None for weights that were not fetched.
        revision: the commit on the Hub.
    """

    paper: str
    checkpoint: str
    name: str | None = None
    source: str | None = None
    revision: str | None = None

    @classmethod
    def of(cls, paper: str, checkpoint: str, facts: Mapping[str, Any]) -> RunModel:
        """A model of params.yaml with the facts of its runs, an entry of `models` in provenance.json."""
        source = facts.get("source") or {}
        return cls(paper, checkpoint, facts.get("model"), source.get("id"), source.get("commit"))

    @property
    def is_papers(self) -> bool:
        """Whether the weights are the paper's own, so that absolute scores may be compared.

        Only where they were fetched from counts. A folder may have any name.
        """
        wanted = PAPER_CHECKPOINTS.get(self.paper)
        return None not in (wanted, self.source) and str(self.source).casefold() == str(wanted).casefold()

    @property
    def title(self) -> str:
        """What readers call it: only the paper's own checkpoint has the paper's model's name."""
        return self.paper if self.is_papers else f"stand-in for {self.paper}"

    @property
    def is_miniature(self) -> bool:
        """Whether this repository trained it."""
        return self.source is None and checkpoint_name(self.checkpoint).startswith(_MINIATURE)


def file_name(model: str) -> str:
    """A model's name as a part of a file's name: a Hub id has a slash."""
    return re.sub(r"[^\w.-]+", "--", model)


def checkpoint_name(checkpoint: str) -> str:
    """A checkpoint's name without its folder or its owner on the Hub."""
    return PurePosixPath(checkpoint).name
