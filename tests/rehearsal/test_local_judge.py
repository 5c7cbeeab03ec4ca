"""The stand-in for MM-Vet's judge, seen through lmms-eval's own client."""

import pytest
from helpers.local_judge import LocalJudge, grade

from vtstudy.evaluation.availability import _judge_problem, unavailable_reason

pytestmark = pytest.mark.slow


@pytest.fixture
def judge(monkeypatch):
    with LocalJudge() as judge:
        for name, value in judge.environment.items():
            monkeypatch.setenv(name, value)
        _judge_problem.cache_clear()
        yield judge
    _judge_problem.cache_clear()


def test_a_judge_that_replies_makes_its_benchmark_available(judge, monkeypatch):
    assert unavailable_reason("mmvet") is None
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    assert unavailable_reason("mmvet") is not None


def test_lmms_eval_gets_the_grade(judge):
    from lmms_eval.llm_judge import Request, ServerConfig, get_server

    config = ServerConfig(model_name="gpt-4", temperature=0.0, max_tokens=8)
    request = Request(messages=[{"role": "user", "content": "question | answer | prediction |"}], config=config)
    assert get_server("openai", config).evaluate(request).content == grade("question | answer | prediction |")
    assert judge.graded == 1
