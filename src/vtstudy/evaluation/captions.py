"""The caption tasks' tokenizer, which starts Java (half a second) for the same references in every cell."""

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
    def tokens(owner: type, sentences: tuple[str, ...]) -> tuple[str, ...]:
        found = tokenize(owner(), {number: [{"caption": sentence}] for number, sentence in enumerate(sentences)})
        return tuple(found[number][0] for number in range(len(sentences)))

    @wraps(tokenize)
    def remembered(self: Any, captions: Captions) -> dict[Any, list[str]]:
        every = iter(tokens(type(self), tuple(caption["caption"] for own in captions.values() for caption in own)))
        return {image: [next(every) for _ in own] for image, own in captions.items()}

    return remembered
