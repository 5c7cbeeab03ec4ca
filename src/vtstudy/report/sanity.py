"""Whether the unpruned model looks at the image: a model that does not look cannot lose by pruning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.report import formatting
from vtstudy.report.labels import benchmark_label, metric_label
from vtstudy.report.results import Measurement, Results


@dataclass(frozen=True)
class SanityRow:
    """The unpruned model's score on a benchmark beside its floors, as text.

    Attributes:
        model: ours.
        benchmark: its label.
        metric: of the scores, in words.
        n: number of questions.
        unpruned: score.
        interval: of the score.
        blind: score of the same model given a blank image.
        blind_interval: of that score.
        chance: score of the best constant answer.
        gap: unpruned minus blind.
        clear: whether the unpruned model's interval lies above both floors.
    """

    model: str
    benchmark: str
    metric: str
    n: int | None
    unpruned: str
    interval: str
    blind: str
    blind_interval: str
    chance: str
    gap: str
    clear: bool


def sanity_rows(results: Results, model: str, experiment: str, benchmarks: Sequence[str]) -> list[SanityRow]:
    """A row for each benchmark on which the unpruned model was run."""
    rows = []
    for benchmark in benchmarks:
        unpruned = results.score(experiment, model, "baseline", benchmark)
        if unpruned is not None:
            blind = results.score(experiment, model, "blind", benchmark)
            chance = results.score(experiment, model, "chance", benchmark)
            rows.append(_row(model, benchmark, unpruned, blind, chance))
    return rows


def _row(
    model: str, benchmark: str, unpruned: Measurement, blind: Measurement | None, chance: Measurement | None
) -> SanityRow:
    floors = [-math.inf]
    if blind:
        floors.append(blind.high if blind.has_interval else blind.value)
    if chance:
        floors.append(chance.value)
    lowest = unpruned.low if unpruned.has_interval else unpruned.value
    return SanityRow(
        model=model,
        benchmark=benchmark_label(benchmark),
        metric=metric_label(unpruned.metric, benchmark),
        n=unpruned.n,
        unpruned=formatting.number(unpruned.value),
        interval=formatting.interval(unpruned.low, unpruned.high),
        blind=formatting.number(blind.value if blind else None),
        blind_interval=formatting.interval(blind.low, blind.high) if blind else "",
        chance=formatting.number(chance.value if chance else None),
        gap=formatting.signed(unpruned.value - blind.value if blind else None),
        clear=lowest > max(floors),
    )
