"""What belongs to one of the threads or asyncio tasks that call a model at once."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Worker = threading.Thread | asyncio.Task[Any]
"""A thread, or an asyncio task: tasks take turns within one thread."""


def current_worker() -> Worker:
    """The asyncio task that runs, or the thread where there is none."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # this thread has no event loop
        task = None
    return threading.current_thread() if task is None else task


def is_over(worker: Worker) -> bool:
    """Whether a worker can make no further call."""
    return worker.done() if isinstance(worker, asyncio.Task) else not worker.is_alive()


class ByWorker(Generic[T]):
    """A value for each worker, which is dropped with the worker.

    Args:
        make: makes the value when a worker first asks for its own.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._values: weakref.WeakKeyDictionary[Worker, T] = weakref.WeakKeyDictionary()

    def mine(self) -> T:
        """The value of the worker that asks."""
        worker = current_worker()
        with self._lock:
            if worker not in self._values:
                self._values[worker] = self._make()
            return self._values[worker]

    def __deepcopy__(self, memo: dict[int, Any]) -> ByWorker[T]:
        """Values belong to calls, which a copy has none of."""
        return ByWorker(self._make)
