"""lmms-eval's tasks of the benchmarks: loading them, reading their questions, and scoring answers with them."""

import contextlib
import os
import re
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import lmms_eval.tasks
from lmms_eval.api.instance import Instance
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager, get_task_dict

from vtprune.errors import lock_hint
from vtstudy.benchmarks import BENCHMARKS
from vtstudy.evaluation.captions import start_java_less
from vtstudy.evaluation.environment import muted, quieten
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.images import image_numbers
from vtstudy.evaluation.replay import ReplayModel
from vtstudy.evaluation.scoring import Scores, scores_of


class LmmsTasks:
    """The benchmarks' unmodified tasks, each loaded when it is first used.

    Args:
        data: the folder that holds the data sets' namespace; None for the Hub's data sets.
        check_data: called with `data` and a benchmark before its local data set is loaded; raises for a damaged one.
    """

    def __init__(self, data: Path | None, check_data: Callable[[Path, str], object] | None = None) -> None:
        self._data, self._check_data = data, check_data
        self._tasks: dict[str, Any] = {}
        quieten()

    def task(self, benchmark: str) -> Any:
        """The task of a benchmark.

        Raises:
            EvaluationError, DatasetError: if its data set cannot be loaded.
        """
        if benchmark not in self._tasks:
            spec = BENCHMARKS[benchmark]
            if self._data is not None and self._check_data is not None:
                self._check_data(self._data, benchmark)
            with _working_directory(self._data), muted():
                try:
                    self._tasks[benchmark] = self._load(spec.task, spec.metric if spec.java else None)
                except Exception as error:
                    cause = error.last_attempt.exception() if hasattr(error, "last_attempt") else error
                    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
                    reason = lines[0] if lines else type(cause).__name__
                    raise EvaluationError(
                        f"{spec.title}: its data set cannot be loaded ({reason}{lock_hint(cause)})"
                    ) from error
        return self._tasks[benchmark]

    def instances(self, benchmark: str, limit: int | None) -> list[Instance]:
        """A benchmark's first questions, one request a document."""
        task = self.task(benchmark)
        with muted():
            task.build_all_requests(limit=limit)
        by_document = {request.args[3]: request for request in task.instances}
        return list(by_document.values())

    def documents(self, benchmark: str, limit: int | None) -> Iterable[Mapping[str, Any]]:
        """A benchmark's first documents, without their images."""
        return islice(self.task(benchmark).eval_docs_no_media, limit)

    def image_numbers(self, benchmark: str, limit: int | None) -> list[int]:
        """The numbers of the images of a benchmark's first documents (see `images.image_numbers`)."""
        task = self.task(benchmark)
        documents = task.test_docs() if task.has_test_docs() else task.validation_docs()
        if limit is not None:
            documents = documents.select(range(min(limit, len(documents))))
        return image_numbers(documents).tolist()

    def score(
        self, benchmark: str, answers: Mapping[int, str], limit: int | None, images: Mapping[int, int]
    ) -> dict[str, Scores]:
        """The task's own scores of answers.

        Args:
            answers: by document.
            images: by document, the number of its image.

        Raises:
            EvaluationError: if lmms-eval returns no score, or one that the questions' scores do not give.
        """
        spec, task = BENCHMARKS[benchmark], self.task(benchmark)
        with tempfile.TemporaryDirectory() as scratch, muted():
            # Tasks write score files where `output_path` says: not into the data.
            outcome = simple_evaluate(
                model=ReplayModel(answers),
                tasks=[task],
                limit=limit,
                bootstrap_iters=0,
                log_samples=True,
                process_docs_parallel=1,
                task_manager=task_manager(),
                cli_args=Namespace(output_path=scratch, process_with_media=False, reasoning_tags=None),
            )
        if outcome is None:
            raise EvaluationError("only the first of several processes gets scores; score in a single process")
        return scores_of(benchmark, spec, outcome["samples"][spec.task], outcome["results"][spec.task], images)

    def _load(self, task: str, only_metric: str | None) -> Any:
        loaded = get_task_dict([task], task_manager(), "simple")[task]
        if only_metric is None:
            return loaded
        start_java_less()
        # The other metrics of a caption task are not read, and take time.
        entry = {"metric": only_metric, "aggregation": loaded.aggregation()[only_metric], "higher_is_better": True}
        return get_task_dict([{"task": task, "metric_list": [entry]}], task_manager(), "simple")[task]


@cache
def task_manager() -> TaskManager:
    """The index of the benchmarks' tasks. That of all tasks of lmms-eval takes ten seconds, for every process."""
    folders = [Path(__file__).parent / "tasks", *_folders_of({spec.task for spec in BENCHMARKS.values()})]
    with muted():
        manager = TaskManager("ERROR", include_path=list(map(str, folders)), include_defaults=False)
    quieten()
    return manager


def _folders_of(tasks: Iterable[str]) -> list[Path]:
    """The folders of lmms-eval in which files declare these tasks."""
    declared = re.compile(rf"""^task\s*:\s*["']?({"|".join(map(re.escape, tasks))})["']?\s*$""", re.MULTILINE)
    files = Path(lmms_eval.tasks.__file__).parent.rglob("*.yaml")
    return sorted({file.parent for file in files if declared.search(file.read_text(encoding="utf-8"))})


@contextlib.contextmanager
def _working_directory(folder: Path | None) -> Iterator[None]:
    """`datasets` finds a local data set by its name relative to the working directory."""
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)
