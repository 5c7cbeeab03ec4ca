"""The caption tasks' scorers, with fewer starts of Java.

Their tokenizer starts it (half a second) for the same references each time, and METEOR (six seconds) even if only CIDEr
is read.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any

Captions = Mapping[Any, Sequence[Mapping[str, Any]]]


def start_java_less() -> None:
    """Let the PTB tokenizer remember the sentences that it got shortly before, and METEOR start when it is asked."""
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    if not hasattr(PTBTokenizer.tokenize, "__wrapped__"):
        PTBTokenizer.tokenize = _remembering(PTBTokenizer.tokenize)
    if not hasattr(Meteor.compute_score, "__wrapped__"):
        _start_when_asked(Meteor)


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


def _start_when_asked(meteor: Any) -> None:
    """Let a METEOR start its Java when its first score is asked for, not when it is made."""
    start, compute_score, stop = meteor.__init__, meteor.compute_score, meteor.__del__

    @wraps(compute_score)
    def started(self: Any, *captions: Captions) -> Any:
        if not hasattr(self, "meteor_p"):
            start(self)
        return compute_score(self, *captions)

    def stopped(self: Any) -> None:
        if hasattr(self, "meteor_p"):
            stop(self)

    meteor.__init__, meteor.compute_score, meteor.__del__ = (lambda self: None), started, stopped
