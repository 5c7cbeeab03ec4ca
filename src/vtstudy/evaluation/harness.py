"""The evaluator: answers requests of experiments with one checkpoint, and scores the answers.

Everything costly is cached (see `answer_cache` and `measurement_cache`), so that scores of stored answers need neither
the checkpoint nor lmms-eval. Those are loaded when something has to be computed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from vtprune.attach.inference import Question
from vtprune.stages import placed
from vtstudy.benchmarks import (
    BENCHMARKS,
    MMBENCH_GROUP_OF,
    MME_COGNITION,
    MME_PERCEPTION,
    check_available,
    check_benchmarks,
)
from vtstudy.evaluation.answer_cache import Answer, AnswerCache
from vtstudy.evaluation.answering import (
    Batch,
    answer_benchmark,
    claim,
    identity,
    is_stored,
    lacking_methods,
    method_name,
    plan_batches,
)
from vtstudy.evaluation.cache_key import data_digest, files_digest, meaning, package_version
from vtstudy.evaluation.chance import guessed
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.environment import data_root, prepare
from vtstudy.evaluation.errors import CacheError, EvaluationError
from vtstudy.evaluation.generation import generation_arguments
from vtstudy.evaluation.limits import least_limit
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.evaluation.presentation import AUTO
from vtstudy.evaluation.questions import QuestionList, QuestionLoader
from vtstudy.evaluation.references import references
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.evaluation.scoring import Scores
from vtstudy.evaluation.shards import ALL, Shard

if TYPE_CHECKING:
    from vtstudy.evaluation.lmms_tasks import LmmsTasks

DEFAULT_CACHE = "data/answers"
# The modules whose code makes scores out of answers, and lists out of questions.
_SCORING = ("vtstudy.evaluation.scoring", "vtstudy.evaluation.lmms_tasks")
_LISTING = ("vtstudy.evaluation.questions", "vtstudy.evaluation.images")
_LIMITING = ("vtstudy.evaluation.limits",)
_GUESSING = ("vtstudy.evaluation.chance", *_SCORING)
LISTED_AT_A_TIME = 1024
"""A longer list of questions is made in parts of this length, so that no process makes a part twice."""


def is_local(checkpoint: str | Path, data: str | Path | None) -> bool:
    """Whether neither the checkpoint nor the data come from the Hub, so that nothing needs the network."""
    return data is not None and Path(checkpoint).expanduser().is_dir()


class Evaluator:
    """Evaluates variants of one checkpoint with lmms-eval's unmodified tasks.

    Args:
        checkpoint: a folder or a Hub id.
        data: the folder that holds `lmms-lab-encoder/`; None to load from the Hub. Where both the checkpoint and the
            data are local, nothing uses the network.
        cache: the folder of answers; measurements are in its folder `measurements`.
        batch_size: how many questions are answered at a time.
        max_new_tokens: at most so many new tokens, whatever a task says; None for the tasks' own numbers.
        check_data: called with `data` and a benchmark before a local data set is loaded; raises for a damaged one.
        device, dtype, attn_implementation, prompt, pictures: see `checkpoint.Checkpoint`.
        prefetch: whether a thread loads and encodes the next batch while the model answers one; None to do so where the
            model does not run on the CPU itself. The answers are the same.

    Raises:
        EvaluationError: if there are no data in the folder, or no such device.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        data: str | Path | None,
        *,
        cache: str | Path = DEFAULT_CACHE,
        batch_size: int = 8,
        max_new_tokens: int | None = None,
        check_data: Callable[[Path, str], object] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        attn_implementation: str | None = None,
        prompt: str = AUTO,
        pictures: str = AUTO,
        prefetch: bool | None = None,
    ) -> None:
        prepare(offline=is_local(checkpoint, data))
        self.data = None if data is None else data_root(data)
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self.cache = AnswerCache(cache)
        self.measurements = MeasurementCache(self.cache.folder / "measurements")
        self.checkpoint = Checkpoint(
            checkpoint,
            self.measurements,
            device=device,
            dtype=dtype,
            attn_implementation=attn_implementation,
            prompt=prompt,
            pictures=pictures,
        )
        self.prefetch = self.checkpoint.device.type != "cpu" if prefetch is None else prefetch
        self._check_data = check_data
        self._lists: dict[tuple[str, int | None], QuestionList] = {}

    # ---- questions

    def questions(self, benchmark: str, limit: int | None = None, *, shard: Shard = ALL) -> QuestionList:
        """A benchmark's first questions, without their images.

        Args:
            shard: of this process, if others list the same questions at the same time: each begins at another place,
                and takes over what the others have listed.

        Raises:
            EvaluationError, DatasetError: if the benchmark's data set cannot be loaded.
        """
        if (benchmark, limit) not in self._lists:
            larger = [
                questions
                for (name, other), questions in self._lists.items()
                if name == benchmark and (other is None or (limit is not None and other > limit))
            ]
            self._lists[benchmark, limit] = larger[0].first(limit) if larger else self._listed(benchmark, limit, shard)
        return self._lists[benchmark, limit]

    def prompts(self, benchmark: str, limit: int | None = None) -> Iterator[Question]:
        """A benchmark's first questions with their images, as the model gets them: one at a time, none is kept.

        Raises: see `questions`.
        """
        loader = self.loader(benchmark, limit)
        return (loader.load(index, "shown") for index in range(len(loader)))

    def images(self, benchmark: str, limit: int | None = None) -> np.ndarray:
        """`[questions]` the numbers of the images that a benchmark's first questions show (see `images`)."""
        return np.array(self.questions(benchmark, limit).images, dtype=int)

    def data_key(self, benchmark: str) -> Any:
        """What identifies the benchmark's data set: a digest of its files, or the name of the Hub's version."""
        if self.data is None:
            task = self.tasks.task(benchmark)
            documents = task.test_docs() if task.has_test_docs() else task.validation_docs()
            files = getattr(documents, "cache_files", None) or []
            return sorted({"/".join(Path(file["filename"]).parts[-5:-1]) for file in files})
        spec = BENCHMARKS[benchmark]
        patterns = [spec.pattern(config) for config in (spec.config, spec.images_config) if config is not None]
        folder = self.data / spec.path
        files = {str(file.relative_to(folder)): file for pattern in patterns for file in folder.glob(pattern)}
        return files_digest(files)

    @cached_property
    def tasks(self) -> "LmmsTasks":
        """lmms-eval's tasks of the benchmarks."""
        from vtstudy.evaluation.lmms_tasks import LmmsTasks  # lmms-eval takes seconds; cached scores do without

        return LmmsTasks(self.data, self._check_data)

    def _listed(self, benchmark: str, limit: int | None, shard: Shard) -> QuestionList:
        check_benchmarks([benchmark])
        check_available(benchmark, self.data)
        key = {
            **self._data_versions(benchmark, limit),
            "checkpoint": self.checkpoint.digest,
            **self.checkpoint.presentation.key(),
            "transformers": package_version("transformers"),
            "pillow": package_version("pillow"),
            "code": meaning(_LISTING),
        }

        def read() -> dict[str, Any]:
            loader = self.loader(benchmark, limit)
            starts = range(0, len(loader), LISTED_AT_A_TIME)
            if len(starts) < 2:
                return vars(loader.list(self.tasks.image_numbers(benchmark, limit)))
            images = self.measurements.data(
                f"images-{benchmark}", key, lambda: self.tasks.image_numbers(benchmark, limit)
            )

            def part(start: int) -> dict[str, Any]:
                chosen = slice(start, start + LISTED_AT_A_TIME)
                return self.measurements.data(
                    f"questions-{benchmark}-part",
                    {**key, "start": start, "count": LISTED_AT_A_TIME},
                    lambda: vars(loader.part(chosen).list(images[chosen])),
                )

            for start in tqdm(shard.turned(starts), desc=f"list {benchmark}", unit="part", dynamic_ncols=True):
                part(start)
            return vars(QuestionList.joined([QuestionList(**part(start)) for start in starts]))

        return QuestionList(**self.measurements.data(f"questions-{benchmark}", key, read))

    def _data_versions(self, benchmark: str, limit: int | None) -> dict[str, Any]:
        return {
            "benchmark": benchmark,
            "limit": limit,
            "task": BENCHMARKS[benchmark].task,
            "data": self.data_key(benchmark),
            "lmms_eval": package_version("lmms-eval"),
        }

    def loader(self, benchmark: str, limit: int | None = None) -> QuestionLoader:
        """What loads a benchmark's first questions with their images, one at a time.

        Raises: see `questions`.
        """
        instances = self.tasks.instances(benchmark, limit)
        documents = self.tasks.task(benchmark).dataset[instances[0].args[5]] if instances else []
        return QuestionLoader(instances, documents, self.checkpoint.processor, self.checkpoint.presentation)

    # ---- answers

    def check(self, variant: Variant) -> None:
        """Check that the model has the layers that a variant's method prunes at.

        Raises:
            UserError: if it lacks one.
        """
        placed(variant.method, self.checkpoint.layers)

    def _check_limits(self, limits: Iterable[int | None]) -> None:
        """Check that MME's questions which limits leave can be scored.

        Raises:
            EvaluationError: if they cannot; nothing has been asked then.
        """
        for limit in limits:
            if limit is None:
                continue
            least = self.measurements.data(
                "limit-mme",
                {**self._data_versions("mme", limit), "code": meaning(_LIMITING)},
                partial(self._least_limit, limit),
            )
            if least > limit:
                raise EvaluationError(
                    f"MME: a limit of {limit} leaves no pair of questions for its perception score, or one without its "
                    f"other; ask at least {least} of its questions, or all (limit: {{mme: null}})"
                )

    def _least_limit(self, limit: int) -> int:
        check_available("mme", self.data)
        return least_limit(self.tasks.documents("mme", None), limit)

    def answer(self, requests: Iterable[Request], bar: tqdm | None = None, *, shard: Shard = ALL) -> int:
        """Make sure that the answers of all requests are in the cache, or those of one shard of them.

        The questions of a benchmark are read once, and all variants answer them in that pass.

        Args:
            requests: of any variants and benchmarks.
            bar: a progress bar in place of one of its own. Its total becomes the number of answers to make.
            shard: the part of the batches that this process answers.

        Returns:
            How many answers this process had to make.

        Raises:
            UserError: if the model lacks a layer that a method needs.
            EvaluationError, DatasetError, CacheError: if data, checkpoint or cache cannot be used.
        """
        by_benchmark = self._by_benchmark(requests)
        planned = shard.of(self._planned(by_benchmark, shard))
        counts = {name: self._missing(name, by_benchmark[name], [batches])[0] for name, batches in planned.items()}
        missing = {name: count for name, count in counts.items() if count}
        total = sum(missing.values())
        if bar is None:
            with tqdm(
                total=total,
                desc=None if shard.is_all else f"shard {shard}",
                unit="answer",
                smoothing=0.1,
                dynamic_ncols=True,
                disable=not total,
            ) as new_bar:
                self._answer(by_benchmark, planned, missing, new_bar, shard)
        else:
            bar.total = total
            bar.refresh()
            self._answer(by_benchmark, planned, missing, bar, shard)
        return total

    def missing(self, requests: Iterable[Request], shards: int = 1) -> dict[Shard, dict[str, int]]:
        """How many answers are missing, by shard and benchmark; shards and benchmarks that lack none are left out.

        Args:
            shards: among how many the work is divided.

        Raises: see `answer`.
        """
        by_benchmark = self._by_benchmark(requests)
        lacking: dict[Shard, dict[str, int]] = {}
        planned = self._planned(by_benchmark)
        parts = {shard: shard.of(planned) for shard in (Shard(number, shards) for number in range(1, shards + 1))}
        for name in planned:
            counts = self._missing(name, by_benchmark[name], [batches[name] for batches in parts.values()])
            for shard, count in zip(parts, counts, strict=True):
                if count:
                    lacking.setdefault(shard, {})[name] = count
        return dict(sorted(lacking.items(), key=lambda item: item[0].number))

    def check_agreement(self, requests: Iterable[Request]) -> None:
        """Check that no answer is stored twice, in two files, with different texts.

        Raises:
            CacheError: if one is; see `answer` too.
        """
        for name, group in self._by_benchmark(requests).items():
            asked_here = set().union(*self._largest(name, group).digests.values())
            for request in group:
                for conflict in self.cache.conflicts(self._identity(request)):
                    if conflict.question in asked_here:
                        raise CacheError(
                            f"two files of {self.cache.folder} hold different answers to the same question of {name}, "
                            f"{conflict.used!r} and {conflict.other!r}: delete one of {' and '.join(conflict.files)}, "
                            "and run the command again; answers that are then missing are made anew"
                        )

    def answers(self, request: Request) -> list[Answer]:
        """The answers to a request, in the order of the questions; those that are not stored are made.

        Raises: see `answer`.
        """
        digests = self._digests(request)
        stored = self._stored(request)
        if not is_stored(stored, digests, request.tokens):
            self.answer([request])
            stored = self._stored(request)
        return [stored[digest] for digest in digests]

    def tokens(self, variant: Variant, benchmark: str, limit: int | None = None) -> np.ndarray:
        """`[questions, 2]` the image tokens of each prompt after the last stage, and averaged over all layers.

        Raises: see `answer`.
        """
        counts = []
        for answer in self.answers(Request(variant, benchmark, limit, tokens=True)):
            pairs = answer.tokens or ()
            counts.append((pairs[-1][0], sum(count * layers for count, layers in pairs) / self.checkpoint.layers))
        return np.array(counts, dtype=float).reshape(-1, 2)

    def _digests(self, request: Request) -> Sequence[str]:
        return self.questions(request.benchmark, request.limit).digests[request.variant.image]

    def _stored(self, request: Request) -> Mapping[str, Answer]:
        return self.cache.read(self._identity(request))

    def _identity(self, request: Request) -> dict[str, Any]:
        arguments = self._arguments(request.benchmark, request.limit)
        return identity(self.checkpoint, request.variant.method, arguments)

    def _arguments(self, benchmark: str, limit: int | None) -> dict[str, Any]:
        task_arguments = self.questions(benchmark, limit).generation
        return generation_arguments(task_arguments, task=BENCHMARKS[benchmark].task, limit=self.max_new_tokens)

    def _largest(self, benchmark: str, requests: Sequence[Request], shard: Shard = ALL) -> QuestionList:
        """As many of the benchmark's questions as the largest limit leaves."""
        limits = [request.limit for request in requests]
        limit = None if None in limits else max(limit for limit in limits if limit)
        return self.questions(benchmark, limit, shard=shard)

    def _by_benchmark(self, requests: Iterable[Request]) -> dict[str, list[Request]]:
        by_benchmark: dict[str, list[Request]] = {}
        for request in requests:
            self.check(request.variant)
            by_benchmark.setdefault(request.benchmark, []).append(request)
        self._check_limits({request.limit for request in by_benchmark.get("mme", ())})
        return by_benchmark

    def _planned(self, by_benchmark: Mapping[str, Sequence[Request]], shard: Shard = ALL) -> dict[str, list[Batch]]:
        """All batches of each benchmark, before they are divided among processes."""
        questions = {name: self._largest(name, requests, shard) for name, requests in by_benchmark.items()}
        planned = {
            name: plan_batches(questions[name], requests, self.batch_size) for name, requests in by_benchmark.items()
        }
        arguments = {
            name: self._arguments(name, requests[0].limit) for name, requests in by_benchmark.items() if requests
        }
        claim(planned, questions, arguments)
        return planned

    def _missing(self, benchmark: str, requests: Sequence[Request], parts: Iterable[Sequence[Batch]]) -> list[int]:
        """How many answers have to be made, of each of several parts of the benchmark's batches."""
        questions = self._largest(benchmark, requests)
        stored = {method_name(request.variant.method): self._stored(request) for request in requests}
        return [
            sum(len(lacking_methods(batch, questions, stored)) * len(batch.questions) for batch in batches)
            for batches in parts
        ]

    def _answer(
        self,
        by_benchmark: Mapping[str, Sequence[Request]],
        planned: Mapping[str, Sequence[Batch]],
        missing: Iterable[str],
        bar: tqdm,
        shard: Shard,
    ) -> None:
        for benchmark in missing:
            requests = by_benchmark[benchmark]
            questions = self._largest(benchmark, requests)
            answer_benchmark(
                self.checkpoint,
                questions,
                self.loader(benchmark, len(questions)),
                {method_name(request.variant.method): request.variant.method for request in requests},
                planned[benchmark],
                self.cache,
                self._arguments(benchmark, requests[0].limit),
                bar=bar,
                shard=shard,
                prefetch=self.prefetch,
            )

    # ---- scores

    def scores(self, variant: Variant, benchmark: str, limit: int | None = None) -> dict[str, Scores]:
        """Scores of a variant: of the benchmark, and for `mme` of `mme_cognition` too.

        Answers that are not stored are made.

        Raises: see `answer`; EvaluationError too where lmms-eval's score cannot be reproduced from the questions'.
        """
        questions = self.questions(benchmark, limit)
        texts = [answer.text for answer in self.answers(Request(variant, benchmark, limit))]

        def score() -> dict[str, Any]:
            answers = dict(zip(questions.documents, texts, strict=True))
            return self._scored(benchmark, answers, limit)

        key = self._scores_key(variant, benchmark, limit, texts)
        stored = self.measurements.data(f"scores-{benchmark}", key, score)
        return {name: Scores.from_data(scores) for name, scores in stored.items()}

    def unscored(self, requests: Iterable[Request]) -> list[Request]:
        """The requests whose answers are stored, and their scores are not.

        Raises: see `answer`.
        """
        found = []
        for request in requests:
            digests, stored = self._digests(request), self._stored(request)
            if not is_stored(stored, digests, request.tokens):
                continue
            texts = [stored[digest].text for digest in digests]
            key = self._scores_key(request.variant, request.benchmark, request.limit, texts)
            if not self.measurements.has_data(f"scores-{request.benchmark}", key):
                found.append(request)
        return found

    def _scores_key(self, variant: Variant, benchmark: str, limit: int | None, texts: Sequence[str]) -> dict[str, Any]:
        questions = self.questions(benchmark, limit)
        return {
            **self._scoring_versions(benchmark, limit),
            "answers": data_digest([questions.digests[variant.image], texts]),
        }

    def chance(self, benchmark: str, limit: int | None = None) -> dict[str, float]:
        """What guessing scores, by benchmark and part.

        Where a benchmark's questions do not offer their answers, one answer is given to all of them (see `constant`).
        """

        def guess() -> dict[str, float]:
            scores = guessed(benchmark, self.tasks.documents(benchmark, limit))
            return scores or {name: scores.value for name, scores in self.constant(benchmark, limit).items()}

        tables = [BENCHMARKS[benchmark].chance, list(MME_PERCEPTION), list(MME_COGNITION), MMBENCH_GROUP_OF]
        key = {**self._scoring_versions(benchmark, limit), "code": meaning(_GUESSING), "tables": data_digest(tables)}
        return self.measurements.data(f"chance-{benchmark}", key, guess)

    def constant(self, benchmark: str, limit: int | None = None) -> dict[str, Scores]:
        """Scores of one answer to every question: the answer that is most often right (captions: most frequent)."""

        def score() -> dict[str, Any]:
            documents = self.questions(benchmark, limit).documents
            golds = Counter(references(document)[0] for document in self.tasks.documents(benchmark, limit))
            answer = min(golds, key=lambda gold: (-golds[gold], gold))
            return self._scored(benchmark, dict.fromkeys(documents, answer), limit)

        stored = self.measurements.data(f"constant-{benchmark}", self._scoring_versions(benchmark, limit), score)
        return {name: Scores.from_data(scores) for name, scores in stored.items()}

    def _scoring_versions(self, benchmark: str, limit: int | None) -> dict[str, Any]:
        spec = BENCHMARKS[benchmark]
        scoring = {"metric": spec.metric, "scale": spec.scale, "code": meaning(_SCORING)}
        return {**self._data_versions(benchmark, limit), **scoring}

    def _scored(self, benchmark: str, answers: Mapping[int, str], limit: int | None) -> dict[str, Any]:
        questions = self.questions(benchmark, limit)
        images = dict(zip(questions.documents, questions.images, strict=True))
        scores = self.tasks.score(benchmark, answers, limit, images)
        return {name: result.to_data() for name, result in scores.items()}
