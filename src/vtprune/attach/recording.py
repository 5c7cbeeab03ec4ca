"""Recording the queries and keys of attention layers, as their kernels get them: rotated, normalised, split by head."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from vtprune.attach.transformers_internals import (
    attention_modules,
    configured_kernel,
    register_kernel,
    with_configuration,
    with_kernel,
)
from vtprune.attach.uncopied import itself


@dataclass(frozen=True)
class Recorded:
    """What one call of an attention kernel got.

    Attributes:
        query: `[b, heads, queries, head_dim]`.
        key: `[b, kv_heads, length, head_dim]`.
        scaling: what the products of queries and keys are multiplied by.
        mask: the call's attention mask, in the form that the kernel takes; None if there is none.
        ends: `[sequences + 1]` where the sequences begin and end that are packed into one row; None for one a row.
        special: what else changes the weights, in words; None if nothing does.
    """

    query: torch.Tensor
    key: torch.Tensor
    scaling: float
    mask: torch.Tensor | None = None
    ends: torch.Tensor | None = None
    special: str | None = None

    @classmethod
    def of(cls, query: torch.Tensor, key: torch.Tensor, arguments: dict[str, Any]) -> Recorded:
        """The record of a call with these states and further arguments, by name."""
        scaling = arguments.get("scaling")
        return cls(
            query,
            key,
            query.shape[-1] ** -0.5 if scaling is None else scaling,
            arguments.get("attention_mask"),
            arguments.get("cu_seq_lens_q"),
            _special(arguments),
        )

    def to(self, device: torch.device) -> Recorded:
        """The same record on another device."""
        return Recorded(self.query.to(device), self.key.to(device), self.scaling, self.mask, self.ends, self.special)

    def with_last_query(self) -> Recorded:
        """The same record with the query of the last token alone. The copy lets the others be freed."""
        return Recorded(self.query[:, :, -1:].clone(), self.key, self.scaling, None, self.ends, self.special)


Store = Callable[[Recorded], None]
"""Gets what each call of a kernel got, before the kernel runs."""


class Recording:
    """Records the attention of one layer until removed.

    A module of transformers looks its kernel up by the name in its configuration. While this lasts, the layer's
    attention has a configuration of its own, with the name of a kernel that records and then calls the configured one.
    No other layer, no mask and no other model is touched, so that several models can be recorded at once.

    Args:
        layer: the layer; all attention modules in it are recorded.
        store: gets the records.
    """

    def __init__(self, layer: nn.Module, store: Store) -> None:
        self._configured: dict[nn.Module, Any] = {}
        self._store = store
        for module in attention_modules(layer):
            configured = cast(Any, module).config
            self._configured[module] = configured
            _RECORDINGS[module] = (store, configured)
            name = _PREFIX + str(configured._attn_implementation)
            register_kernel(name, _record, like=configured._attn_implementation)
            recording = with_kernel(configured, name)
            # A copy of the model gets a copy of the configured one.
            vars(recording)["__reduce_ex__"] = partial(_reduced, configured)
            cast(Any, module).config = recording

    def remove(self) -> None:
        """Give the attention its configuration back."""
        while self._configured:
            module, configured = self._configured.popitem()
            cast(Any, module).config = configured
            _RECORDINGS.pop(module, None)


_PREFIX = "vtprune_recording_"
_RECORDINGS: weakref.WeakKeyDictionary[nn.Module, tuple[Store, Any]] = weakref.WeakKeyDictionary()


def _reduced(configured: Any, protocol: int) -> tuple[Callable[[Any], Any], tuple[Any]]:
    return itself, (configured,)


def _record(module: nn.Module, query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """The kernel that records: it has the signature of every kernel of transformers."""
    store, configured = _RECORDINGS.get(module, (None, None))
    if configured is None:  # a shallow copy of the module that was made within the block
        recording = cast(Any, module).config
        configured = with_kernel(recording, recording._attn_implementation.removeprefix(_PREFIX))
    if store is not None:
        named = dict(zip(("value", "attention_mask"), args, strict=False))
        store(Recorded.of(query, key, {**named, **kwargs}))
    # Kernels read the configuration of the module that they get.
    return configured_kernel(module, configured)(with_configuration(module, configured), query, key, *args, **kwargs)


def _special(arguments: dict[str, Any]) -> str | None:
    """What in a call makes its weights other than a softmax of scaled products; None if nothing does."""
    if arguments.get("sliding_window") is not None:
        return "attends within a sliding window"
    if arguments.get("softcap") is not None:
        return "caps its logits"
    if arguments.get("s_aux") is not None or arguments.get("sinks") is not None:
        return "has attention sinks"
    return None
