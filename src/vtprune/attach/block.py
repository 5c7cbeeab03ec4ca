"""One run of a `with` block: which calls belong to it, from which threads and asyncio tasks they come, and its end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vtprune.attach.workers import Worker, current_worker, is_over


def _nothing() -> None:
    pass


class Block:
    """A `with` block and the calls that began within it.

    A call that began within the block belongs to it until it ends, also where another thread leaves the block before
    (as a loop over a streamer does). A call that begins later does not belong to it.

    Args:
        when_over: called once, when the block was left and none of its calls runs any more.

    Attributes:
        overlapped: whether calls of several workers have run at the same time.
    """

    def __init__(self, when_over: Callable[[], None] = _nothing) -> None:
        self.overlapped = False
        self._when_over = when_over
        self._lock = threading.RLock()
        self._running: Counter[Worker] = Counter()
        self._entered = True

    @property
    def is_open(self) -> bool:
        """Whether a call of this worker belongs to the block: that which runs, or a new one."""
        return self._entered or self._running[current_worker()] > 0

    @property
    def has_others(self) -> bool:
        """Whether a call of another worker runs."""
        with self._lock:
            self._forget_the_dead()
            return bool(self._running.keys() - {current_worker()})

    def begin(self) -> None:
        """A call of this worker begins. Its calls may be nested."""
        with self._lock:
            self._running[current_worker()] += 1
            self.overlapped = self.overlapped or self.has_others

    def end(self) -> None:
        """A call of this worker has ended."""
        with self._lock:
            worker = current_worker()
            self._running[worker] -= 1
            self._forget_the_dead()
            over = not (self._entered or self._running)
        if over:
            self._be_over()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call of this worker, from its beginning to its end, if it belongs to the block."""
        if not self.is_open:
            yield
            return
        self.begin()
        try:
            yield
        finally:
            self.end()

    def leave(self) -> None:
        """Leave the block. Of the worker that leaves it, no call runs: one that seems to was interrupted."""
        with self._lock:
            self._entered = False
            self._running.pop(current_worker(), None)
            self._forget_the_dead()
            over = not self._running
        if over:
            self._be_over()

    def __deepcopy__(self, memo: dict[int, Any]) -> Block:
        """The block of a copy of the model. No call belongs to it yet, and nobody leaves it."""
        block = Block()
        block._entered = self._entered
        return block

    def _be_over(self) -> None:
        when_over, self._when_over = self._when_over, _nothing  # it holds the model, and caches hold the block
        when_over()

    def _forget_the_dead(self) -> None:
        for worker in [worker for worker, calls in self._running.items() if calls <= 0 or is_over(worker)]:
            del self._running[worker]
