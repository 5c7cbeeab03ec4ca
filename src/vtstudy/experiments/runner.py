"""Run an experiment: evaluate its cells, write its results and the facts of the run."""

import json
import time
from pathlib import Path
from typing import Any

from vtstudy.benchmarks import check_benchmarks, limit_of
from vtstudy.evaluation.requests import Request
from vtstudy.experiments.files import scores_file, write
from vtstudy.experiments.provenance import checkpoint_facts, facts
from vtstudy.experiments.results import rows_of, write_results
from vtstudy.experiments.settings import Settings
from vtstudy.experiments.spec import Experiment


def run(
    experiment: Experiment, settings: Settings, evaluator: Any = None, *, start: float | None = None, shown: int = 0
) -> Path:
    """Evaluate all cells and write a CSV of results and a JSON of facts; returns the former's path.

    With several keep ratios every pruned row is run at each of them. Two runs write the same
    CSV, byte for byte; the JSON holds times.

    Args:
        evaluator: the settings' own, if there is one already.
        start: by ``time.perf_counter()``, when the work for the experiment began; None for now.
        shown: prompts that it has shown to the model so far, without an answer.

    Raises:
        EvaluationError, CheckpointError, DatasetError, ValueError: one sentence that says what is wrong.
    """
    from vtstudy.evaluation.scoring import parts_of

    start = time.perf_counter() if start is None else start
    check_benchmarks(experiment.benchmarks)
    keeps = settings.ratios(experiment.keeps)
    evaluator = evaluator or evaluator_of(settings)
    specs = {
        (name, keep): spec
        for keep in keeps
        for name, spec in experiment.variants.items()
        if spec.takes_keep or keep == keeps[0]
    }
    cells = {
        f"{name} {keep:g}" if spec.takes_keep and len(keeps) > 1 else name: spec.variant(keep)
        for (name, keep), spec in specs.items()
    }
    for cell in cells.values():
        evaluator.check(cell)
    each = evaluator.questions(experiment.benchmarks)

    from tqdm import tqdm

    with tqdm(
        total=each * len(cells), desc=settings.name or experiment.name, unit="answer", smoothing=0.1, dynamic_ncols=True
    ) as bar:
        found = dict(zip(specs, evaluator.evaluate_all(list(cells.values()), experiment.benchmarks, bar), strict=True))
    if experiment.parts:
        for scores in found.values():
            scores |= {key: part for whole in list(scores.values()) for key, part in parts_of(whole).items()}
    chance = evaluator.chance(experiment.benchmarks) if experiment.chance else {}

    measured = []
    for keep in keeps:
        scores = {
            name: found[name, keep if spec.takes_keep else keeps[0]] for name, spec in experiment.variants.items()
        }
        new = rows_of(
            experiment, settings.model, keep, scores, chance, resamples=settings.resamples, seed=settings.seed
        )
        measured += [row for row in new if row not in measured]  # unpruned rows are the same at each ratio
    path = write_results(scores_file(settings.out, settings.name or experiment.name), measured)
    seconds = time.perf_counter() - start
    found = facts(
        settings,
        **checkpoint_facts(evaluator.loaded),
        seconds=seconds,
        answers=each * len(cells),
        questions=shown,
    )
    write(path.with_suffix(".json"), json.dumps(found, indent=2) + "\n")
    return path


def requests_of(experiment: Experiment, settings: Settings) -> list[Request]:
    """What an experiment asks of its model: every variant at every keep ratio, on every benchmark."""
    keeps = settings.ratios(experiment.keeps)
    variants = dict.fromkeys(spec.variant(keep) for keep in keeps for spec in experiment.variants.values())
    return [
        Request(variant, benchmark, limit_of(settings.limit, benchmark), experiment.tokens)
        for benchmark in experiment.benchmarks
        for variant in variants
    ]


def evaluator_of(settings: Settings) -> Any:
    """The evaluator that an experiment's settings describe.

    Raises:
        CheckpointError, EvaluationError, DatasetError: one sentence that says what is wrong.
    """
    from vtstudy.evaluation.harness import Evaluator
    from vtstudy.world.hub_rows import validate

    return Evaluator(
        settings.checkpoint,
        settings.data,
        store=settings.cache,
        batch_size=settings.batch_size,
        limit=settings.limit,
        max_new_tokens=settings.max_new_tokens,
        device=settings.device,
        dtype=settings.dtype,
        check_data=validate,
    )
