"""Run an experiment: evaluate its cells, write its results and the facts of the run."""

import json
import os
import sys
import time
from pathlib import Path

from vtprune.evaluation.errors import EvaluationError

from .design import Experiment
from .provenance import facts
from .results import rows_of, to_csv
from .settings import Settings, parse


def main(experiment: Experiment, argv: list[str] | None = None) -> int:
    """The command of an experiment's module; what a user can mend is one sentence and exit code 2."""
    try:
        path = run(experiment, parse(experiment.name, argv))
    except (EvaluationError, ValueError, OSError) as error:
        if type(error) not in _expected():
            raise
        print(f"vtprune {experiment.name}: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


def run(experiment: Experiment, settings: Settings) -> Path:
    """Evaluate all cells and write a CSV of results and a JSON of facts; returns the former's path.

    Two runs write the same CSV, byte for byte; the JSON holds times.

    Raises:
        EvaluationError, CheckpointError, DatasetError, ValueError: one sentence that says what is wrong.
    """
    from vtprune.evaluation.run import Evaluator, check_benchmarks
    from vtprune.evaluation.scores import parts_of
    from vtprune.miniature.hub_schemas import BENCHMARKS

    start = time.perf_counter()
    check_benchmarks(experiment.benchmarks)
    if not 0 < settings.keep <= 1:
        raise EvaluationError(f"keep must lie in (0, 1], not {settings.keep:g}")
    evaluator = Evaluator(
        settings.checkpoint, settings.data, store=settings.store, reuse=[settings.reuse] if settings.reuse else [],
        batch_size=settings.batch_size, limit=settings.limit, max_new_tokens=settings.max_new_tokens, device=settings.device, dtype=settings.dtype,
    )  # fmt: skip
    cells = {name: row.cell(settings.keep) for name, row in experiment.rows.items()}
    for cell in cells.values():
        evaluator.check(cell)
    each = evaluator.questions(experiment.benchmarks)

    scores, seconds = {}, {}
    from tqdm import tqdm

    with tqdm(total=each * len(cells), unit="question", smoothing=0.1, dynamic_ncols=True) as bar:
        for number, (name, cell) in enumerate(cells.items(), start=1):
            bar.set_description(f"{experiment.name} {number}/{len(cells)} {name}")
            began = time.perf_counter()
            scores[name] = evaluator.evaluate(cell, experiment.benchmarks, bar)
            if experiment.parts:
                scores[name] |= {key: part for whole in list(scores[name].values()) for key, part in parts_of(whole).items()}
            seconds[name] = round(time.perf_counter() - began, 1)
    chance = {}
    if experiment.chance:
        chance = {b: BENCHMARKS[b].chance for b in experiment.benchmarks if BENCHMARKS[b].chance is not None}
        guessed = evaluator.constant([b for b in experiment.benchmarks if b not in chance])
        chance |= {name: found.value for name, found in guessed.items()}

    rows = rows_of(
        experiment, settings.model, settings.keep, scores, chance, resamples=settings.resamples, seed=settings.seed
    )
    out = Path(settings.out)
    stem = settings.name or experiment.name
    path = _write(out / f"{stem}.csv", to_csv(rows))
    found = facts(settings, evaluator.loaded, seconds=time.perf_counter() - start, cells=seconds, questions=each * len(cells))
    _write(out / f"{stem}.json", json.dumps(found, indent=2) + "\n")
    return path


def _write(path: Path, text: str) -> Path:
    """All of it or nothing: through a file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return path


def _expected() -> tuple[type, ...]:
    """Errors whose message is a sentence for the user; a subclass, such as UnicodeDecodeError, is a bug."""
    from vtprune.evaluation.errors import StoreError
    from vtprune.miniature.writing import DatasetError
    from vtprune.models import CheckpointError

    return EvaluationError, StoreError, DatasetError, CheckpointError, ValueError
