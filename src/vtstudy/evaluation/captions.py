"""A memory for the caption tasks' tokenizer, which starts Java (half a second) for the same references each time."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any

Captions = Mapping[Any, Sequence[Mapping[str, Any]]]


def remember_tokenized() -> None:
    """Let pycocoevalcap's PTB tokenizer remember the tokens of the sentences that it got shortly before."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    if not hasattr(PTBTokenizer.tokenize, "__wrapped__"):
        PTBTokenizer.tokenize = _remembering(PTBTokenizer.tokenize)


def _remembering(
    tokenize: Callable[[Any, Captions], dict[Any, list[str]]],
) -> Callable[[Any, Captions], dict[Any, list[str]]]:
    @lru_cache(maxsize=32)
    def tokens(owner: Callable[[], Any], sentences: tuple[str, ...]) -> tuple[str, ...]:
        captions = {number: [{"caption": sentence}] for number, sentence in enumerate(sentences)}
        tokenized = tokenize(owner(), captions)
        return tuple(tokenized[number][0] for number in range(len(sentences)))

    @wraps(tokenize)
    def remembered(self: Any, captions: Captions) -> dict[Any, list[str]]:
        sentences = tuple(caption["caption"] for of_image in captions.values() for caption in of_image)
        tokenized = iter(tokens(type(self), sentences))  # type: ignore[arg-type]  # a class is hashable
        return {image: [next(tokenized) for _ in of_image] for image, of_image in captions.items()}

    return remembered
