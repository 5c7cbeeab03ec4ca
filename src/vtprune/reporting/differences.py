"""Paired differences of our own results, and what their intervals say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import fmt
from .inputs import Inputs, Measure
from .relations import BENCHMARKS, benchmark_label, method_label
from .tables import unpruned

HIGHER, LOWER, OPEN = "higher", "lower", "undecided"
WIDE = 10  # so many comparisons fit beside one another


@dataclass(frozen=True)
class Difference:
    """One paired difference; ``scaled`` is it in percent of the unpruned score, so that benchmarks share an axis."""

    pair: str
    benchmark: str
    measure: Measure
    scaled: tuple[float, float, float]

    @property
    def sign(self) -> str:
        if not self.measure.has_interval:
            return OPEN
        return HIGHER if self.measure.low > 0 else LOWER if self.measure.high < 0 else OPEN

    @property
    def text(self) -> str:
        return " ".join(part for part in self.parts if part)

    @property
    def parts(self) -> tuple[str, str]:
        between = fmt.interval(self.measure.low, self.measure.high, sign=True)
        return fmt.signed(self.measure.value), f"({between})" if between else ""


@dataclass(frozen=True)
class Comparison:
    """All benchmarks of one pair "A - B"."""

    pair: str
    items: tuple[Difference, ...]  # the mean is not among them
    mean: Difference | None

    @property
    def names(self) -> tuple[str, str]:
        a, _, b = self.pair.partition(" - ")
        return method_label(a), method_label(b)

    @property
    def label(self) -> str:
        return f"{self.names[0]} {fmt.MINUS} {self.names[1]}"

    @property
    def charted(self) -> bool:
        """A difference from the unpruned model is many times the others and would flatten their chart."""
        return "baseline" not in self.pair.split(" - ")

    def count(self, sign: str) -> int:
        return sum(d.sign == sign for d in self.items)


def comparisons(inputs: Inputs, experiment: str, model: str) -> list[Comparison]:
    """The paired differences of an experiment, in file order; benchmarks in the order of the paper's columns."""
    found = []
    for pair in inputs.results.pairs(experiment, model):
        items, mean = [], None
        for benchmark in [*BENCHMARKS.values(), "mean"]:
            measure = inputs.results.difference(experiment, model, pair, benchmark)
            if measure is None:
                continue
            # Against the unpruned score as a fixed number; the mean is in percent already.
            whole = 100.0 if benchmark == "mean" else unpruned(inputs, experiment, model, benchmark)
            scale = 100 / whole if whole else math.nan
            difference = Difference(pair, benchmark, measure,
                                    tuple(scale * v for v in (measure.value, measure.low, measure.high)))
            if benchmark == "mean":
                mean = difference
            else:
                items.append(difference)
        if items or mean:
            found.append(Comparison(pair, tuple(items), mean))
    return found


def table(found: list[Comparison]) -> tuple[list[str], list[tuple[str, list[Difference | None]]]]:
    """Heads and lines: a line for each benchmark, or for each comparison where these are many."""
    by_pair = [{d.benchmark: d for d in (*c.items, *((c.mean,) if c.mean else ()))} for c in found]
    order = [b for b in [*BENCHMARKS.values(), "mean"] if any(b in d for d in by_pair)]
    names = [c.label for c in found]
    if len(found) > WIDE:
        return [benchmark_label(b) for b in order], [(n, [d.get(b) for b in order]) for n, d in zip(names, by_pair, strict=True)]
    return names, [(benchmark_label(b), [d.get(b) for d in by_pair]) for b in order]
