"""Run a figure's experiment: measure, write its numbers, the data that it is drawn from, the facts of the run."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from vtprune.attach.inference import Question
from vtprune.methods import Method
from vtstudy.benchmarks import limit_of
from vtstudy.evaluation.bootstrap import bootstrap
from vtstudy.evaluation.cache_key import ANSWERING, data_digest, meaning, method_key
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.measurement_cache import Arrays
from vtstudy.evaluation.questions import QuestionList, QuestionLoader
from vtstudy.experiments.activations import Probe
from vtstudy.experiments.files import scores_file, write, write_csv
from vtstudy.experiments.provenance import checkpoint_facts, facts, versions
from vtstudy.experiments.results import Row, row_of, write_results
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import FigureSettings
from vtstudy.experiments.token_similarity import measures, unit

AnyFigureSettings = TypeVar("AnyFigureSettings", bound=FigureSettings)
Key = tuple[str, float]
"""A method's name, and its keep ratio."""

MEASURING = ("vtstudy.experiments.activations", "vtstudy.experiments.token_similarity")
"""The modules whose code measures; what they use counts too."""


def concatenated(parts: list[Arrays]) -> Arrays:
    """The arrays of several batches, one behind the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _all_grids(parts: list[Arrays]) -> Arrays:
    grids = {tuple(grid) for part in parts for grid in part["grids"].tolist()}
    return {"grids": np.array(sorted(grids), dtype=int).reshape(-1, 2)}


class Study(Generic[AnyFigureSettings]):
    """What a figure's experiment measures with, and where it puts its results.

    Measurements are cached by what they depend on, as answers are, so that a second run needs no model. They are made
    of one batch of questions after another, and each batch is stored: a killed run resumes, and no more pictures and
    features are in memory than those of one batch.

    Attributes:
        settings: of the experiment.
        evaluator: the checkpoint and the benchmarks.
        folder: of the data that the figure is drawn from.
        bar: a progress bar, advanced by a prompt at a time.
        rows: of results.csv.
        shown: how many prompts the measurements so far show to the model.
    """

    def __init__(self, name: str, settings: AnyFigureSettings, bar: tqdm) -> None:
        self.name, self.settings, self.bar = name, settings, bar
        self.evaluator = evaluator_of(settings)
        self.folder = Path(settings.out) / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.rows: list[Row] = []
        self.shown = 0
        self._loaders: dict[str, QuestionLoader] = {}

    def questions(self, benchmark: str) -> QuestionList:
        """The benchmark's questions without their images, at most `settings.limit`."""
        return self.evaluator.questions(benchmark, limit_of(self.settings.limit, benchmark))

    def prompts(self, benchmark: str, chosen: slice) -> list[Question]:
        """Some of the same questions, with their images."""
        if benchmark not in self._loaders:
            self._loaders[benchmark] = self.evaluator.loader(benchmark, limit_of(self.settings.limit, benchmark))
        loader = self._loaders[benchmark]
        return [loader.load(index, "shown") for index in range(len(loader))[chosen]]

    def images(self, benchmark: str) -> np.ndarray:
        """`[questions]` numbers of the images that the questions show.

        Raises:
            EvaluationError: if it is only one, which says nothing about another.
        """
        numbers = np.array(self.questions(benchmark).images, dtype=int)
        if not numbers.any():
            raise EvaluationError(
                f"{self.name} needs at least 2 images of {benchmark}, but its first {len(numbers)} questions show one; "
                "raise the limit"
            )
        return numbers

    def probe(self) -> Probe:
        """The loaded checkpoint, for measurements inside the model."""
        checkpoint = self.evaluator.checkpoint
        return Probe(checkpoint.model, checkpoint.processor, batch_size=self.settings.batch_size, bar=self.bar)

    def grid(self, *benchmarks: str) -> tuple[int, int]:
        """(height, width) in tokens of the one grid that all images of the benchmarks lie on.

        Raises:
            EvaluationError: if a question has several images, or the grids differ.
        """
        grids: set[tuple[int, int]] = set()
        for benchmark in benchmarks:
            arrays = self._measured(
                "grids", benchmark, {}, lambda probe, questions: {"grids": probe.grids(questions)}, join=_all_grids
            )
            grids |= {(height, width) for height, width in arrays["grids"].tolist()}
        if len(grids) != 1:
            raise EvaluationError(f"a map of the image needs one grid for all prompts, not {len(grids)} different ones")
        return grids.pop()

    def attention(self, benchmark: str) -> np.ndarray:
        """`[questions, layers, n]` the attention that the last prompt token pays to each image token in each layer."""

        def measure(probe: Probe, questions: list[Question]) -> Arrays:
            return {"attention": probe.look(questions).attention}

        return self._measured("attention", benchmark, {}, measure, passes=1)["attention"]

    def survivors(self, benchmark: str, methods: Mapping[Key, Method]) -> dict[Key, np.ndarray]:
        """By name of a method, `[questions, n]` bool: which cells of the one grid it leaves."""

        def measure(probe: Probe, questions: list[Question]) -> Arrays:
            masks = probe.survivors(methods, questions)
            return {str(number): masks[name] for number, name in enumerate(methods)}

        details = {"methods": [method_key(method, self.evaluator.checkpoint.family) for method in methods.values()]}
        arrays = self._measured("survivors", benchmark, details, measure, passes=len(methods))
        return {name: arrays[str(number)] for number, name in enumerate(methods)}

    def redundancy(self, benchmark: str, methods: Mapping[Key, Method]) -> dict[Key, np.ndarray]:
        """By name of a method, `[questions, 3]` the measures of `token_similarity.measures`; first for all tokens.

        The features that are compared take 38 MiB a question on LLaVA-1.5-7B, so they are not kept.
        """
        grid = self.grid(benchmark)

        def measure(probe: Probe, questions: list[Question]) -> Arrays:
            seen = probe.look(questions)
            everything = np.ones((len(questions), grid[0] * grid[1]), dtype=bool)
            masks = [everything, *probe.survivors(methods, questions).values()]
            features = [unit(seen.embeddings), unit(seen.keys)]
            return {str(number): measures(kept, features, grid) for number, kept in enumerate(masks)}

        details = {"methods": [method_key(method, self.evaluator.checkpoint.family) for method in methods.values()]}
        arrays = self._measured("redundancy", benchmark, details, measure, passes=1 + len(methods))
        return {name: arrays[str(number)] for number, name in enumerate((("none", 1.0), *methods))}

    def picture(self, benchmark: str, index: int) -> Image.Image:
        """A question's image as the model sees it: after the processor's resizing and cropping."""

        def measure() -> Arrays:
            (question,) = self.prompts(benchmark, slice(index, index + 1))
            return {"picture": np.asarray(self.probe().picture(question))}

        key = self.key(benchmark, {"index": index})
        return Image.fromarray(self.evaluator.measurements.arrays("picture", key, measure)["picture"])

    def _measured(
        self,
        name: str,
        benchmark: str,
        details: Mapping[str, Any],
        measure: Callable[[Probe, list[Question]], Arrays],
        passes: int = 0,
        join: Callable[[list[Arrays]], Arrays] = concatenated,
    ) -> Arrays:
        """A measurement of a benchmark's questions, from the cache or from the model, a batch at a time.

        Args:
            details: what it depends on besides the checkpoint, the questions and the code that measures.
            measure: makes the arrays of a batch.
            passes: how often it shows each question to the model.
            join: makes the arrays of all questions out of those of the batches.
        """
        questions, size = len(self.questions(benchmark)), self.settings.batch_size
        prompts = passes * questions
        self.shown += prompts
        self.bar.total = self.shown
        before = self.bar.n

        def measure_batch(chosen: slice) -> Arrays:
            self.bar.update(before + chosen.start * passes - self.bar.n)  # the batches before it that were stored
            return measure(self.probe(), self.prompts(benchmark, chosen))

        arrays = self.evaluator.measurements.arrays_in_parts(
            name,
            self.key(benchmark, details),
            [slice(start, min(questions, start + size)) for start in range(0, questions, size)],
            measure_batch,
            join,
        )
        self.bar.update(prompts - (self.bar.n - before))
        return arrays

    def key(self, benchmark: str, details: Mapping[str, Any]) -> dict[str, Any]:
        """What a measurement of a benchmark's questions depends on.

        Args:
            details: what it depends on besides the checkpoint, the questions and the code that measures.
        """
        return {
            **self.evaluator.checkpoint.key(),
            "questions": data_digest(self.questions(benchmark).digests["shown"]),
            "software": versions(("torch", "transformers", "numpy", "pillow")),
            "code": meaning([*MEASURING, *ANSWERING, *self.evaluator.checkpoint.family]),
            **details,
        }

    def resampled(self, values: np.ndarray, images: np.ndarray, name: str) -> np.ndarray:
        """Means over the questions about resampled images: ``[questions, k]`` to ``[resamples, k]``.

        Args:
            images: ``[questions]`` numbers of what they show.
            name: draws of another name are independent of these.
        """
        strata = np.zeros(len(values), dtype=int)
        return bootstrap(values, strata, images, resamples=self.settings.resamples, seed=self.settings.seed, name=name)

    def add(self, method: str, keep: float, benchmark: str, metric: str, value: float, n: int, draws: Any) -> None:
        """A row of results.csv; ``draws`` are the ``[resamples]`` values of its bootstrap."""
        self.rows.append(
            row_of(self.name, self.settings.model, method, keep, benchmark, metric, float(value), n, draws)
        )

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write ``<folder>/<name>.csv``; floats with six significant digits."""
        write_csv(self.folder / f"{name}.csv", rows, digits=6)


def run(name: str, measure: Callable[[Study[AnyFigureSettings]], None], settings: AnyFigureSettings) -> Path:
    """Write the rows of results.csv, the facts of the run and the folder of the figure's data; returns the CSV's path.

    Raises:
        EvaluationError, CheckpointError, DatasetError, ValueError: one sentence that says what is wrong.
    """
    start = time.perf_counter()
    with tqdm(desc=name, total=0, unit="prompt", dynamic_ncols=True) as bar:
        study = Study(name, settings, bar)
        measure(study)
    path = write_results(scores_file(settings.out, name), study.rows)
    seconds = time.perf_counter() - start
    found = facts(settings, **checkpoint_facts(study.evaluator.checkpoint), seconds=seconds, questions=study.shown)
    write(path.with_suffix(".json"), json.dumps(found, indent=2) + "\n")
    return path
