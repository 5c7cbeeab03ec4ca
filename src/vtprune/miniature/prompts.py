"""The prompts that lmms-eval's tasks make of a question, word for word, by benchmark.

Training asks with the same words as the evaluation will. A test compares these with what the
installed tasks really produce.
"""

_SHORT = "{}\nAnswer the question using a single word or phrase."
_CAPTION = "Provide a one-sentence caption for the provided image."
_UNANSWERABLE = "{}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\nAnswer the question using a single word or phrase."

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
    "list": "{}",  # not benchmarks: the dense targets of training
    "find": "{}",
}


def prompt(benchmark: str, question: str, options: tuple[str, ...] = ()) -> str:
    """The user's text for `question`, as the benchmark's lmms-eval task words it."""
    if benchmark in ("textvqa", "vizwiz"):
        question = question.capitalize()
    if options:
        lines = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=False))
        question = f"{question} There are several options:\n{lines}"
    return PROMPTS[benchmark].format(question)


TEMPLATE = "User: {image}\n{text} Assistant:"
"""How a turn is laid out; the processor's chat template says the same."""
