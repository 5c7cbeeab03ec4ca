"""Hooks on the methods of a model, like the hooks that torch has on a module's forward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import nn

from vtprune.attach.uncopied import itself

Before = Callable[[dict[str, Any]], None]
"""Gets the arguments of a call by their names."""

After = Callable[[dict[str, Any], Any], None]
"""Gets the arguments of a call by their names, and its result."""

Around = Callable[[], AbstractContextManager[Any]]
"""Makes the context in which a method runs."""


class _Hooked:
    """A method of one object with its hooks. A copy of the object gets the method without them.

    It is never compiled, nor is what it calls: hooks in compiled code would outlive their removal.
    """

    def __init__(self, owner: nn.Module, name: str, hooks: tuple[Before | None, After | None, Around]) -> None:
        self._owner, self._name, self._hooks = owner, name, hooks
        self._replaced = vars(owner).get(name)  # an attribute of the object itself, not of its class
        self._method = getattr(owner, name)
        self._signature = inspect.signature(self._method)
        functools.update_wrapper(self, self._method)
        self._run: Callable[..., Any] | None = cast(Any, torch.compiler).disable(self._call)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self._run or self._call)(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        before, after, around = self._hooks
        arguments = self._signature.bind(*args, **kwargs).arguments
        if before is not None:
            before(arguments)
        with around():
            result = self._method(*args, **kwargs)
        if after is not None:
            after(arguments, result)
        return result

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._replaced is not None:
            return itself, (self._replaced,)
        return getattr, (self._owner, self._name)

    def remove(self) -> None:
        self._run = None  # it would be a cycle, which keeps what hooks hold
        delattr(self._owner, self._name)
        if self._replaced is not None:
            setattr(self._owner, self._name, self._replaced)


class MethodHook:
    """Calls functions before and after every call of one method of one object, until removed.

    Args:
        owner: the object.
        name: of its method.
        before: called before the method.
        after: called after the method.
        around: makes the context in which the method runs.
    """

    def __init__(
        self,
        owner: nn.Module,
        name: str,
        *,
        before: Before | None = None,
        after: After | None = None,
        around: Around = nullcontext,
    ) -> None:
        self._hooked = _Hooked(owner, name, (before, after, around))
        setattr(owner, name, self._hooked)

    def remove(self) -> None:
        """Put the method back."""
        self._hooked.remove()
