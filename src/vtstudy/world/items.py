"""A question of a data set, before it becomes a row in the Hub's schema."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A question about one image.

    Attributes:
        benchmark: a key of `vtstudy.benchmarks.BENCHMARKS`.
        image_id: stable name of the image; several items may have the same image.
        question: the question as the data set's own column holds it, without the prompt around it.
        answers: the right answer first; ten answers where the original has ten, all references of a caption.
        category: the benchmark's kind of question, such as POPE's sampling, MME's sub-task or ChartQA's split.
        options: the texts of the options A, B, ...; the right option's letter is `answers[0]`.
        words: the OCR tokens of the image (TextVQA).
    """

    benchmark: str
    image_id: str
    question: str
    answers: tuple[str, ...]
    category: str = ""
    options: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
