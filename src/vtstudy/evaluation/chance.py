"""Scores of guesses, for benchmarks whose questions offer their answers: a model that looks at the image beats them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from vtstudy.benchmarks import BENCHMARKS, MMBENCH_CATEGORIES, MME_COGNITION, MME_PERCEPTION


def guessed(benchmark: str, docs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Expected scores of independent fair guesses; {} where the questions do not offer their answers.

    POPE: a guess is right half of the time. MME: 75 for each sub-task, 50 of them for the accuracy and 25 for pairs
    with two right answers. MMBench: a guess among `k` options is right once in `k` times; a question that is asked
    in several rotated copies counts when all of them are right.

    Args:
        docs: the documents of the questions, with the columns of the benchmark's data set.

    Returns:
        By benchmark, in the papers' units. `mme_cognition` and the parts of a benchmark are among the keys; parts have
        the names that `scoring.parts_of` gives them.
    """
    if benchmark == "mme":
        return _mme({doc["category"] for doc in docs})
    if benchmark == "mmbench":
        return _mmbench(docs)
    chance = BENCHMARKS[benchmark].chance
    return {} if chance is None else {benchmark: chance}


def _mme(categories: set[str]) -> dict[str, float]:
    per_task = (BENCHMARKS["mme"].chance or 0.0) / len(MME_PERCEPTION)
    sums = {
        "mme": per_task * len(categories & {*MME_PERCEPTION}),
        "mme_cognition": per_task * len(categories & {*MME_COGNITION}),
    }
    return sums | {f"mme/{category}": per_task for category in categories}


def _mmbench(docs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    right: dict[tuple[str, int], float] = {}  # by category and question
    for doc in docs:
        options = sum(doc[letter] not in (None, "", "nan") for letter in "ABCD")
        question = doc["category"], int(doc["index"]) % 1_000_000  # copies are a million apart
        right[question] = right.get(question, 100.0) / options
    members = {category: {category} for category, _ in right}
    members |= {group: {*leaves} for group, leaves in MMBENCH_CATEGORIES.items()}
    scores = {"mmbench": math.fsum(right.values()) / len(right)}
    for name, leaves in members.items():
        values = [value for (category, _), value in right.items() if category in leaves]
        if values:
            scores[f"mmbench/{name}"] = math.fsum(values) / len(values)
    return scores
