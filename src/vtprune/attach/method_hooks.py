"""Listening to methods of a model, as hooks listen to a module's forward."""

import functools
import inspect
from typing import Any

from torch import nn

from vtprune.errors import UserError


class Listener:
    """Tells of every call of one object's method, until removed.

    Args:
        before: is given the arguments by their names, first.
        after: is given these and the result.
    """

    def __init__(self, owner: nn.Module, name: str, *, before: Any = None, after: Any = None) -> None:
        self.owner, self.name, self.own = owner, name, vars(owner).get(name)
        method = getattr(owner, name)
        signature = inspect.signature(method)

        @functools.wraps(method)
        def listened(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            if before is not None:
                before(given)
            result = method(*args, **kwargs)
            if after is not None:
                after(given, result)
            return result

        setattr(owner, name, listened)

    def remove(self) -> None:
        delattr(self.owner, self.name)
        if self.own is not None:
            setattr(self.owner, self.name, self.own)


# Options of `generate` with which a prompt's forward holds more than the prompt (drafts), or less.
_PARTIAL = ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp", "prefill_chunk_size")


def refuse_partial_prompts(model: nn.Module) -> Listener:
    """Let ``generate`` raise ``ValueError`` where it would not give each prompt whole, and alone, in one forward."""

    def before(given: dict[str, Any]) -> None:
        config = given.get("generation_config") or model.generation_config
        options = {**given.get("kwargs", {}), **given}
        for name in _PARTIAL:
            if options.get(name, getattr(config, name, None)):
                raise UserError(
                    f"generate with {name} is not supported while a method is attached, which needs each prompt whole and alone in one forward: "
                    "leave it out"
                )

    return Listener(model, "generate", before=before)
