"""What a pruning method asks of the model that it is attached to: stages, each a ranking with a budget before a layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, Need
from vtprune.validation import number


@runtime_checkable
class Budget(Protocol):
    """Anything with these two methods can be given as a method's ``keep``."""

    def count(self, features: Features) -> torch.Tensor:
        """How many of each row's valid tokens stay: ``[b]`` integers, not negative."""

    def signature(self) -> Any:
        """What identifies the budget, as plain JSON data."""


class Ranking(Protocol):
    """Says which image tokens stay."""

    @property
    def needs(self) -> frozenset[Need]:
        """The names of the costly features that ``select`` and ``merge`` call. A class attribute will do.

        ``attention`` and ``received`` come from the layer before the stage's, so the stage needs one.
        """

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

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the FLOPs of the matrix products in ``select`` and ``merge``.

        Args:
            tokens: image tokens of the prompt.
            kept: image tokens that stay.
            widths: of the model's features.
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
        return int("attention" in self.ranking.needs or "received" in self.ranking.needs)

    def counts(self, features: Features, goal: Goal | None = None) -> tuple[torch.Tensor, Goal]:
        """``[b]`` how many tokens stay, and what the later stages with this budget go towards.

        Args:
            goal: as the stage before returned it; the first one makes it anew.
        """
        if self.step == 1:
            tokens = features.valid.sum(dim=1)
            goal = Goal(tokens, torch.minimum(self.budget.count(features).to(tokens), tokens))
        if goal is None:
            raise UserError(f"stage {self.step} of {self.steps} with one budget has none before it")
        if self.step == self.steps:
            return goal.kept, goal
        pairs = zip(goal.tokens.tolist(), goal.kept.tolist(), strict=True)
        counts = [_root(n ** (self.steps - self.step) * k**self.step, self.steps) for n, k in pairs]
        return goal.kept.new_tensor(counts), goal


def _root(number: int, degree: int) -> int:
    """The root of a whole number, rounded down: exact, unlike a power of floats."""
    root: int = round(number ** (1 / degree))
    return root if root**degree <= number else root - 1


class Pruner(Protocol):
    """A pruning method, as the attaching side sees it."""

    @property
    def name(self) -> str:
        """The name for messages. A class attribute will do."""

    def stages(self) -> "Sequence[Stage]":
        """The pruning steps, by increasing layer."""


def as_layer(layer: int | float) -> int | float:
    """The same layer as a Python number. Raises ``ValueError`` unless it is one as :func:`layer_at` takes it."""
    wanted = "a whole number of at least 0, or a fraction of the decoder's depth in (0, 1)"
    layer = number("layer", layer, wanted)
    if not (layer >= 0 if isinstance(layer, int) else 0 < layer < 1):
        raise UserError(f"layer must be {wanted}, not {layer!r}")
    return layer


def layer_at(layer: int | float, depth: int) -> int:
    """The 0-based layer that a method's ``layer`` stands for in a decoder of ``depth`` layers.

    As with ``keep``, the type decides: a whole number is that layer, a fraction in (0, 1) that part
    of the depth, rounded to the nearest layer (halves up) from 1 to the last one. So a setting that
    was published for 32 layers carries over: 5 / 32 is layer 5 of 32, 6 of 40, 1 of 6.
    """
    layer = as_layer(layer)
    return layer if isinstance(layer, int) else max(1, min(depth - 1, int(layer * depth + 0.5)))


def placed(method: Pruner, depth: int) -> dict[int, Stage]:
    """A method's stages by their layers in a decoder of ``depth`` layers, from the lowest on.

    Raises:
        ValueError: if there is no such layer, or not one for each stage, or they do not go up.
    """
    found: dict[int, Stage] = {}
    for stage in method.stages():
        layer, least = layer_at(stage.layer, depth), stage.least_layer
        if not least <= layer < depth:
            raise UserError(
                f"layer must lie between {least} and {depth - 1} for {method.name} "
                f"on this model of {depth} layers, not be {layer}"
            )
        if layer in found:
            raise UserError(
                f"{method.name} has two stages before layer {layer} of this model's {depth}; "
                "each stage needs a layer of its own"
            )
        if layer < max(found, default=0):
            raise UserError(
                f"the stages of {method.name} must go up the layers, but on this model of {depth} layers one before "
                f"layer {layer} follows one before layer {max(found)}"
            )
        found[layer] = replace(stage, layer=layer)
    return found
