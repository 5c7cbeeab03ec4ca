"""The unpruned model."""

from dataclasses import dataclass
from typing import ClassVar

from vtprune.methods.base import Method, register
from vtprune.stages import Stage


@register
@dataclass(frozen=True)
class NoPruning(Method):
    """Keep every token: the unpruned model, the baseline of every table."""

    name: ClassVar[str] = "none"

    def stages(self) -> list[Stage]:
        return []
