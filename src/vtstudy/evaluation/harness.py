"""Many variants in one process: the checkpoint, the tasks and their data are loaded once."""

import contextlib
import os
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vtstudy.benchmarks import BENCHMARKS, check_available, check_benchmarks, limit_of
from vtstudy.evaluation.captions import remember_tokenized
from vtstudy.evaluation.chance import guessed
from vtstudy.evaluation.environment import data_root, muted, prepare, quieten
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.images import image_numbers
from vtstudy.evaluation.requests import Variant
from vtstudy.evaluation.scoring import Scores, scores_of

if TYPE_CHECKING:
    from vtprune.attach.inference import Question


def is_local(checkpoint: str | Path, data: str | Path | None) -> bool:
    """Whether neither checkpoint nor data come from the Hub, so that nothing needs the network."""
    return data is not None and Path(checkpoint).expanduser().is_dir()


class Evaluator:
    """Evaluates variants of one checkpoint with lmms-eval's unmodified tasks.

    Args:
        checkpoint: a folder or a Hub id.
        data: the folder that holds ``lmms-lab-encoder/``; None to load from the Hub. Where both
            checkpoint and data are local, nothing uses the network.
        store: folder of predictions.
        reuse: other such folders, which are only read.
        batch_size: questions at a time.
        limit: only so many questions of each task (made even, for MME's pairs), or by benchmark with
            ``default`` for those that are not named; None for all.
        max_new_tokens: at most so many, whatever a task says.
        check_data: called with ``data`` and a benchmark's key before a local data set is loaded; raises for a damaged one.
        options: of :func:`vtprune.attach.loading` (device, dtype, attn_implementation).

    Raises:
        CheckpointError, EvaluationError, DatasetError: one sentence that says what is wrong.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        data: str | Path | None,
        *,
        store: str | Path = "data/predictions",
        reuse: Sequence[str | Path] = (),
        batch_size: int = 8,
        limit: int | Mapping[str, int | None] | None = None,
        max_new_tokens: int | None = None,
        check_data: Callable[[Path, str], object] | None = None,
        **options: Any,
    ) -> None:
        self.limit = {name: limit_of(limit, name) for name in BENCHMARKS}
        self.data = None if data is None else data_root(data)
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self._check_data = check_data
        prepare(offline=is_local(checkpoint, data))
        from vtstudy.evaluation.answer_cache import PredictionStore
        from vtstudy.evaluation.lmms_model import (
            Loaded,  # after `prepare`: it imports lmms-eval and transformers
        )

        quieten()
        self.store = PredictionStore(store, reuse)
        self.loaded = Loaded.of(checkpoint, **options)
        self._tasks: dict[str, Any] = {}
        self._images: dict[tuple[str, int | None], np.ndarray] = {}

    def questions(self, benchmarks: Iterable[str]) -> int:
        """How many questions the benchmarks ask of each variant."""
        counts = {name: len(self._task(name).eval_docs_no_media) for name in benchmarks}
        return sum(min(count, self.limit[name] or count) for name, count in counts.items())

    def prompts(self, name: str, count: int | None = None) -> list[tuple[str, "Question"]]:
        """The first ``count`` questions of a benchmark: as the task words them, and as the model is given them.

        Raises:
            EvaluationError, DatasetError: one sentence that says what is wrong.
        """
        from vtprune.attach.inference import Question, chat_prompt

        task = self._task(name)
        with muted():
            task.build_all_requests(limit=count)
        found = []
        for request in task.instances:
            text, _, to_visual, doc, _, split = request.args
            images = tuple(to_visual(task.dataset[split][doc]) or ())
            found.append((text, Question(doc, chat_prompt(self.loaded.processor, text, len(images)), images)))
        return found

    def images(self, name: str, count: int | None = None) -> np.ndarray:
        """Numbers of the images of a benchmark's first ``count`` questions, as of :func:`.images.image_numbers`."""
        if (name, count) not in self._images:
            task = self._task(name)
            documents = task.test_docs() if task.has_test_docs() else task.validation_docs()
            asked = documents if count is None else documents.select(range(min(count, len(documents))))
            self._images[name, count] = image_numbers(asked)
        return self._images[name, count]

    def check(self, variant: Variant) -> None:
        """Raise `ValueError` if the model lacks a layer that the cell's method needs."""
        variant.method.attach(self.loaded.model)

    def evaluate(self, variant: Variant, benchmarks: Sequence[str], bar: Any = None) -> dict[str, Scores]:
        """Scores by benchmark (``mme`` brings ``mme_cognition``); what is stored is not computed again.

        Args and Raises: as of ``evaluate_all``.
        """
        return self.evaluate_all([variant], benchmarks, bar)[0]

    def evaluate_all(
        self, variants: Sequence[Variant], benchmarks: Sequence[str], bar: Any = None
    ) -> list[dict[str, Scores]]:
        """As ``evaluate``, for several variants: the same scores and stored answers, for less.

        The variants that see the same images share those and the layers before they prune.

        Args:
            bar: a tqdm bar to advance by a question at a time, in place of one of its own.

        Raises:
            ValueError: if the model lacks a layer that the method needs.
            EvaluationError, DatasetError: one sentence that says what is wrong.
        """
        from tqdm import tqdm

        from vtstudy.evaluation.lmms_model import PrunedModel
        from vtstudy.evaluation.replay import Given

        for variant in variants:
            self.check(variant)
        if bar is None:
            total, names = (
                len(variants) * self.questions(benchmarks),
                dict.fromkeys(variant.method.name for variant in variants),
            )
            with tqdm(total=total, desc=", ".join(names), unit="question") as own:
                return self.evaluate_all(variants, benchmarks, own)
        found: dict[int, dict[str, Scores]] = {}
        for image in dict.fromkeys(variant.image for variant in variants):
            first, *others = (index for index, cell in enumerate(variants) if variant.image == image)
            model = PrunedModel(
                method=variants[first].method,
                also=[variants[index].method for index in others],
                image=image,
                store=self.store,
                batch_size=self.batch_size,
                max_new_tokens=self.max_new_tokens,
                loaded=self.loaded,
                bar=bar,
            )
            found[first] = self._scored(model, benchmarks)
            for index in others:
                answers = model.answers_of(variants[index].method)
                found[index] = self._scored(Given(lambda task, doc, answers=answers: answers[task, doc]), benchmarks)
        return [found[index] for index in range(len(variants))]

    def chance(self, benchmarks: Sequence[str]) -> dict[str, float]:
        """By benchmark and part, what guessing scores; with one answer to every question where these offer none."""
        found, open_ended = {}, []
        for name in benchmarks:
            own = guessed(name, self._asked(name))
            found |= own
            if not own:
                open_ended.append(name)
        return found | {name: scores.value for name, scores in self.constant(open_ended).items()}

    def _asked(self, name: str) -> Iterable[Mapping[str, Any]]:
        """The questions of a benchmark that its limit leaves, without their images."""
        return islice(self._task(name).eval_docs_no_media, self.limit[name])

    def constant(self, benchmarks: Sequence[str]) -> dict[str, Scores]:
        """Scores of one answer to every question: the one that is most often right (captions: most frequent)."""
        from vtstudy.evaluation.replay import Given

        answers = {}
        for name in benchmarks:
            golds = Counter(map(_gold, self._asked(name)))
            answers[BENCHMARKS[name].task] = min(golds, key=lambda gold: (-golds[gold], gold))
        return self._scored(Given(lambda task, _: answers[task]), benchmarks)

    def _scored(self, model: Any, benchmarks: Sequence[str]) -> dict[str, Scores]:
        by_limit: dict[int | None, list[str]] = {}
        for name in benchmarks:
            by_limit.setdefault(self.limit[name], []).append(name)
        found: dict[str, Scores] = {}
        for limit, names in by_limit.items():  # lmms-eval takes one for all tasks of a call
            found |= self._evaluated(model, names, limit)
        return {key: found[key] for name in benchmarks for key in (name, f"{name}_cognition") if key in found}

    def _evaluated(self, model: Any, benchmarks: Sequence[str], limit: int | None) -> dict[str, Scores]:
        from lmms_eval.evaluator import simple_evaluate

        tasks = [self._task(name) for name in benchmarks]
        images = {name: self.images(name, limit) for name in benchmarks}
        with tempfile.TemporaryDirectory() as scratch, muted():
            # Tasks write score files where `output_path` says: not into the data.
            outcome = simple_evaluate(
                model=model,
                tasks=tasks,
                batch_size=self.batch_size,
                limit=limit,
                bootstrap_iters=0,
                log_samples=True,
                process_docs_parallel=1,
                task_manager=self._manager,
                cli_args=Namespace(output_path=scratch, process_with_media=False, reasoning_tags=None),
            )
        if outcome is None:
            raise EvaluationError("only the first of several processes gets results; run the experiment in one")
        found: dict[str, Scores] = {}
        for name in benchmarks:
            task = BENCHMARKS[name].task
            found |= scores_of(name, BENCHMARKS[name], outcome["samples"][task], outcome["results"][task], images[name])
        return found

    @cached_property
    def _manager(self) -> Any:
        from lmms_eval.tasks import TaskManager

        with muted():
            manager = TaskManager("ERROR", include_path=str(Path(__file__).parent / "tasks"))
        quieten()
        return manager

    def _task(self, name: str) -> Any:
        if name not in self._tasks:
            check_benchmarks([name])
            check_available(name, local=self.data is not None)
            spec = BENCHMARKS[name]
            if self.data is not None and self._check_data is not None:
                self._check_data(self.data, name)
            with _working_directory(self.data), muted():
                try:
                    self._tasks[name] = self._load(spec.task, spec.metric if spec.java else None)
                except Exception as error:
                    cause = error.last_attempt.exception() if hasattr(error, "last_attempt") else error
                    reason = next(
                        (line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__
                    )
                    raise EvaluationError(f"{spec.title}: its data set cannot be loaded ({reason})") from error
        return self._tasks[name]

    def _load(self, task: str, only: str | None) -> Any:
        from lmms_eval.tasks import get_task_dict

        loaded = get_task_dict([task], self._manager, "simple")[task]
        if only is None:
            return loaded
        remember_tokenized()
        # Every metric of a caption task starts METEOR, 6 s of CPU, whether it is asked for or not.
        entry = {"metric": only, "aggregation": loaded.aggregation()[only], "higher_is_better": True}
        return get_task_dict([{"task": task, "metric_list": [entry]}], self._manager, "simple")[task]


@contextlib.contextmanager
def _working_directory(folder: Path | None) -> Any:
    """`datasets` finds a local data set by its name relative to the working directory."""
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


def _gold(doc: Mapping[str, Any]) -> str:
    """A document's answer: the most frequent where it has several, the first of those."""
    for key in ("annotations_captions", "caption", "answers", "answer"):
        if key in doc:
            value = doc[key]
            if not isinstance(value, list):
                return str(value)
            texts = [entry["answer"] if isinstance(entry, Mapping) else entry for entry in value]
            return Counter(texts).most_common(1)[0][0]
    raise EvaluationError("a document has no column that holds its answer")
