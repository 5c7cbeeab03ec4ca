"""Run an experiment: evaluate its cells, write its results and the facts of the run."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vtprune.errors import UserError
from vtstudy.benchmarks import check_benchmarks
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.files import write
from vtstudy.experiments.provenance import facts
from vtstudy.experiments.results import rows_of, to_csv
from vtstudy.experiments.settings import Settings, parse
from vtstudy.experiments.spec import Experiment


def main(experiment: Experiment, argv: list[str] | None = None) -> int:
    """The command of an experiment's module; what a user can mend is one sentence and exit code 2."""
    return one_sentence(experiment.name, lambda: run(experiment, parse(experiment.name, argv)))


def one_sentence(name: str, work: Callable[[], Path]) -> int:
    """Do the work and print the path of what it wrote; returns the command's exit code."""
    try:
        path = work()
    except UserError as error:
        print(f"vtprune {name}: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


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
    keeps = ratios(settings, experiment.keeps)
    evaluator = evaluator or evaluator_of(settings)
    rows = {
        (name, keep): row
        for keep in keeps
        for name, row in experiment.rows.items()
        if row.takes_keep or keep == keeps[0]
    }
    cells = {
        f"{name} {keep:g}" if row.takes_keep and len(keeps) > 1 else name: row.cell(keep)
        for (name, keep), row in rows.items()
    }
    for cell in cells.values():
        evaluator.check(cell)
    each = evaluator.questions(experiment.benchmarks)

    from tqdm import tqdm

    with tqdm(
        total=each * len(cells), desc=settings.name or experiment.name, unit="answer", smoothing=0.1, dynamic_ncols=True
    ) as bar:
        found = dict(zip(rows, evaluator.evaluate_all(list(cells.values()), experiment.benchmarks, bar), strict=True))
    if experiment.parts:
        for scores in found.values():
            scores |= {key: part for whole in list(scores.values()) for key, part in parts_of(whole).items()}
    chance = evaluator.chance(experiment.benchmarks) if experiment.chance else {}

    measured = []
    for keep in keeps:
        scores = {name: found[name, keep if row.takes_keep else keeps[0]] for name, row in experiment.rows.items()}
        new = rows_of(
            experiment, settings.model, keep, scores, chance, resamples=settings.resamples, seed=settings.seed
        )
        measured += [row for row in new if row not in measured]  # unpruned rows are the same at each ratio
    out = Path(settings.out)
    stem = settings.name or experiment.name
    path = write(out / f"{stem}.csv", to_csv(measured))
    seconds = time.perf_counter() - start
    found = facts(settings, evaluator.loaded, seconds=seconds, answers=each * len(cells), questions=shown)
    write(out / f"{stem}.json", json.dumps(found, indent=2) + "\n")
    return path


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
        store=settings.store,
        reuse=[settings.reuse] if settings.reuse else [],
        batch_size=settings.batch_size,
        limit=settings.limit,
        max_new_tokens=settings.max_new_tokens,
        device=settings.device,
        dtype=settings.dtype,
        check_data=validate,
    )


def ratios(settings: Settings, published: tuple[float, ...] = ()) -> tuple[float, ...]:
    """The fractions of the image tokens that stay, in the order given: the settings', else those of the published table.

    Raises:
        EvaluationError: if one is no fraction, or stands there twice.
    """
    keeps = settings.keeps or published or (settings.keep,)
    for keep in keeps:
        if not 0 < keep <= 1:
            raise EvaluationError(f"keep must lie in (0, 1], not {keep:g}")
    if len(set(keeps)) < len(keeps):
        raise EvaluationError(f"keeps must differ from one another, unlike {', '.join(f'{keep:g}' for keep in keeps)}")
    return keeps
