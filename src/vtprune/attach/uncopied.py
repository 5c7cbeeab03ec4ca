"""Hooks that do nothing in a copy of their module: a copy or a pickle of a model within the block is not pruned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[..., Any]


class Uncopied:
    """A hook on a module. A copy of the module, made with `copy.deepcopy` or `pickle`, gets one that does nothing.

    Attributes:
        hook: what is called.
    """

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.hook(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[[], Hook], tuple[()]]:
        return _hook_without_effect, ()


def itself(value: Any) -> Any:
    """The same object: with it, `__reduce__` lets a copy have another object in place of its own."""
    return value


def _hook_without_effect() -> Hook:
    return _nothing


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Change nothing of a call."""
