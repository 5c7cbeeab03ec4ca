"""The mark of a cache that a pruned prompt filled: it knows the prompt, and where the cache may grow."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

from vtprune.attach.block import Block
from vtprune.attach.prompt import Prompt
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache


class PrunedUpdate:
    """Stands in for the method `update` of one cache.

    It is an attribute of the cache, so that copies of the cache have it as well, with the same prompt. The cache grows
    within the block in which it was filled, and in none of its layers outside: nobody would shorten masks there, or
    correct positions.

    Args:
        cache: the cache.
        prompt: the prompt that fills it.
        block: the block in which it does.
        method: name of the method, for messages.
    """

    def __init__(self, cache: Cache, prompt: Prompt, block: Block, method: str) -> None:
        self.prompt, self.block = prompt, block
        self._cache, self._method = weakref.ref(cache), method  # a strong reference would be a cycle

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        cache = self._cache()
        if cache is None:
            raise UserError("a shallow copy of a cache cannot outlive the cache: copy it with copy.deepcopy")
        if self.prompt.segments and not self.block.is_open:
            if cache.get_seq_length() > 0:
                raise UserError(
                    f"a cache that was filled while {self._method} was attached can only be continued within the same "
                    "with block: outside, the layers' lengths and positions would not fit"
                )
            del vars(cache)["update"]  # it was emptied, and is filled with another prompt
        return type(cache).update(cache, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> PrunedUpdate:
        """The mark of the copy of the cache, which `copy.deepcopy` has begun to make."""
        cache = memo.get(id(self._cache()))
        return self if cache is None else PrunedUpdate(cache, self.prompt, self.block, self._method)

    def __reduce__(self) -> tuple[Any, ...]:
        raise UserError(
            f"a cache that was filled while {self._method} was attached cannot be saved or sent to another process, "
            "because it can only be continued within its with block"
        )


def mark(cache: Cache, prompt: Prompt, block: Block, method: str) -> None:
    """Remember the prompt that fills a cache, for as long as the cache lives."""
    marked = mark_of(cache)
    if marked is None or marked.prompt is not prompt or marked.block is not block:
        cast(Any, cache).update = PrunedUpdate(cache, prompt, block, method)


def mark_of(cache: Cache) -> PrunedUpdate | None:
    """The mark of a cache; None if no pruned prompt filled it."""
    marked = vars(cache).get("update")
    return marked if isinstance(marked, PrunedUpdate) else None
