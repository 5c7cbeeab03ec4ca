"""How right a single answer is, as the benchmark's own task counts it, and what would be right."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vtstudy.benchmarks import BENCHMARKS

_REFERENCES = ("annotations_captions", "caption", "answers", "answer")
_COGNITION = "mme_cognition_score"
"""MME's metric of the questions that have no perception score."""


def references(document: Mapping[str, Any]) -> list[str]:
    """The different answers of a document that count as right, the most frequent first."""
    values: Any = next((document[key] for key in _REFERENCES if key in document), [])
    texts = [
        str(value["answer"] if isinstance(value, Mapping) else value)
        for value in (values if isinstance(values, list) else [values])
    ]
    return [text for text, _ in Counter(texts).most_common()]


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
        return _option_right(score)
    return float(score["score"] if isinstance(score, Mapping) else score)


def caption_unit(benchmark: str, document: Mapping[str, Any], task: Any) -> str:
    """The name that an image's caption has among the units of the benchmark's scores (see `scoring.Scores`)."""
    return str(int(task.process_results(dict(document), [""])[BENCHMARKS[benchmark].metric]["image_id"]))


def _option_right(row: Mapping[str, Any]) -> float:
    """Whether MMBench's static judge finds the right option in an answer; other copies of the question do not count."""
    import pandas as pd
    from lmms_eval.tasks.mmbench.mmbench_evals import MMBench_Evaluator

    row = {key if key in "ABCD" else key.lower(): value for key, value in row.items()}
    answers = {int(row["index"]): row["answer"]}
    return float(MMBench_Evaluator().eval_sub_data(pd.DataFrame([row]), answers, static_only=True))
