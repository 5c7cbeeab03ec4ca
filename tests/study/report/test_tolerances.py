"""How far a score may be from a printed one."""

import pytest

from vtprune.errors import UserError
from vtstudy.config import ConfigError, Report, checked
from vtstudy.report.tolerances import Tolerances, worth_of_a_question

DECLARED = {"default": 1.0, "mme": 20.0, "docvqa": 2.0, "questions": 2, "average_gain": 0.3}


@pytest.mark.parametrize(
    ("benchmark", "n", "value"),
    [
        ("gqa", 12578, 1.0),
        ("gqa", None, 1.0),
        ("gqa", 50, 4.0),  # two of 50 questions are 4 %
        ("docvqa", 5349, 2.0),
        ("mme", 2114, 20.0),
        ("mme/existence", 60, 10.0),  # of 30 pairs: a question is worth 100/60 and completes a pair, 100/30
        ("mme/OCR", 40, 15.0),
        ("mmbench/ocr", 39, 5.1282),
        ("mmbench/coarse_perception", 296, 1.0),
    ],
)
def test_a_tolerance_is_declared_and_at_least_what_two_questions_are_worth(benchmark, n, value):
    assert Tolerances.read(DECLARED, "params.yaml").of(benchmark, n).value == value


def test_a_part_may_have_a_tolerance_of_its_own():
    tolerances = Tolerances.read({"default": 1.0, "mmbench": 1.5, "mmbench/ocr": 9.0, "questions": 2}, "params.yaml")
    assert [tolerances.of(name, 1000).value for name in ("mmbench", "mmbench/ocr", "mmbench/image_style")] == [
        1.5,
        9,
        1.5,
    ]


@pytest.mark.parametrize("right", [(1, 1, 1, 0), (0, 1, 1, 1)])
def test_the_worth_of_a_question_of_mme_is_what_its_score_gains(right):
    """By MME's own rule: accuracy in percent, and 100 more for each pair that is right."""

    def score(answers):
        pairs = [answers[:2], answers[2:]]
        return 100 * sum(answers) / 4 + 100 * sum(map(all, pairs)) / 2

    assert score((1, 1, 1, 1)) - score(right) == worth_of_a_question("mme/count", 4)


def test_the_reason_says_why_a_tolerance_is_wide():
    tolerances = Tolerances.read(DECLARED, "params.yaml")
    assert "2 of its 40 questions" in tolerances.of("mme/OCR", 40).why and not tolerances.of("gqa", 12578).why
    sentence = tolerances.sentence()
    assert all(number in sentence for number in ("20 on MME", "2 on DocVQA", "2 questions", "0.3"))


@pytest.mark.parametrize("wrong", [{"mme": 20}, {"default": 1, "popes": 2}, {}])
def test_wrong_tolerances_are_refused(wrong):
    with pytest.raises(UserError):
        Tolerances.read(wrong, "params.yaml")
    with pytest.raises(ConfigError):
        checked(Report, {"tolerances": wrong}, "params.yaml")
