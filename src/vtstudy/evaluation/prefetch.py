"""Doing the next piece of work in a thread while the caller is busy with the present one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Sequence[Item], in_thread: bool) -> Iterator[Result]:
    """The results of the work on each item, in order.

    Args:
        work: called with one item at a time, in the order of the items.
        in_thread: whether one thread does the work on the next item while the caller uses the result before. At most
            two results are in memory at a time.

    Raises:
        Exception: whatever the work on an item raises, when that item's turn comes.
    """
    if not in_thread:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
        pending = None
        for item in items:
            before, pending = pending, thread.submit(work, item)
            if before is not None:
                yield before.result()
        if pending is not None:
            yield pending.result()
