"""The prompts that lmms-eval's tasks make of a question, word for word, by benchmark.

Training asks with the same words as the evaluation will. A test compares these with what the
installed tasks really produce.
"""

from vtstudy.benchmarks import BENCHMARKS, WORLD

LETTERS = "ABCD"
PROMPTS = {name: BENCHMARKS[name].prompt for name in WORLD} | {"list": "{}"}
"""By benchmark, and for ``list``, which is no benchmark: a dense target of training."""


def with_options(question: str, options: tuple[str, ...]) -> str:
    """`question` and its lettered options, one a line, as MMBench's task joins them."""
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))
    return f"{question} There are several options:\n{lines}"


def prompt(benchmark: str, question: str, options: tuple[str, ...] = ()) -> str:
    """The user's text for `question`, as the benchmark's lmms-eval task words it."""
    if benchmark in ("textvqa", "vizwiz"):
        question = question.capitalize()
    return PROMPTS[benchmark].format(with_options(question, options) if options else question)


TEMPLATE = "User: {image}\n{text} Assistant:"
"""How a turn is laid out; the processor's chat template says the same."""
