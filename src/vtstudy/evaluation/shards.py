"""Shards: how several processes, on any number of machines, divide the batches of a benchmark among them."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vtstudy.evaluation.errors import EvaluationError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of the work. The default is all of it.

    A shard has every `count`-th batch, counted through all benchmarks. Batches are formed before they are divided, so a
    question is answered in the same batch whatever the number of shards is.

    Attributes:
        number: of this part, from 1 on.
        count: how many parts there are.

    Raises:
        EvaluationError: if there is no such part.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise EvaluationError(
                f"a shard is one of 1/{max(self.count, 1)} to {max(self.count, 1)}/{max(self.count, 1)}, "
                f"not {self.number}/{self.count}"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def is_all(self) -> bool:
        """Whether there is no other part."""
        return self.count == 1

    def of(self, batches: Mapping[str, Sequence[T]]) -> dict[str, Sequence[T]]:
        """The batches of this part, by benchmark.

        They are counted through all benchmarks, so that the parts are equal even if each benchmark has one batch.

        Args:
            batches: all batches, by benchmark.
        """
        parts: dict[str, Sequence[T]] = {}
        counted = 0
        for name, all_batches in batches.items():
            parts[name] = all_batches[(self.number - 1 - counted) % self.count :: self.count]
            counted += len(all_batches)
        return parts

    def turned(self, items: Sequence[T]) -> list[T]:
        """All items, beginning at another place for each part: so that several processes do not begin with the same."""
        start = (self.number - 1) * len(items) // self.count
        return [*items[start:], *items[:start]]


ALL = Shard()
"""All of the work, in one part."""


def parse_shard(text: str) -> Shard:
    """The shard that a text such as `3/8` names.

    Raises:
        EvaluationError: if the text does not name one.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise EvaluationError(f"a shard is written NUMBER/COUNT, such as 3/8 for the third of eight, not {text!r}")
    return Shard(int(match[1]), int(match[2]))


def launched_shard(environment: Mapping[str, str] = os.environ) -> Shard | None:
    """The shard of a process that `torchrun` or `accelerate launch` started beside others; None for any other process.

    Raises:
        EvaluationError: if the launcher's variables contradict each other.
    """
    count = _number(environment, "WORLD_SIZE", 1)
    if count == 1:
        return None
    return Shard(_number(environment, "RANK", 0) + 1, count)


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard that the command line or a launcher gives this process; all of the work if neither does.

    Args:
        text: such as `3/8`; None where the command line names no shard.

    Raises:
        EvaluationError: if both name a shard, or the text names none.
    """
    launched = launched_shard(environment)
    if launched is None:
        return ALL if text is None else parse_shard(text)
    if text is not None:
        raise EvaluationError(
            f"this process is one of {launched.count} that a launcher started, and takes shard {launched} by itself: "
            "leave out --shard, or start the processes one by one"
        )
    return launched


def refuse_several_processes(command: str, environment: Mapping[str, str] = os.environ) -> None:
    """Check that a command that is one process was not started as several.

    Raises:
        EvaluationError: if it was.
    """
    launched = launched_shard(environment)
    if launched is not None:
        raise EvaluationError(
            f"'{command}' runs in one process, but a launcher started {launched.count}: start it without the launcher "
            "(only 'vtstudy answer' shares its work among several processes)"
        )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal():
        raise EvaluationError(f"the environment variable {name} must be a whole number, not {text!r}")
    return int(text)
