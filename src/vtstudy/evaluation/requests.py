"""What experiments ask of a model: variants on benchmarks."""

from dataclasses import dataclass
from typing import Literal

from vtprune.methods import Method

Image = Literal["shown", "blank"]
"""Whether a model sees the questions' images, or a mid-grey image of the same size in place of each."""


@dataclass(frozen=True)
class Variant:
    """A method with its parameters, as it is evaluated.

    Attributes:
        method: which image tokens stay.
        image: ``blank`` for the blind baseline.
    """

    method: Method
    image: Image = "shown"


@dataclass(frozen=True)
class Request:
    """One variant on one benchmark.

    Attributes:
        variant: what answers.
        benchmark: a key of :data:`vtstudy.benchmarks.BENCHMARKS`.
        limit: how many of the benchmark's first questions; None for all.
        tokens: whether the numbers of image tokens left after each stage are wanted with the answers.
    """

    variant: Variant
    benchmark: str
    limit: int | None = None
    tokens: bool = False
