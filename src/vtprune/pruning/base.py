"""What every pruning method is: a list of stages, each a ranking with a budget before a layer."""

from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch

from vtprune.pruning.budget import Budget, as_budget, as_keep
from vtprune.pruning.features import Features
from vtprune.pruning.parameters import make_plain, number

if TYPE_CHECKING:
    from vtprune.models.attach import Attachment


class Ranking(Protocol):
    """Says which image tokens stay."""

    uses_attention: bool
    """Whether ``select`` asks for ``features.attention()``; needs a layer before the stage's."""

    uses_received: bool
    """Whether ``select`` asks for ``features.received()``; needs a layer before the stage's."""

    uses_tower: bool
    """Whether ``select`` or ``merge`` asks for ``features.tower()``."""

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        """Choose tokens.

        Args:
            features: the image tokens of ``b`` prompts, padded to ``n``.
            counts: ``[b]`` how many to choose of each row, at most as many as are valid.

        Returns:
            ``[b, m]`` indices into the ``n`` tokens, best first, rows filled up with -1.
        """

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        """Say what becomes of the tokens that do not stay.

        Args:
            features: as ``select`` was given them.
            kept: ``[b, n]`` bool, what it chose.

        Returns:
            ``[b, n]`` for each token the kept one (itself, if it is that) where the mean stands that
            it goes into; -1 for kept tokens that stay as they are, and for dropped ones that are
            gone. None if there are no means.
        """


class Goal(NamedTuple):
    """What stages that share a budget go towards, ``[b]`` each.

    Attributes:
        tokens: image tokens before the first of them.
        kept: how many of these the budget leaves.
    """

    tokens: torch.Tensor
    kept: torch.Tensor


@dataclass(frozen=True)
class Stage:
    """One pruning step: before decoder ``layer`` (see :func:`layer_at`), ``ranking`` fills ``budget``.

    Several stages can share a budget and go there in equal ratios: it is counted once, of the tokens
    before the first of them, and of n tokens and a budget of k the i-th of m stages leaves
    n (k / n)^(i / m), rounded down. So the last one leaves k, and no count is above the one before.

    Attributes:
        step, steps: which of the stages with that budget it is, counted from 1, and how many there are.
    """

    layer: int | float
    ranking: Ranking
    budget: Budget
    step: int = 1
    steps: int = 1

    @property
    def least_layer(self) -> int:
        """The lowest layer that it can stand before: scores of attention need one before it."""
        return int(self.ranking.uses_attention or self.ranking.uses_received)

    def counts(self, features: Features, goal: Goal | None = None) -> tuple[torch.Tensor, Goal]:
        """``[b]`` how many tokens stay, and what the later stages with this budget go towards.

        Args:
            goal: as the stage before returned it; the first one makes it anew.
        """
        if self.step == 1:
            tokens = features.valid.sum(dim=1)
            goal = Goal(tokens, torch.minimum(self.budget.count(features).to(tokens), tokens))
        if goal is None:
            raise ValueError(f"stage {self.step} of {self.steps} with one budget has none before it")
        if self.step == self.steps:
            return goal.kept, goal
        pairs = zip(goal.tokens.tolist(), goal.kept.tolist(), strict=True)
        counts = [_root(n ** (self.steps - self.step) * k**self.step, self.steps) for n, k in pairs]
        return goal.kept.new_tensor(counts), goal


def _root(number: int, degree: int) -> int:
    """The root of a whole number, rounded down: exact, unlike a power of floats."""
    root = round(number ** (1 / degree))
    return root if root**degree <= number else root - 1


@dataclass(frozen=True)
class Method:
    """Base of all methods. A method of one stage implements ``select``; others override ``stages``.

    The base of the attaching side owns compaction, positions, masks and caches; a method only says
    which image tokens stay. Text tokens are never dropped.
    """

    name: ClassVar[str]
    uses_attention: ClassVar[bool] = False
    uses_received: ClassVar[bool] = False
    uses_tower: ClassVar[bool] = False

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

    def attach(self, model: Any) -> "Attachment":
        """Prune ``model``'s prompts within a ``with`` block; see :class:`vtprune.models.Attachment`.

        Raises:
            ValueError: if the model's family is not supported or has no such layer.
        """
        from vtprune.models import attach  # here, so that this package needs torch alone

        return attach(self, model)


def as_layer(layer: int | float) -> int | float:
    """The same layer as a Python number. Raises ``ValueError`` unless it is one as :func:`layer_at` takes it."""
    wanted = "a whole number of at least 0, or a fraction of the decoder's depth in (0, 1)"
    layer = number("layer", layer, wanted)
    if not (layer >= 0 if isinstance(layer, int) else 0 < layer < 1):
        raise ValueError(f"layer must be {wanted}, not {layer!r}")
    return layer


def layer_at(layer: int | float, depth: int) -> int:
    """The 0-based layer that a method's ``layer`` stands for in a decoder of ``depth`` layers.

    As with ``keep``, the type decides: a whole number is that layer, a fraction in (0, 1) that part
    of the depth, rounded to the nearest layer (halves up) from 1 to the last one. So a setting that
    was published for 32 layers carries over: 5 / 32 is layer 5 of 32, 6 of 40, 1 of 6.
    """
    layer = as_layer(layer)
    return layer if isinstance(layer, int) else max(1, min(depth - 1, int(layer * depth + 0.5)))


def placed(method: Method, depth: int) -> dict[int, Stage]:
    """A method's stages by their layers in a decoder of ``depth`` layers, from the lowest on.

    Raises:
        ValueError: if there is no such layer, or not one for each stage, or they do not go up.
    """
    found: dict[int, Stage] = {}
    for stage in method.stages():
        layer, least = layer_at(stage.layer, depth), stage.least_layer
        if not least <= layer < depth:
            raise ValueError(
                f"layer must lie between {least} and {depth - 1} for {method.name} "
                f"on this model of {depth} layers, not be {layer}"
            )
        if layer in found:
            raise ValueError(
                f"{method.name} has two stages before layer {layer} of this model's {depth}; "
                "each stage needs a layer of its own"
            )
        if layer < max(found, default=0):
            raise ValueError(
                f"the stages of {method.name} must go up the layers, but on this model of {depth} layers one before "
                f"layer {layer} follows one before layer {max(found)}"
            )
        found[layer] = replace(stage, layer=layer)
    return found


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
