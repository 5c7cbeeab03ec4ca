"""Models that somebody compiled or wrapped: the model itself, and its compiled parts as they are written."""

from __future__ import annotations

import warnings
from typing import Any, cast

from torch import nn

from vtprune.attach.method_hooks import MethodHook
from vtprune.errors import UserError


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside of PEFT's adapters, `torch.compile` and `DistributedDataParallel`; other modules as they are.

    Raises:
        UserError: for a wrapper that would not call the model as it is.
    """
    inner: Any = None
    kind = type(model).__name__
    if kind == "DataParallel":
        raise UserError(
            "DataParallel copies the model for each call, and copies cannot be pruned: attach to its module and call "
            "that"
        )
    if kind == "OptimizedModule":
        inner = cast(Any, model)._orig_mod
    elif kind == "DistributedDataParallel":
        inner = model.module
    elif hasattr(model, "get_base_model"):
        if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
            raise UserError(
                f"a {kind} with virtual tokens (prompt or prefix tuning) cannot be pruned, because its prompts reach "
                "the model without input_ids: take adapters that change weights, such as LoRA"
            )
        inner = cast(Any, model).get_base_model()
    return model if inner is None or inner is model else unwrapped(cast(nn.Module, inner))


class Uncompiled:
    """Lets the compiled parts of a model run as they are written, until removed.

    What was compiled before hooks were added runs without them, and torch does not notice (its option
    `skip_nnmodule_hook_guards`). A function outside the model that was compiled with the model in it does notice that
    `core.forward` has changed.

    Args:
        model: the model, without wrappers.
        core: the module in which nothing may be compiled.
    """

    def __init__(self, model: nn.Module, core: nn.Module) -> None:
        self._calls: list[tuple[nn.Module, Any]] = []
        self._forwards: list[tuple[nn.Module, Any]] = []
        self._children: list[tuple[nn.Module, str, nn.Module]] = []
        for module in list(model.modules()):
            if module._compiled_call_impl is not None:
                self._calls.append((module, module._compiled_call_impl))
                module._compiled_call_impl = None
            forward: Any = vars(module).get("forward")
            if hasattr(forward, "_torchdynamo_orig_callable") and type(module).__name__ != "OptimizedModule":
                self._forwards.append((module, forward))
                cast(Any, module).forward = forward._torchdynamo_orig_callable
            for name, child in module.named_children():
                if type(child).__name__ == "OptimizedModule":
                    self._children.append((module, name, child))
                    setattr(module, name, unwrapped(child))
        if self._calls or self._forwards or self._children:
            warnings.warn(
                "parts of the model were compiled; they run uncompiled while a method is attached", stacklevel=4
            )
        self._core = MethodHook(core, "forward")

    def remove(self) -> None:
        """Give the parts their compiled forms back."""
        self._core.remove()
        while self._calls:
            module, call = self._calls.pop()
            module._compiled_call_impl = call
        while self._forwards:
            module, forward = self._forwards.pop()
            cast(Any, module).forward = forward
        while self._children:
            parent, name, child = self._children.pop()
            setattr(parent, name, child)
