"""Paired differences between methods, from our own results, and what their intervals say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report import formatting
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.results import Measurement
from vtstudy.results_table import MEAN

MOST_COLUMNS = 10
"""At most so many comparisons stand beside one another in a table."""


@dataclass(frozen=True)
class Difference:
    """One paired difference.

    Attributes:
        pair: "A - B", methods of results.csv.
        benchmark: key, or the mean.
        measurement: in the benchmark's units.
        scaled: value, low and high as charts show them: in percent of the unpruned score, so that benchmarks share an
            axis; or unchanged, where all have the same units.
    """

    pair: str
    benchmark: str
    measurement: Measurement
    scaled: tuple[float, float, float]

    @property
    def sign(self) -> str:
        """On which side of zero the interval lies."""
        return self.measurement.side

    @property
    def digits(self) -> int:
        """Number of decimals that shows on which side of zero the interval lies."""
        return formatting.decimals(self.measurement.low, self.measurement.high)

    @property
    def parts(self) -> tuple[str, str]:
        """The value and, in parentheses, its interval."""
        between = formatting.interval(self.measurement.low, self.measurement.high, True, self.digits)
        return formatting.signed(self.measurement.value, self.digits), f"({between})" if between else ""

    @property
    def text(self) -> str:
        return " ".join(part for part in self.parts if part)


@dataclass(frozen=True)
class Comparison:
    """All benchmarks of one pair at one keep ratio.

    Attributes:
        pair: "A - B".
        items: by benchmark, without the mean.
        mean: over the benchmarks, if it was measured.
        keep: the keep ratio, if the pair was run at several.
    """

    pair: str
    items: tuple[Difference, ...]
    mean: Difference | None
    keep: float | None = None

    @property
    def methods(self) -> tuple[str, str]:
        a, _, b = self.pair.partition(" - ")
        return a, b

    @property
    def names(self) -> tuple[str, str]:
        a, b = self.methods
        return method_label(a), method_label(b)

    @property
    def at(self) -> str:
        """ " at 90 % pruned", if the pair was run at several ratios."""
        return "" if self.keep is None else f" at {100 - 100 * self.keep:g} % pruned"

    @property
    def label(self) -> str:
        return f"{self.names[0]} {formatting.MINUS} {self.names[1]}{self.at}"

    @property
    def differences(self) -> tuple[Difference, ...]:
        """By benchmark, the mean last."""
        return self.items if self.mean is None else (*self.items, self.mean)

    @property
    def charted(self) -> bool:
        """A difference from the unpruned model is many times the others and would flatten their chart."""
        return "baseline" not in self.methods

    def count(self, sign: str) -> int:
        """On how many benchmarks the difference has a sign."""
        return sum(difference.sign == sign for difference in self.items)


def comparisons(
    inputs: Inputs,
    experiment: str,
    model: str,
    benchmarks: Sequence[str] = ADAPTPRUNE,
    scale: bool = True,
) -> list[Comparison]:
    """The paired differences of an experiment, in file order, most pruned first.

    Args:
        inputs: the measurements.
        experiment: as results.csv names it.
        model: ours.
        benchmarks: in the order wanted.
        scale: whether charts show percent of the unpruned score.
    """
    results, compared = inputs.results, []
    for pair in results.pairs(experiment, model):
        keeps: list[float | None] = [*sorted(results.keeps(experiment, model, pair))] or [None]
        for keep in keeps:
            items, mean = [], None
            for benchmark in [*benchmarks, MEAN]:
                measurement = results.difference(experiment, model, pair, benchmark, keep)
                if measurement is None:
                    continue
                scaled = _scaled(inputs, experiment, model, measurement, scale)
                difference = Difference(pair, benchmark, measurement, scaled)
                if benchmark == MEAN:
                    mean = difference
                else:
                    items.append(difference)
            if items or mean:
                compared.append(Comparison(pair, tuple(items), mean, keep if len(keeps) > 1 else None))
    return compared


def _scaled(
    inputs: Inputs, experiment: str, model: str, measurement: Measurement, scale: bool
) -> tuple[float, float, float]:
    """Value, low and high in percent of the unpruned score, which is taken as fixed; a mean is in percent already."""
    factor = 1.0
    if scale and measurement.benchmark != MEAN:
        unpruned = inputs.results.unpruned(experiment, model, measurement.benchmark)
        factor = 100 / unpruned if unpruned else math.nan
    return factor * measurement.value, factor * measurement.low, factor * measurement.high


Line = tuple[str, list[Difference | None]]


def difference_table(compared: list[Comparison]) -> tuple[list[str], list[Line]]:
    """Heads and lines of a table: a line for each benchmark, or for each comparison if there are many."""
    by_benchmark = [
        {difference.benchmark: difference for difference in comparison.differences} for comparison in compared
    ]
    benchmarks = sorted(dict.fromkeys(name for row in by_benchmark for name in row), key=lambda name: name == MEAN)
    labels = [comparison.label for comparison in compared]
    if len(compared) > MOST_COLUMNS:
        lines: list[Line] = [
            (label, [row.get(name) for name in benchmarks]) for label, row in zip(labels, by_benchmark, strict=True)
        ]
        return [benchmark_label(name) for name in benchmarks], lines
    return labels, [(benchmark_label(name), [row.get(name) for row in by_benchmark]) for name in benchmarks]
