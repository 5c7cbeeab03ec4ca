"""What hooks see of images while they are encoded, found again by the features that the images became."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from vtprune.attach.method_hooks import MethodHook
from vtprune.attach.recording import Recorded
from vtprune.attach.uncopied import Uncopied
from vtprune.attach.vision_tower import TowerAttention
from vtprune.attach.workers import ByWorker


class Handle(Protocol):
    """A hook that can be removed."""

    def remove(self) -> None:
        """Remove the hook."""


@dataclass(frozen=True)
class Encoding:
    """What hooks saw during one call of `get_image_features`.

    Attributes:
        arguments: of the call, by name, without the pixels.
        pixels: the input of the vision tower.
        vision: the input of the projector.
        tower: what the tower's attention got, where somebody listens to it.
    """

    arguments: dict[str, Any]
    pixels: torch.Tensor | None
    vision: torch.Tensor | None
    tower: list[Recorded] = field(default_factory=list)


@dataclass
class _Seen:
    """What hooks have seen in one thread: of the encoding that runs, and the latest that has ended."""

    latest: Encoding | None = None
    pixels: torch.Tensor | None = None
    vision: torch.Tensor | None = None
    tower: list[Recorded] = field(default_factory=list)


class Encodings:
    """Every encoding that hooks have seen, for as long as somebody holds the features that it made.

    Features that one thread has encoded can be used by another.
    """

    def __init__(self) -> None:
        self._by_features = WeakIdKeyDictionary()  # keys are compared by identity: tensors compare element by element
        self._seen = ByWorker(_Seen)

    @property
    def latest(self) -> Encoding | None:
        """The encoding that this thread has seen last; whoever uses it sets it to None when it is out of date."""
        return self._seen.mine().latest

    @latest.setter
    def latest(self, encoding: Encoding | None) -> None:
        self._seen.mine().latest = encoding

    def listen(
        self, core: nn.Module, vision_tower: nn.Module, projector: nn.Module, attention: TowerAttention | None
    ) -> list[Handle]:
        """Put hooks on the parts of a model.

        Args:
            attention: of the vision tower; None where no method needs it.
        """
        handles: list[Handle] = [
            MethodHook(core, "get_image_features", after=self._after_encoding),
            vision_tower.register_forward_pre_hook(Uncopied(self._before_tower), with_kwargs=True),
            projector.register_forward_pre_hook(Uncopied(self._before_projector), with_kwargs=True),
        ]
        if attention is not None:
            handles.append(attention.listen(lambda recorded: self._seen.mine().tower.append(recorded)))
        return handles

    def of(self, features: object | None) -> Encoding | None:
        """The encoding that made these features; None if there are no features, or hooks did not see them made."""
        if features is None:
            return None
        get: Callable[[object], Encoding | None] = self._by_features.get
        return get(identity_of(features))

    def _before_tower(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._seen.mine().pixels = args[0] if args else kwargs.get("pixel_values")

    def _before_projector(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A tensor of its own: where the projector gets the features' `last_hidden_state` itself, that must not be kept.
        self._seen.mine().vision = (args[0] if args else next(iter(kwargs.values()))).detach()

    def _after_encoding(self, arguments: dict[str, Any], output: Any) -> None:
        seen = self._seen.mine()
        sizes = {name: value for name, value in arguments.items() if name != "pixel_values"}
        seen.latest = Encoding(sizes, seen.pixels, seen.vision, list(seen.tower))
        seen.pixels = seen.vision = None
        seen.tower.clear()
        if not isinstance(output, tuple):  # the tuple of return_dict=False is no form in which a forward takes features
            self._by_features[identity_of(output)] = seen.latest


def identity_of(features: object) -> object:
    """The object that identifies image features, even after somebody has put them into another output.

    `generate` does so when it moves its inputs to the model's device, and so does accelerate. A tensor that is on the
    device already stays the same object, and `generate` does not move the vision tower's own output.
    """
    hidden = getattr(features, "last_hidden_state", None)
    return features if hidden is None else hidden
