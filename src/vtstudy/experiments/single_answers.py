"""How right a single answer is, as the benchmark's own task counts it."""

from collections.abc import Mapping
from typing import Any

from vtstudy.benchmarks import BENCHMARKS
from vtstudy.evaluation.scoring import option_right, option_row

_COGNITION = "mme_cognition_score"
"""MME's metric of the questions that have no perception score."""


def share_right(benchmark: str, task: Any, document: Mapping[str, Any], answer: str) -> float | None:
    """How right an answer is, from 0 to 1; None for a caption, which is neither right nor wrong.

    VQA's accuracy has steps between the two, as some of the people who were asked gave the answer. DocVQA's ANLS counts
    a word with a wrong letter in part.

    Args:
        task: the benchmark's task of lmms-eval.
        document: of the question, with the columns of the data set.
    """
    spec = BENCHMARKS[benchmark]
    if spec.java:
        return None
    scores = task.process_results(dict(document), [answer])
    score = scores[spec.metric if spec.metric in scores else _COGNITION]
    if spec.metric == "gpt_eval_score":
        return float(option_right([option_row(score)]))  # other copies of the question do not count
    return float(score["score"] if isinstance(score, Mapping) else score)


def caption_unit(benchmark: str, document: Mapping[str, Any], task: Any) -> str:
    """The name that an image's caption has among the units of the benchmark's scores (see `scoring.Scores`)."""
    return str(int(task.process_results(dict(document), [""])[BENCHMARKS[benchmark].metric]["image_id"]))
