"""Timing of several calls against each other: in alternating order, with warm-up, compared round by round."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch


class Quartiles(NamedTuple):
    """The quartiles of some numbers.

    Attributes:
        low: a quarter of the numbers are at most this.
        median: half of the numbers are at most this.
        high: three quarters of the numbers are at most this.
    """

    low: float
    median: float
    high: float


class Stopwatch:
    """Measures the seconds of one step after another, including the work that is queued on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self.start()

    def start(self) -> None:
        """Begin a step."""
        self._synchronise()
        self._begin = time.perf_counter()

    def lap(self) -> float:
        """End a step and begin the next one. Return the seconds of the step."""
        self._synchronise()
        now = time.perf_counter()
        seconds, self._begin = now - self._begin, now
        return seconds

    def _synchronise(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize()


def in_turn(names: Sequence[str], index: int) -> Sequence[str]:
    """Return the names in the order of one round, which alternates from round to round.

    So neither a drift of the machine's speed nor the data that a call leaves in the machine's caches favours one call.
    """
    return names if index % 2 else names[::-1]


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    *,
    warmup: int = 1,
    limit_seconds: float | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> dict[str, list[float]]:
    """Time several calls in turn.

    Args:
        calls: the calls by name.
        rounds: how many rounds count, after the warm-up. Every round runs each call once.
        device: the device that the calls work on. A GPU is synchronised before and after each call.
        warmup: rounds at the beginning that do not count.
        limit_seconds: after this time no further round begins, but at least two rounds count.
        progress: called with the round and the name before each call.

    Returns:
        The seconds of each call, one number per round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    stopwatch, begin = Stopwatch(device), time.perf_counter()
    for index in range(warmup + rounds):
        if limit_seconds is not None and index >= warmup + 2 and time.perf_counter() - begin > limit_seconds:
            break
        for name in in_turn(names, index):
            if progress is not None:
                progress(index, name)
            stopwatch.start()
            calls[name]()
            took = stopwatch.lap()
            if index >= warmup:
                seconds[name].append(took)
    return seconds


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the quartiles of at least one number, as percentiles of the sample (`numpy.percentile`'s default)."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Quartiles:
    """Return the quartiles of the ratios of two calls' times, round by round."""
    return quartiles([a / b for a, b in zip(numerators, denominators, strict=True)])
