"""Limits that leave a benchmark unscored: MME is scored by pairs of questions, and its perception part alone counts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from vtstudy.benchmarks import MME_PERCEPTION


def least_limit(documents: Iterable[Mapping[str, Any]], limit: int) -> int:
    """The smallest limit, from `limit` on, whose first questions MME can score.

    They hold a pair about a perception sub-task, and no question without the other one of its pair.

    Args:
        documents: all of MME, in order.
        limit: how many questions are wanted.

    Returns:
        `limit` itself if it will do; the number of all documents if no smaller limit does.
    """
    open_questions: Counter[tuple[str, str]] = Counter()
    perception = False
    count = 0
    for count, document in enumerate(documents, start=1):
        pair = document["category"], document["question_id"]
        open_questions[pair] += 1
        if open_questions[pair] == 2:
            del open_questions[pair]
            perception |= document["category"] in MME_PERCEPTION
        if count >= limit and perception and not open_questions:
            return count
    return count
