"""The base classes of all pruning methods, and the registry that finds a method by its name."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import nn

from vtprune.attach import Attachment, Positions, attach
from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.budget import Keep, as_budget
from vtprune.stages import Budget, Stage, as_layer
from vtprune.validation import number


@dataclass(frozen=True)
class Method:
    """Base of all methods: a list of stages, each a ranking with a budget before a decoder layer.

    A method only says which image tokens stay. `vtprune.attach` drops the others and keeps positions,
    masks and caches right. Text tokens are never dropped. Derive a method that prunes once, by a budget,
    from `SingleStageMethod`; one with a budget and other stages from `BudgetedMethod`.

    A method is a frozen dataclass; its fields are its parameters. `__post_init__` checks them and
    turns them into plain Python values (see `vtprune.validation`).
    """

    name: ClassVar[str]
    """The name in tables, params files and commands."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    """The costly features that `select` and `merge` call; only these are recorded."""

    @classmethod
    def takes_keep(cls) -> bool:
        """Whether the method has a parameter `keep`. The unpruned model and VTW have none."""
        return any(field.name == "keep" for field in fields(cls))

    def stages(self) -> list[Stage]:
        """The pruning steps, by increasing layer."""
        raise NotImplementedError(f"{type(self).__name__} must override stages")

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        """Choose the tokens that stay; see `vtprune.stages.Ranking`."""
        raise NotImplementedError(f"{type(self).__name__} does not rank tokens")

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        """Turn dropped tokens into means; see `vtprune.stages.Ranking`. By default they are discarded."""
        return None

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the FLOPs of the matrix products in `select` and `merge`; by default there are none.

        Args:
            tokens: image tokens of the prompt.
            kept: image tokens that stay.
            widths: of the model's features.
        """
        return 0

    @classmethod
    def summary(cls) -> str:
        """What the method does, in one sentence: the first line of its docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    def signature(self) -> dict[str, Any]:
        """Return name and parameters as plain JSON data with sorted keys: the key of stored answers.

        Equal parameters have one signature: `radius=5` and `radius=np.float32(5)` give the same.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"name": self.name} | {name: _plain(values[name]) for name in sorted(values)}

    def attach(self, model: nn.Module, positions: Positions = "kept") -> Attachment:
        """Prune the prompts of `model` within a `with` block; see `vtprune.attach.Attachment`.

        Args:
            positions: "kept" or "reindexed", see `vtprune.attach.attach`.

        Raises:
            UserError: if the model's family is not supported, it lacks a layer of the method, or its positions cannot
                be reindexed.
        """
        return attach(self, model, positions=positions)


@dataclass(frozen=True)
class BudgetedMethod(Method):
    """Base of methods with a budget.

    Attributes:
        keep: a fraction in (0, 1], a count, or a budget. It is stored as a budget.
    """

    keep: Keep

    def __post_init__(self) -> None:
        """Convert `keep`. An override calls this and checks the other parameters."""
        object.__setattr__(self, "keep", as_budget(self.keep))

    @property
    def budget(self) -> Budget:
        """The value of `keep`: always a budget once the method exists."""
        return cast(Budget, self.keep)


@dataclass(frozen=True)
class SingleStageMethod(BudgetedMethod):
    """Base of methods that prune once, before one layer; they implement `select`.

    Attributes:
        keep: a fraction in (0, 1], a count, or a budget. It is stored as a budget.
        layer: the 0-based decoder layer before which tokens are dropped, or a fraction of the decoder's depth
            (see `vtprune.stages.layer_at`). Attention scores come from the layer before it.
    """

    layer: int | float = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layer", as_layer(self.layer))

    def stages(self) -> list[Stage]:
        return [Stage(self.layer, self, self.budget)]


def _plain(value: Any) -> Any:
    if isinstance(value, Budget):
        return value.signature()
    return list(value) if isinstance(value, tuple) else value


_METHODS: dict[str, type[Method]] = {}
M = TypeVar("M", bound=Method)


def register(cls: type[M]) -> type[M]:
    """Class decorator: add a method to the registry, under its `name`."""
    _METHODS[cls.name] = cls
    return cls


def methods() -> dict[str, type[Method]]:
    """Return all methods by name. The first line of a class's docstring says what the method does."""
    return dict(sorted(_METHODS.items()))


def get_method(name: str, **parameters: Any) -> Method:
    """Create the method with that name and those parameters.

    Raises:
        UserError: if there is no such method, or it has no such parameter, lacks one, or refuses a value.
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


def parse_method(name: str, keep: float | str | None = None, **parameters: Any) -> Method:
    """Create a method from what a command line or a params file says.

    As `get_method`, except that `keep` is always a fraction: 1 and "1" keep every token, as 1.0 does.

    Args:
        name: of the method.
        keep: a fraction in (0, 1], as a number or as text. None leaves the method's default. The method
            `none` accepts 1.
        parameters: the method's other parameters.

    Raises:
        UserError: if there is no such method, or it has no such parameter, lacks one, or refuses a value.
    """
    if keep is None:
        return get_method(name, **parameters)
    fraction = float(number("keep", _read_number(keep), "a fraction in (0, 1]"))
    if not 0 < fraction <= 1:
        raise UserError(f"keep must lie in (0, 1], not {fraction:g}")
    if name != "none":
        return get_method(name, keep=fraction, **parameters)
    if fraction != 1:
        raise UserError(f"method 'none' keeps every token, so keep must be 1, not {fraction:g}")
    return get_method(name, **parameters)


def _read_number(value: float | str) -> float | str:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
