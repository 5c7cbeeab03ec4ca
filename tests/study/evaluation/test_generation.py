"""Generation arguments and batches."""

import pytest

from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.generation import batches, generation_arguments


def test_generation_arguments_have_one_spelling():
    assert generation_arguments({"until": "x"}, task="t") == {"max_new_tokens": 128, "num_beams": 1, "until": ["x"]}
    assert generation_arguments({"max_new_tokens": 16, "temperature": 0.0}, task="t", limit=5)["max_new_tokens"] == 5
    with pytest.raises(EvaluationError, match="task t"):
        generation_arguments({"temperature": 0.7}, task="t")
    # MM-Vet has a temperature beside do_sample: false.
    assert generation_arguments({"temperature": 0.2, "do_sample": False}, task="t")["max_new_tokens"] == 128
    with pytest.raises(EvaluationError, match="task t"):
        generation_arguments({"temperature": 0.0, "do_sample": True}, task="t")
    with pytest.raises(EvaluationError, match="'voice'"):
        generation_arguments({"voice": 1}, task="t")


def test_batches_are_by_length_and_stable():
    assert list(batches([5, 1, 5, 1, 3], 2)) == [[1, 3], [4, 0], [2]]
