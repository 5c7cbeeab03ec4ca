"""What guessing scores where a question offers its answers: the floor above which a model has looked at all."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from vtstudy.benchmarks import BENCHMARKS, MMBENCH_CATEGORIES, MME_COGNITION, MME_PERCEPTION


def guessed(benchmark: str, docs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Expected scores of fair guesses, each independent of the others; {} where questions offer no answers.

    POPE: right half of the time. MME: 75 a sub-task, 50 for the accuracy and 25 for both questions of
    a pair right. MMBench: a question with ``k`` options is right once in ``k`` times, and one that is
    asked in several rotated copies counts when all of them are right.

    Args:
        docs: the questions asked, in the columns of the benchmark's data set.

    Returns:
        By benchmark, in the papers' units: also ``mme_cognition``, and the parts by the names of
        :func:`vtstudy.evaluation.scoring.parts_of`.
    """
    if benchmark == "mme":
        return _mme({doc["category"] for doc in docs})
    if benchmark == "mmbench":
        return _mmbench(docs)
    return {} if BENCHMARKS[benchmark].chance is None else {benchmark: BENCHMARKS[benchmark].chance}


def _mme(categories: set[str]) -> dict[str, float]:
    each = BENCHMARKS["mme"].chance / len(MME_PERCEPTION)
    sums = {
        "mme": each * len(categories & {*MME_PERCEPTION}),
        "mme_cognition": each * len(categories & {*MME_COGNITION}),
    }
    return sums | {f"mme/{category}": each for category in categories}


def _mmbench(docs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    right: dict[tuple[str, int], float] = {}  # by category and question
    for doc in docs:
        options = sum(doc[letter] not in (None, "", "nan") for letter in "ABCD")
        question = doc["category"], int(doc["index"]) % 1_000_000  # copies are a million apart
        right[question] = right.get(question, 100.0) / options
    members = {category: {category} for category, _ in right}
    members |= {group: {*leaves} for group, leaves in MMBENCH_CATEGORIES.items()}
    found = {"mmbench": math.fsum(right.values()) / len(right)}
    for name, leaves in members.items():
        if own := [value for (category, _), value in right.items() if category in leaves]:
            found[f"mmbench/{name}"] = math.fsum(own) / len(own)
    return found
