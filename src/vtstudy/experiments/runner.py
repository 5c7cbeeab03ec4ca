"""Run an experiment: answer and score its variants, write its results and the facts of the run."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vtstudy.benchmarks import BENCHMARKS, check_benchmarks, limit_of
from vtstudy.checkpoint_source import FETCHED_DATA
from vtstudy.evaluation.availability import unavailable
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.evaluation.scoring import Scores, parts_of
from vtstudy.experiments.files import scores_file, write
from vtstudy.experiments.provenance import checkpoint_facts, facts
from vtstudy.experiments.results import Row, rows_of, write_results
from vtstudy.experiments.settings import Settings
from vtstudy.experiments.spec import Experiment

_log = logging.getLogger("vtprune")


def run(experiment: Experiment, settings: Settings, evaluator: Evaluator | None = None) -> Path:
    """Answer and score all variants, and write a CSV of results and a JSON of facts; returns the former's path.

    With several keep ratios every pruned variant is run at each of them. Two runs write the same CSV, byte for byte;
    the JSON holds times.

    Args:
        evaluator: in place of the one that the settings describe.

    Raises:
        EvaluationError, CheckpointError, DatasetError: if a setting, the checkpoint or the data cannot be used.
    """
    start = time.perf_counter()
    check_benchmarks(experiment.benchmarks)
    left_out = unavailable(experiment.benchmarks)
    for benchmark, reason in left_out.items():
        _log.warning(f"{experiment.name}: {benchmark} is left out: {reason}")
    experiment = replace(experiment, benchmarks=tuple(limits_of(experiment, settings)))
    keeps = settings.ratios(experiment.keeps)
    evaluator = evaluator or evaluator_of(settings)
    evaluator.answer(requests_of(experiment, settings))
    limits = limits_of(experiment, settings)
    variants = variants_of(experiment, settings)
    scores_of = {key: scores_of_variant(evaluator, variant, limits) for key, variant in variants.items()}
    if experiment.parts:
        for scores in scores_of.values():
            for benchmark_scores in list(scores.values()):
                scores |= parts_of(benchmark_scores)
    chance: dict[str, float] = {}
    if experiment.chance:
        for name, limit in limits.items():
            chance |= evaluator.chance(name, limit)

    measured: list[Row] = []
    for keep in keeps:
        scores_at_keep = {
            name: scores_of[name, keep if spec.takes_keep else None] for name, spec in experiment.variants.items()
        }
        new = rows_of(
            experiment, settings.model, keep, scores_at_keep, chance, resamples=settings.resamples, seed=settings.seed
        )
        measured += [row for row in new if row not in measured]  # unpruned rows are the same at each ratio
    path = write_results(scores_file(settings.out, settings.name or experiment.name), measured)
    questions = sum(len(evaluator.questions(name, limit)) for name, limit in limits.items())
    run_facts = facts(
        settings,
        **checkpoint_facts(evaluator.checkpoint),
        seconds=time.perf_counter() - start,
        answers=questions * len(variants),
        left_out=left_out,
    )
    write(path.with_suffix(".json"), json.dumps(run_facts, indent=2) + "\n")
    return path


def scores_of_variant(evaluator: Evaluator, variant: Variant, limits: Mapping[str, int | None]) -> dict[str, Scores]:
    """Scores by benchmark; `mme` brings `mme_cognition`.

    Args:
        limits: by benchmark, how many of its first questions are asked.
    """
    scores: dict[str, Scores] = {}
    for benchmark, limit in limits.items():
        scores |= evaluator.scores(variant, benchmark, limit)
    return scores


def limits_of(experiment: Experiment, settings: Settings) -> dict[str, int | None]:
    """By benchmark of an experiment, how many of its first questions are asked; None for all.

    A benchmark that cannot be scored here is left out (see `availability.unavailable_reason`).

    Raises:
        EvaluationError: if no benchmark is left.
    """
    left_out = unavailable(experiment.benchmarks)
    if len(left_out) == len(experiment.benchmarks):
        reasons = "; ".join(f"{benchmark}: {reason}" for benchmark, reason in left_out.items())
        raise EvaluationError(f"no benchmark of {experiment.name} can be scored here ({reasons})")
    return {
        benchmark: limit_of(settings.limit, benchmark)
        for benchmark in experiment.benchmarks
        if benchmark not in left_out
    }


def variants_of(experiment: Experiment, settings: Settings) -> dict[tuple[str, float | None], Variant]:
    """The variants of an experiment, by name and keep ratio; the ratio is None for a variant that takes none."""
    return {
        (name, keep if spec.takes_keep else None): spec.variant(keep, settings.layers)
        for keep in settings.ratios(experiment.keeps)
        for name, spec in experiment.variants.items()
    }


def requests_of(experiment: Experiment, settings: Settings) -> list[Request]:
    """What an experiment asks of its model: every variant at every keep ratio, on every benchmark."""
    variants = dict.fromkeys(variants_of(experiment, settings).values())
    return [
        Request(variant, benchmark, limit, tokens=experiment.tokens and variant.method.name != "none")
        for benchmark, limit in limits_of(experiment, settings).items()
        for variant in variants
    ]


def evaluator_of(settings: Settings, *, prefetch: bool | None = None) -> Evaluator:
    """The evaluator that an experiment's settings describe.

    Args:
        prefetch: see `Evaluator`.

    Raises:
        EvaluationError: if there are no data where the settings say, or no such device.
    """
    return Evaluator(
        settings.checkpoint,
        settings.data,
        cache=settings.cache,
        batch_size=settings.batch_size,
        max_new_tokens=settings.max_new_tokens,
        device=settings.device,
        dtype=settings.dtype,
        prompt=settings.prompt,
        pictures=settings.pictures,
        check_data=check_data,
        prefetch=prefetch,
    )


def check_data(data: Path, benchmark: str) -> None:
    """Check a local data set. One that was fetched is as the Hub has it, and is not checked.

    Raises:
        DatasetError: if it is damaged.
    """
    if (data / BENCHMARKS[benchmark].path / FETCHED_DATA).is_file():
        return
    from vtstudy.world.hub_rows import validate  # it imports pyarrow, which cached scores do without

    validate(data, BENCHMARKS[benchmark].variant_of or benchmark)
