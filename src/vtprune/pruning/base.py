"""What every pruning method is: a list of stages, each a ranking with a budget before a layer."""

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch

from vtprune.pruning.budget import Budget, as_budget
from vtprune.pruning.features import Features

if TYPE_CHECKING:
    from vtprune.models.attach import Attachment


class Ranking(Protocol):
    """Says which image tokens stay."""

    uses_attention: bool
    """Whether ``select`` asks for ``features.attention()``; needs a layer before the stage's."""

    uses_received: bool
    """Whether ``select`` asks for ``features.received()``; needs a layer before the stage's."""

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        """Choose tokens.

        Args:
            features: the image tokens of ``b`` prompts, padded to ``n``.
            counts: ``[b]`` how many to choose of each row, at most as many as are valid.

        Returns:
            ``[b, m]`` indices into the ``n`` tokens, best first, rows filled up with -1.
        """


@dataclass(frozen=True)
class Stage:
    """One pruning step: before decoder ``layer`` (see :func:`layer_at`), ``ranking`` fills ``budget``."""

    layer: int | float
    ranking: Ranking
    budget: Budget


@dataclass(frozen=True)
class Method:
    """Base of all methods. A method of one stage implements ``select``; others override ``stages``.

    The base of the attaching side owns compaction, positions, masks and caches; a method only says
    which image tokens stay. Text tokens are never dropped.
    """

    name: ClassVar[str]
    uses_attention: ClassVar[bool] = False
    uses_received: ClassVar[bool] = False

    def stages(self) -> list[Stage]:
        """The pruning steps, by increasing layer."""
        return [Stage(self.layer, self, as_budget(self.keep))]  # type: ignore[attr-defined]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        """See :class:`Ranking`."""
        raise NotImplementedError(f"{type(self).__name__} does not rank tokens")

    def __post_init__(self) -> None:
        if hasattr(self, "keep"):
            as_budget(self.keep)
        layer = getattr(self, "layer", 0)
        whole = isinstance(layer, int) and not isinstance(layer, bool) and layer >= 0
        if not whole and not (isinstance(layer, float) and 0 < layer < 1):
            raise ValueError(
                "layer must be a whole number of at least 0, or a fraction of the decoder's depth in (0, 1), "
                f"not {layer!r}"
            )

    def signature(self) -> dict[str, Any]:
        """Name and all parameters as plain JSON data, keys sorted: a key for stored predictions."""
        parameters = {}
        for field in fields(self):
            value = getattr(self, field.name)
            # One spelling per value: radius=5 and radius=5.0 are the same method.
            parameters[field.name] = float(value) if field.type is float else value
        if "keep" in parameters:
            parameters["keep"] = as_budget(parameters["keep"]).signature()
        return {"name": self.name, **dict(sorted(parameters.items()))}

    def attach(self, model: Any) -> "Attachment":
        """Prune ``model``'s prompts within a ``with`` block; see :class:`vtprune.models.Attachment`.

        Raises:
            ValueError: if the model's family is not supported or has no such layer.
        """
        from vtprune.models import attach  # here, so that this package needs torch alone

        return attach(self, model)


def layer_at(layer: int | float, depth: int) -> int:
    """The 0-based layer that a method's ``layer`` stands for in a decoder of ``depth`` layers.

    As with ``keep``, the type decides: a whole number is that layer, a fraction in (0, 1) that part
    of the depth, rounded to the nearest layer (halves up) from 1 to the last one. So a setting that
    was published for 32 layers carries over: 5 / 32 is layer 5 of 32, 6 of 40, 1 of 6.
    """
    return layer if isinstance(layer, int) else max(1, min(depth - 1, int(layer * depth + 0.5)))


_METHODS: dict[str, type[Method]] = {}


def register(cls: type[Method]) -> type[Method]:
    """Class decorator: make a method known under its ``name``."""
    _METHODS[cls.name] = cls
    return cls


def methods() -> dict[str, type[Method]]:
    """All methods by name; the first line of a class's docstring says what it does."""
    return dict(sorted(_METHODS.items()))


def get_method(name: str, **parameters: Any) -> Method:
    """The method of that name with those parameters.

    Raises:
        ValueError: if there is no such method, or it has no such parameter, lacks one, or refuses one.
    """
    if name not in _METHODS:
        raise ValueError(f"there is no method {name!r}; the methods are {', '.join(sorted(_METHODS))}")
    cls = _METHODS[name]
    known = {field.name: field for field in fields(cls)}
    unknown = [key for key in parameters if key not in known]
    if unknown:
        takes = ", ".join(known) or "no parameters"
        raise ValueError(f"method {name!r} has no parameter {unknown[0]!r}; it takes {takes}")
    for key, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and key not in parameters:
            raise ValueError(f"method {name!r} needs the parameter {key!r}")
    return cls(**parameters)


def ranks(scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The place of each token in its row from the highest score (0) on, ties to the lowest index.

    ``[b, n]`` like ``scores``; tokens that are not valid come after all others.
    """
    order = scores.float().masked_fill(~valid, float("-inf")).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def highest(scores: torch.Tensor, counts: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The ``counts`` highest scores of each row, ties to the lowest index: ``[b, m]``, filled with -1."""
    width = int(counts.max()) if len(counts) else 0
    order = scores.float().masked_fill(~valid, float("-inf")).argsort(dim=1, descending=True, stable=True)
    slots = torch.arange(width, device=scores.device)
    return order[:, :width].masked_fill(slots >= counts[:, None], -1)
