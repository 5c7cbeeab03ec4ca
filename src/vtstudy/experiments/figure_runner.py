"""Run a figure's experiment: measure, write its numbers, the data that it is drawn from, the facts of the run."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from vtstudy.benchmarks import limit_of
from vtstudy.evaluation.bootstrap import bootstrap
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.files import scores_file, write, write_csv
from vtstudy.experiments.provenance import checkpoint_facts, facts
from vtstudy.experiments.results import Row, row_of, write_results
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import FigureSettings

AnyFigureSettings = TypeVar("AnyFigureSettings", bound=FigureSettings)


class Study(Generic[AnyFigureSettings]):
    """What a figure's experiment measures with, and where it puts what it finds.

    Attributes:
        settings: of the experiment.
        evaluator: the checkpoint, the benchmarks.
        folder: of the data that the figure is drawn from.
        bar: a tqdm bar; ``extend`` says how much there is to do.
        rows: of results.csv.
        shown: prompts shown to the model so far.
    """

    def __init__(self, name: str, settings: AnyFigureSettings, bar: Any) -> None:
        self.name, self.settings, self.bar = name, settings, bar
        self.evaluator = evaluator_of(settings)
        self.folder = Path(settings.out) / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.rows: list[Row] = []
        self.shown = 0

    def extend(self, prompts: int) -> None:
        """So many prompts more will be shown to the model."""
        self.shown += prompts
        self.bar.total = self.shown
        self.bar.refresh()

    def prompts(self, benchmark: str) -> list[Any]:
        """The benchmark's questions, at most ``settings.limit``: (the task's words, the question)."""
        return self.evaluator.prompts(benchmark, limit_of(self.settings.limit, benchmark))

    def images(self, benchmark: str, questions: int) -> np.ndarray:
        """``[questions]`` numbers of the images that the benchmark's first questions show, in their order.

        Raises:
            EvaluationError: if it is only one, which says nothing about another.
        """
        found = self.evaluator.images(benchmark, questions)
        if not found.any():
            raise EvaluationError(
                f"{self.name} needs at least 2 images of {benchmark}, but its first {questions} questions show one: raise the limit"
            )
        return found

    def resampled(self, values: np.ndarray, images: np.ndarray, name: str) -> np.ndarray:
        """Means over the questions about resampled images: ``[questions, k]`` to ``[resamples, k]``.

        Args:
            images: ``[questions]`` numbers of what they show.
            name: draws of another name are independent of these.
        """
        strata = np.zeros(len(values), dtype=int)
        return bootstrap(values, strata, images, resamples=self.settings.resamples, seed=self.settings.seed, name=name)

    def probe(self) -> Any:
        from vtstudy.experiments.activations import Probe

        checkpoint = self.evaluator.checkpoint
        return Probe(checkpoint.model, checkpoint.processor, batch_size=self.settings.batch_size, bar=self.bar)

    def add(self, method: str, keep: float, benchmark: str, metric: str, value: float, n: int, draws: Any) -> None:
        """A row of results.csv; ``draws`` are the ``[resamples]`` values of its bootstrap."""
        self.rows.append(
            row_of(self.name, self.settings.model, method, keep, benchmark, metric, float(value), n, draws)
        )

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write ``<folder>/<name>.csv``; floats with six significant digits."""
        write_csv(self.folder / f"{name}.csv", rows, digits=6)


def run(name: str, measure: Callable[[Study[AnyFigureSettings]], None], settings: AnyFigureSettings) -> Path:
    """Write ``<out>/<name>.csv`` (rows of results.csv), ``<name>.json`` and the folder ``<name>``; returns the CSV's path.

    Raises:
        EvaluationError, CheckpointError, DatasetError, ValueError: one sentence that says what is wrong.
    """
    from tqdm import tqdm

    start = time.perf_counter()
    with tqdm(desc=name, total=0, unit="prompt", dynamic_ncols=True) as bar:
        study = Study(name, settings, bar)
        measure(study)
    path = write_results(scores_file(settings.out, name), study.rows)
    seconds = time.perf_counter() - start
    found = facts(settings, **checkpoint_facts(study.evaluator.checkpoint), seconds=seconds, questions=study.shown)
    write(path.with_suffix(".json"), json.dumps(found, indent=2) + "\n")
    return path
