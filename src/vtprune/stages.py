"""The stages of a pruning method: before a layer, a ranking says which image tokens stay, a budget how many."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from vtprune.errors import UserError
from vtprune.features import OF_LAYER_BEFORE, Features, FeatureWidths, Need
from vtprune.validation import number


@runtime_checkable
class Budget(Protocol):
    """Says how many image tokens stay. A method's `keep` can be any object with these two methods."""

    def count(self, features: Features) -> torch.Tensor:
        """The number of tokens of each row that stay: `[b]` integers that are not negative."""

    def signature(self) -> Any:
        """The budget as plain JSON data that identifies it."""


class Ranking(Protocol):
    """Says which image tokens stay."""

    @property
    def needs(self) -> frozenset[Need]:
        """The names of the costly features that `select` and `merge` call. A class attribute is enough.

        Those in `OF_LAYER_BEFORE` come from the layer before the stage's, so the stage needs such a layer.
        """

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        """Choose the tokens that stay.

        Args:
            features: the image tokens of `b` prompts, padded to `n`.
            counts: `[b]` number of tokens to choose in each row, at most as many as are valid.

        Returns:
            `[b, m]` indices into the `n` tokens, best first. Rows are filled up with -1.
        """

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        """Say which tokens are merged into means.

        Args:
            features: those that `select` got.
            kept: `[b, n]` bool, the tokens that `select` chose.

        Returns:
            `[b, n]` for each token, the index of the kept token whose mean it joins (its own index for that token
            itself); -1 if it joins none: a kept token stays unchanged, a dropped one is discarded. None if nothing is
            merged.
        """

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the FLOPs of the matrix products in `select` and `merge`.

        Args:
            tokens: image tokens of the prompt.
            kept: image tokens that stay.
            widths: of the model's features.
        """


class Goal(NamedTuple):
    """The goal of several stages that share a budget, `[b]` each.

    Attributes:
        tokens: number of image tokens before the first of these stages.
        kept: number of image tokens after the last of them.
    """

    tokens: torch.Tensor
    kept: torch.Tensor


@dataclass(frozen=True)
class Stage:
    """One pruning step: before a decoder layer, `ranking` chooses as many tokens as `budget` says.

    Several stages can share a budget and reach it in equal ratios. The budget is counted once, on the tokens before the
    first of them. With n tokens and a budget of k, stage i of m leaves n (k / n)^(i / m) tokens, rounded down. So the
    last stage leaves k, and no count is above the count before it.

    Attributes:
        layer: the layer before which tokens are dropped, as `layer_at` takes it.
        ranking: which tokens stay.
        budget: how many tokens stay.
        step: number of the stage among the stages that share the budget, from 1.
        steps: how many stages share the budget.
        shifts: whether the stage moves to the next layer where an earlier stage of the method has its layer already, as
            fractions of a shallow decoder's depth may have it.
    """

    layer: int | float
    ranking: Ranking
    budget: Budget
    step: int = 1
    steps: int = 1
    shifts: bool = False

    @property
    def least_layer(self) -> int:
        """The lowest layer before which the stage can prune: attention is computed in the layer before it."""
        return int(bool(OF_LAYER_BEFORE & self.ranking.needs))

    def counts(self, features: Features, goal: Goal | None = None) -> tuple[torch.Tensor, Goal]:
        """The number of tokens that stay, `[b]`, and the goal of the later stages with this budget.

        Args:
            goal: as the stage before returned it. The first stage with the budget makes it.
        """
        if self.step == 1:
            tokens = features.valid.sum(dim=1)
            goal = Goal(tokens, torch.minimum(self.budget.count(features).to(tokens), tokens))
        if goal is None:
            raise UserError(f"stage {self.step} of {self.steps} with one budget must follow a stage with that budget")
        if self.step == self.steps:
            return goal.kept, goal
        pairs = zip(goal.tokens.tolist(), goal.kept.tolist(), strict=True)
        counts = [_floor_root(n ** (self.steps - self.step) * k**self.step, self.steps) for n, k in pairs]
        return goal.kept.new_tensor(counts), goal


def _floor_root(number: int, degree: int) -> int:
    """The root of an integer, rounded down. It is exact, unlike a power of floats."""
    root: int = round(number ** (1 / degree))
    return root if root**degree <= number else root - 1


class Pruner(Protocol):
    """A pruning method, as attaching uses it."""

    @property
    def name(self) -> str:
        """The name for messages. A class attribute is enough."""

    def stages(self) -> Sequence[Stage]:
        """The pruning steps, by increasing layer."""


def as_layer(layer: int | float) -> int | float:
    """The same layer as a Python number.

    Raises:
        UserError: unless it is a layer that `layer_at` takes.
    """
    wanted = "a whole number of at least 0, or a fraction of the decoder's depth in (0, 1)"
    layer = number("layer", layer, wanted)
    if not (layer >= 0 if isinstance(layer, int) else 0 < layer < 1):
        raise UserError(f"layer must be {wanted}, not {layer!r}")
    return layer


def layer_at(layer: int | float, depth: int) -> int:
    """The 0-based layer of a decoder with `depth` layers that a method's `layer` names.

    The type decides, as with `keep`: an integer is that layer; a fraction in (0, 1) is that part of the depth, rounded
    to the nearest layer (halves up), from layer 1 to the last one. So a setting that was published for 32 layers
    carries over to other depths: 5 / 32 is layer 5 of 32, 6 of 40, 1 of 6.
    """
    layer = as_layer(layer)
    return layer if isinstance(layer, int) else max(1, min(depth - 1, int(layer * depth + 0.5)))


def placed(method: Pruner, depth: int) -> dict[int, Stage]:
    """The stages of a method by their layers in a decoder of `depth` layers, ascending.

    Raises:
        UserError: if the decoder lacks a layer, two stages fall on one layer, or the layers do not ascend.
    """
    stages: dict[int, Stage] = {}
    for stage in method.stages():
        layer, least = layer_at(stage.layer, depth), stage.least_layer
        if stage.shifts:
            layer = max(layer, max(stages, default=-1) + 1)
        if not least <= layer < depth:
            raise UserError(
                f"layer must lie between {least} and {depth - 1} for {method.name} "
                f"on this model of {depth} layers, not be {layer}"
            )
        if layer in stages:
            raise UserError(
                f"{method.name} has two stages before layer {layer} of this model of {depth} layers, but each stage "
                "needs its own layer"
            )
        if layer < max(stages, default=0):
            raise UserError(
                f"the stages of {method.name} must be in the order of their layers, but on this model of {depth} "
                f"layers layer {layer} comes after layer {max(stages)}"
            )
        stages[layer] = replace(stage, layer=layer)
    return stages
