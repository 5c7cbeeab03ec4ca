"""What experiments ask of a model: variants on benchmarks."""

from dataclasses import dataclass
from typing import Literal, get_args

from vtprune.methods import Method

ImageMode = Literal["shown", "blank"]
"""Whether a model sees the questions' images, or a mid-grey image of the same size in place of each."""

IMAGE_MODES: tuple[ImageMode, ...] = get_args(ImageMode)


@dataclass(frozen=True)
class Variant:
    """A method with its parameters, as it is evaluated.

    Attributes:
        method: it chooses which image tokens stay.
        image: `blank` for the blind baseline.
    """

    method: Method
    image: ImageMode = "shown"


@dataclass(frozen=True)
class Request:
    """One variant on one benchmark.

    Attributes:
        variant: the variant that answers.
        benchmark: a key of `vtstudy.benchmarks.BENCHMARKS`.
        limit: how many of the benchmark's first questions are asked; None for all.
        tokens: whether the numbers of image tokens that remain after each stage are wanted with the answers.
    """

    variant: Variant
    benchmark: str
    limit: int | None = None
    tokens: bool = False
