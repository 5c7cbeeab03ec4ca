"""What is seen of images while they are encoded, found again by the features that they have become."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from vtprune.attach.method_hooks import Listener
from vtprune.attach.vision_tower import Tower


@dataclass(frozen=True)
class Encoding:
    """What was seen during one call of ``get_image_features``.

    Attributes:
        sizes: the images' sizes in pixels, if they were given.
        pixels: what the vision tower was given.
        seen: what the projector was given (``vision``) and, where somebody listens to them, the
            queries and keys of the tower's pictures.
    """

    sizes: torch.Tensor | None
    pixels: torch.Tensor | None
    seen: dict[str, torch.Tensor]


class Encodings:
    """Every encoding that is heard, for as long as somebody holds the features that it made.

    Attributes:
        current: the one heard last.
    """

    def __init__(self) -> None:
        self.current: Encoding | None = None
        self._made = WeakIdKeyDictionary()  # by `origin`; tensors compare element by element
        self._pixels: torch.Tensor | None = None
        self._seen: dict[str, torch.Tensor] = {}

    def listen(self, core: nn.Module, vision_tower: nn.Module, tower: Tower | None) -> list[Any]:
        """Hooks on a model's parts, to be removed; ``tower`` is None where nobody asks for its attention."""
        return [
            Listener(core, "get_image_features", after=self._after_encoding),
            vision_tower.register_forward_pre_hook(self._before_tower, with_kwargs=True),
            core.multi_modal_projector.register_forward_pre_hook(self._before_projector, with_kwargs=True),
            *([] if tower is None else tower.listen(self._seen)),
        ]

    def of(self, features: Any) -> Encoding | None:
        """The one that made these features; None if there are none, or it was not heard."""
        return None if features is None else self._made.get(origin(features))

    def _before_tower(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self._pixels = args[0] if args else kwargs.get("pixel_values")

    def _before_projector(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self._seen["vision"] = args[0] if args else next(iter(kwargs.values()))

    def _after_encoding(self, given: dict[str, Any], output: Any) -> None:
        self.current = Encoding(given.get("image_sizes"), self._pixels, dict(self._seen))
        self._pixels = None
        self._seen.clear()
        if not isinstance(output, tuple):  # of return_dict=False: no form in which a forward takes features
            self._made[origin(output)] = self.current


def origin(features: Any) -> Any:
    """What tells image features from others, even if somebody has put them into another output.

    ``generate`` does so when it moves its inputs to the model's device, and so does accelerate; a
    tensor that is there already stays the same, and ``generate`` leaves the tower's own output alone.
    """
    found = getattr(features, "last_hidden_state", None)
    return features if found is None else found
