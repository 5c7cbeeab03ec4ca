from dataclasses import dataclass
from typing import ClassVar

from vtprune.pruning.base import Method, Stage, register


@register
@dataclass(frozen=True)
class NoPruning(Method):
    """Keep every token: the unpruned model, the baseline of every table."""

    name: ClassVar[str] = "none"

    def stages(self) -> list[Stage]:
        return []
