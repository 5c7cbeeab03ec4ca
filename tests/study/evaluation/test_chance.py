"""What guessing scores: by hand, and against the tasks' own scoring of random answers."""

from random import Random

import pytest

from vtstudy.evaluation.chance import guessed
from vtstudy.evaluation.scoring import _mme


def question(index: int, category: str, *options: str) -> dict:
    return {"index": index, "category": category, **dict(zip("ABCD", (*options, "nan", "nan"), strict=False))}


def test_options_are_counted():
    found = guessed(
        "mmbench",
        [
            question(1, "ocr", "a", "b"),
            question(2, "ocr", "a", "b", "c", "d"),
            question(3, "image_style", "a", "b", "c", "d"),
        ],
    )
    assert found["mmbench/ocr"] == found["mmbench/finegrained_perception (instance-level)"] == 37.5
    assert found["mmbench/image_style"] == 25 and found["mmbench"] == pytest.approx(100 / 3)
    assert "mmbench/logic_reasoning" not in found  # nothing was asked of it


def test_rotated_copies_must_all_be_right():
    copies = [question(1 + copy * 1_000_000, "ocr", "a", "b") for copy in range(3)]
    assert guessed("mmbench", copies)["mmbench"] == 12.5


def test_mme_is_the_mean_of_coin_flips():
    """Both answers of a pair by a coin, scored as the task does."""
    docs = [{"category": "color"}, {"category": "code_reasoning"}]
    found = guessed("mme", docs)
    random = Random(0)
    items = [
        (n, {"category": "color", "question_id": n // 2, "score": float(random.random() < 0.5)}) for n in range(40_000)
    ]
    _, _, values, _ = _mme(items)
    assert sum(values) / len(values) == pytest.approx(found["mme/color"], abs=1)
    assert found == {"mme": 75, "mme_cognition": 75, "mme/color": 75, "mme/code_reasoning": 75}


def test_open_ended_questions_offer_nothing():
    assert guessed("pope", []) == {"pope": 50} and guessed("vqav2", [{"question": "?"}]) == {}
