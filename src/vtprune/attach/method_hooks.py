"""Hooks on the methods of a model, like the hooks that torch has on a module's forward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedModel

Before = Callable[[dict[str, Any]], None]
"""Gets the arguments of a call by their names."""

After = Callable[[dict[str, Any], Any], None]
"""Gets the arguments of a call by their names, and its result."""


class MethodHook:
    """Calls functions before and after every call of one method of one object, until removed.

    Args:
        owner: the object.
        name: of its method.
        before: called before the method.
        after: called after the method.
    """

    def __init__(
        self, owner: nn.Module, name: str, *, before: Before | None = None, after: After | None = None
    ) -> None:
        self._owner, self._name = owner, name
        self._replaced = vars(owner).get(name)  # an attribute of the object itself, not of its class
        method = getattr(owner, name)
        signature = inspect.signature(method)

        @functools.wraps(method)
        def hooked(*args: Any, **kwargs: Any) -> Any:
            arguments = signature.bind(*args, **kwargs).arguments
            if before is not None:
                before(arguments)
            result = method(*args, **kwargs)
            if after is not None:
                after(arguments, result)
            return result

        setattr(owner, name, hooked)

    def remove(self) -> None:
        """Put the method back."""
        delattr(self._owner, self._name)
        if self._replaced is not None:
            setattr(self._owner, self._name, self._replaced)


# Options of `generate` with which the forward of a prompt holds more than the prompt (drafts), or less (chunks).
_PARTIAL = ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp", "prefill_chunk_size")


def refuse_partial_prompts(model: PreTrainedModel) -> MethodHook:
    """Let `generate` raise `UserError` where it would not pass each prompt alone and in one forward."""

    def before(arguments: dict[str, Any]) -> None:
        config = arguments.get("generation_config") or model.generation_config
        options = {**arguments.get("kwargs", {}), **arguments}
        for name in _PARTIAL:
            if options.get(name, getattr(config, name, None)):
                raise UserError(
                    f"generate with {name} is not supported while a method is attached, because pruning needs each "
                    f"prompt alone and in one forward: leave {name} out"
                )

    return MethodHook(model, "generate", before=before)
