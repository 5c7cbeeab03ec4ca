"""What every pruning method is: a list of stages, each a ranking with a budget before a layer."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import torch

from vtprune.attach import Attachment, attach
from vtprune.errors import UserError
from vtprune.features import Features, Need
from vtprune.methods.budget import as_budget, as_keep
from vtprune.stages import Stage, as_layer
from vtprune.validation import make_plain


@dataclass(frozen=True)
class Method:
    """Base of all methods. A method of one stage implements ``select``; others override ``stages``.

    The base of the attaching side owns compaction, positions, masks and caches; a method only says
    which image tokens stay. Text tokens are never dropped.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()
    """The costly features that `select` and `merge` call; only these are recorded."""

    @classmethod
    def takes_keep(cls) -> bool:
        """Whether its parameter ``keep`` says how many tokens stay: neither the unpruned model nor VTW has it."""
        return any(field.name == "keep" for field in fields(cls))

    def stages(self) -> list[Stage]:
        """The pruning steps, by increasing layer."""
        return [Stage(self.layer, self, as_budget(self.keep))]  # type: ignore[attr-defined]

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        """See :class:`Ranking`."""
        raise NotImplementedError(f"{type(self).__name__} does not rank tokens")

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        """See :class:`Ranking`; by default dropped tokens are gone."""
        return None

    def __post_init__(self) -> None:
        """Make parameters plain Python values, and check them; what overrides it calls it first."""
        make_plain(self)
        if hasattr(self, "keep"):
            object.__setattr__(self, "keep", as_keep(self.keep))
            as_budget(self.keep)
        if hasattr(self, "layer"):
            object.__setattr__(self, "layer", as_layer(self.layer))

    def signature(self) -> dict[str, Any]:
        """Name and all parameters as plain JSON data, keys sorted: a key for stored predictions.

        One spelling per value: ``radius=5`` and ``radius=np.float32(5)`` are the same method.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        parameters = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        if "keep" in parameters:
            parameters["keep"] = as_budget(parameters["keep"]).signature()
        return {"name": self.name, **dict(sorted(parameters.items()))}

    def attach(self, model: Any) -> Attachment:
        """Prune ``model``'s prompts within a ``with`` block; see :class:`vtprune.attach.Attachment`.

        Raises:
            ValueError: if the model's family is not supported or has no such layer.
        """
        return attach(self, model)


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
        raise UserError(f"there is no method {name!r}; the methods are {', '.join(sorted(_METHODS))}")
    cls = _METHODS[name]
    known = {field.name: field for field in fields(cls)}
    unknown = [key for key in parameters if key not in known]
    if unknown:
        takes = ", ".join(known) or "no parameters"
        raise UserError(f"method {name!r} has no parameter {unknown[0]!r}; it takes {takes}")
    for key, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and key not in parameters:
            raise UserError(f"method {name!r} needs the parameter {key!r}")
    return cls(**parameters)
