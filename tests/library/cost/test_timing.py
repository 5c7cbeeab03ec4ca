"""Timing of several calls against each other."""

import pytest
import torch

from vtprune.cost.timing import interleaved, quartiles, ratios

CPU = torch.device("cpu")


def test_the_order_alternates_and_warm_up_rounds_do_not_count():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = interleaved(calls, 3, CPU, warmup=1)
    assert "".join(order) == "cba" + "abc" + "cba" + "abc"
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys("abc", 3)
    assert all(value >= 0 for times in seconds.values() for value in times)


def test_two_rounds_count_also_after_the_time_limit():
    seconds = interleaved({"a": lambda: None}, 9, CPU, warmup=1, limit_seconds=0.0)
    assert len(seconds["a"]) == 2


def test_progress_is_called_before_each_call():
    steps = []
    interleaved(
        {"a": lambda: None, "b": lambda: None}, 1, CPU, progress=lambda index, name: steps.append((index, name))
    )
    assert steps == [(0, "b"), (0, "a"), (1, "a"), (1, "b")]


def test_quartiles():
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)
    assert quartiles([4.0, 1.0, 3.0, 2.0, 5.0]) == (2.0, 3.0, 4.0)


def test_ratios_are_taken_round_by_round():
    assert ratios([2.0, 8.0, 6.0], [1.0, 2.0, 2.0]).median == 3.0
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])
