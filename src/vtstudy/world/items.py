"""One question of one benchmark, before it is written in the schema of its Hub data set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A question about one image.

    `benchmark` is a key of `vtstudy.benchmarks.BENCHMARKS`.
    """

    benchmark: str
    image_id: str  # stable; several items may share one image
    question: str  # the bare question as the data set's own column holds it, no post-prompt
    answers: tuple[str, ...]  # gold first; ten where the original has ten; captions: all references
    category: str = ""  # pope: sampling; mme: sub-task; mmbench: category; chartqa: split
    options: tuple[str, ...] = ()  # mmbench: texts of A, B, ...; the answer's letter is answers[0]
    words: tuple[str, ...] = ()  # textvqa: the OCR tokens in the image
