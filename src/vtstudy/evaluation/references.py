"""The right answers that a benchmark's document holds."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vtstudy.evaluation.errors import EvaluationError

_COLUMNS = ("annotations_captions", "caption", "answers", "answer")


def references(document: Mapping[str, Any]) -> list[str]:
    """The different answers of a document that count as right, the most frequent first.

    Raises:
        EvaluationError: if the document has no column that holds its answer.
    """
    column = next((name for name in _COLUMNS if name in document), None)
    if column is None:
        raise EvaluationError("a document has no column that holds its answer")
    values = document[column] if isinstance(document[column], list) else [document[column]]
    texts = [str(value["answer"] if isinstance(value, Mapping) else value) for value in values]
    return [text for text, _ in Counter(texts).most_common()]
