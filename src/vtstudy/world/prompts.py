"""Prompts of the benchmarks' questions, word for word as lmms-eval's tasks write them.

Training uses the same prompts as evaluation. A test compares them with the prompts of the installed tasks.
"""

from vtprune.errors import UserError
from vtstudy.benchmarks import BENCHMARKS

LETTERS = "ABCD"
TEMPLATE = "User: {image}\n{text} Assistant:"
"""One turn of the miniatures' chat; the processor's chat template writes the same."""


def with_options(question: str, options: tuple[str, ...]) -> str:
    """The question and its lettered options, one on each line, as MMBench's task joins them."""
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))
    return f"{question} There are several options:\n{lines}"


def prompt(benchmark: str, question: str, options: tuple[str, ...] = ()) -> str:
    """The user's text for a question, as the benchmark's lmms-eval task writes it.

    Raises:
        UserError: if the benchmark has no data set in the miniature world, and so no prompt.
    """
    spec = BENCHMARKS[benchmark]
    if spec.prompt is None:
        raise UserError(f"{spec.title} has no prompt, because the miniature world has no data set of it.")
    if spec.capitalized:
        question = question.capitalize()
    return spec.prompt.format(with_options(question, options) if options else question)
