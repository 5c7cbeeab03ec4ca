"""The prompts that lmms-eval's tasks make of a question, word for word, by benchmark.

Training asks with the same words as the evaluation will. A test compares these with what the
installed tasks really produce.
"""

_SHORT = "{}\nAnswer the question using a single word or phrase."
_CAPTION = "Provide a one-sentence caption for the provided image."
_UNANSWERABLE = "{}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\nAnswer the question using a single word or phrase."

LETTERS = "ABCD"
PROMPTS = {
    "nocaps": _CAPTION,
    "flickr30k": _CAPTION,
    "vqav2": _SHORT,
    "gqa": _SHORT,
    "docvqa": _SHORT,
    "pope": _SHORT,
    "mme": _SHORT,
    "textvqa": _SHORT,
    "okvqa": _UNANSWERABLE,
    "vizwiz": _UNANSWERABLE,
    "chartqa": "{}\nAnswer the question with a single word.",
    "mmbench": "{}\n\nAnswer with the option's letter from the given choices directly.",
    "list": "{}",  # not a benchmark: a dense target of training
}


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
