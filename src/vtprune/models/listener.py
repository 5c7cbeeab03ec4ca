"""Listening to a method of an object, as hooks listen to a module's forward."""

import functools
import inspect
from typing import Any

from torch import nn


class Listener:
    """Tells ``heard(arguments, result)`` of every call of one object's method, until removed."""

    def __init__(self, owner: nn.Module, name: str, heard: Any) -> None:
        self.owner, self.name, self.before = owner, name, vars(owner).get(name)
        method = getattr(owner, name)
        signature = inspect.signature(method)

        @functools.wraps(method)
        def listened(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            heard(signature.bind(*args, **kwargs).arguments, result)
            return result

        setattr(owner, name, listened)

    def remove(self) -> None:
        delattr(self.owner, self.name)
        if self.before is not None:
            setattr(self.owner, self.name, self.before)
