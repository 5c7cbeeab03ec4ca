"""Limits that leave MME unscored are refused before the first question is asked."""

import pytest

from vtprune.methods import NoPruning
from vtstudy.evaluation import answering
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.limits import least_limit
from vtstudy.evaluation.requests import Request, Variant


def documents(*pairs: str) -> list[dict[str, str]]:
    """A document for each pair, such as "count/1"."""
    return [dict(zip(("category", "question_id"), pair.split("/"), strict=True)) for pair in pairs]


@pytest.mark.parametrize(
    ("pairs", "limit", "least"),
    [
        (["count/1", "count/1", "OCR/1", "OCR/1"], 2, 2),
        (["code_reasoning/1", "code_reasoning/1", "OCR/1", "OCR/1"], 2, 4),  # the first pair is cognition
        (["count/1", "OCR/1", "count/1", "OCR/1"], 2, 4),  # the first two are of different pairs
        (["count/1", "count/1", "OCR/1", "OCR/1"], 3, 4),
        (["count/1", "count/1"], 6, 2),  # there are fewer
    ],
)
def test_the_least_limit(pairs, limit, least):
    assert least_limit(documents(*pairs), limit) == least


@pytest.mark.exhaustive
def test_nothing_is_asked_of_any_benchmark(checkpoint, data, tmp_path, monkeypatch):
    monkeypatch.setattr("vtstudy.evaluation.harness.least_limit", lambda documents, limit: limit + 2)
    monkeypatch.setattr(answering, "answer_batch", lambda *_: pytest.fail("a question was asked"))
    evaluator = Evaluator(checkpoint, data, cache=tmp_path, max_new_tokens=2, device="cpu")
    requests = [Request(Variant(NoPruning()), name, 6) for name in ("pope", "mme")]
    with pytest.raises(EvaluationError, match="8"):
        evaluator.answer(requests)
