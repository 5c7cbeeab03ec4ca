"""Paired differences of our own results, and what their intervals say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report import fmt
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.results import Inputs, Measure
from vtstudy.report.tables import unpruned

HIGHER, LOWER, OPEN = "higher", "lower", "undecided"
WIDE = 10  # so many comparisons fit beside one another


@dataclass(frozen=True)
class Difference:
    """One paired difference; ``scaled`` is what charts show: percent of the unpruned score, so that benchmarks share
    an axis, or as it is, where all have the same units."""

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
    def digits(self) -> int:
        """Enough to show on which side of zero an interval lies."""
        return fmt.decimals(self.measure.low, self.measure.high)

    @property
    def parts(self) -> tuple[str, str]:
        between = fmt.interval(self.measure.low, self.measure.high, True, self.digits)
        return fmt.signed(self.measure.value, self.digits), f"({between})" if between else ""


@dataclass(frozen=True)
class Comparison:
    """All benchmarks of one pair "A - B", at one keep ratio."""

    pair: str
    items: tuple[Difference, ...]  # the mean is not among them
    mean: Difference | None
    keep: float | None = None  # where the pair was run at several

    @property
    def names(self) -> tuple[str, str]:
        a, _, b = self.pair.partition(" - ")
        return method_label(a), method_label(b)

    @property
    def at(self) -> str:
        """ " at 90 % pruned", where there are several ratios."""
        return "" if self.keep is None else f" at {100 - 100 * self.keep:g} % pruned"

    @property
    def label(self) -> str:
        return f"{self.names[0]} {fmt.MINUS} {self.names[1]}{self.at}"

    @property
    def charted(self) -> bool:
        """A difference from the unpruned model is many times the others and would flatten their chart."""
        return "baseline" not in self.pair.split(" - ")

    def count(self, sign: str) -> int:
        return sum(d.sign == sign for d in self.items)


def comparisons(
    inputs: Inputs,
    experiment: str,
    model: str,
    benchmarks: Sequence[str] = ADAPTPRUNE,
    scale: bool = True,
) -> list[Comparison]:
    """The paired differences of an experiment, in file order, most pruned first; benchmarks in the order given.

    Args:
        scale: whether charts show percent of the unpruned score.
    """
    found = []
    for pair in inputs.results.pairs(experiment, model):
        keeps = sorted(inputs.results.keeps(experiment, model, pair)) or [None]
        for keep in keeps:
            items, mean = [], None
            for benchmark in [*benchmarks, "mean"]:
                measure = inputs.results.difference(experiment, model, pair, benchmark, keep)
                if measure is None:
                    continue
                difference = Difference(pair, benchmark, measure, _scaled(inputs, experiment, model, measure, scale))
                if benchmark == "mean":
                    mean = difference
                else:
                    items.append(difference)
            if items or mean:
                found.append(Comparison(pair, tuple(items), mean, keep if len(keeps) > 1 else None))
    return found


def _scaled(inputs: Inputs, experiment: str, model: str, measure: Measure, scale: bool) -> tuple[float, float, float]:
    """In percent of the unpruned score as a fixed number; the mean is in percent already."""
    whole = unpruned(inputs, experiment, model, measure.benchmark) if scale and measure.benchmark != "mean" else 100.0
    factor = 100 / whole if whole else math.nan
    return factor * measure.value, factor * measure.low, factor * measure.high


def table(found: list[Comparison]) -> tuple[list[str], list[tuple[str, list[Difference | None]]]]:
    """Heads and lines: a line for each benchmark, or for each comparison where these are many."""
    by_pair = [{d.benchmark: d for d in (*c.items, *((c.mean,) if c.mean else ()))} for c in found]
    order = sorted(dict.fromkeys(b for d in by_pair for b in d), key=lambda b: b == "mean")
    names = [c.label for c in found]
    if len(found) > WIDE:
        return [benchmark_label(b) for b in order], [
            (n, [d.get(b) for b in order]) for n, d in zip(names, by_pair, strict=True)
        ]
    return names, [(benchmark_label(b), [d.get(b) for d in by_pair]) for b in order]
