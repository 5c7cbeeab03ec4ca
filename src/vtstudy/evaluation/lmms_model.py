"""The lmms-eval model ``vtprune``: a pruned vision-language model, batched, resumable."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL import Image
from tqdm import tqdm

from vtprune.attach import load
from vtprune.attach.inference import Question, answer, chat_prompt
from vtprune.errors import UserError
from vtprune.methods.base import Method, parse_method
from vtstudy.evaluation.answer_cache import PredictionStore, Shelf
from vtstudy.evaluation.cache_key import checkpoint_digest, data_name, question_digest, software
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.generation import batches, blank, generation_arguments

_log = logging.getLogger("vtprune")
DEFAULT_STORE = "data/predictions"
IMAGES = ("shown", "blank")
_USER_ERRORS = (UserError, OSError)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory."""

    model: Any
    processor: Any
    digest: str

    @classmethod
    def of(cls, path_or_id: str | Path, **options: Any) -> "Loaded":
        """Load a checkpoint; ``options`` are those of :func:`vtprune.attach.loading`.

        Raises:
            CheckpointError: if it is missing, damaged or not supported.
            EvaluationError: if it should go to a GPU and there is none.
        """
        device = options.get("device")
        if device is not None and str(device).startswith("cuda") and not torch.cuda.is_available():
            raise EvaluationError(f"there is no GPU for device {device}")
        model, processor = load(path_or_id, **options)
        commit = getattr(model.config, "_commit_hash", None)
        return cls(model, processor, checkpoint_digest(path_or_id, commit))


class PrunedModel(lmms):
    """``--model vtprune --model_args pretrained=PATH,method=adaptprune,keep=0.1``.

    Args:
        pretrained: a checkpoint's folder or Hub id.
        method: of the methods that ``vtprune methods`` lists, by name.
        keep: fraction of the image tokens that stay, in (0, 1].
        image: ``shown``, or ``blank`` for the blind baseline: a mid-grey image of the same size.
        store: folder of predictions, relative to the working directory on creation; or a store.
        batch_size: questions at a time.
        device: by default a GPU if there is one (each process its own), else the CPU.
        dtype: of the weights, such as ``bfloat16``; by default the checkpoint's own.
        attn_implementation: by default transformers' choice.
        max_new_tokens: at most so many, whatever a task says.
        loaded: a checkpoint in memory, in place of ``pretrained``.
        bar: a progress bar to advance by a question at a time, in place of one of its own.
        also: other methods that answer the same requests, for less than a run of each would cost:
            what lies before they prune is computed once. Their answers are stored as those of a run
            of their own, and given by ``answers_of``.
        parameters: the method's other parameters.

    Raises:
        ValueError, CheckpointError, EvaluationError: one sentence that says what is wrong.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str | None = None,
        method: str | Method = "none",
        keep: float | None = None,
        image: str = "shown",
        store: str | Path | PredictionStore = DEFAULT_STORE,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        attn_implementation: str | None = None,
        max_new_tokens: int | None = None,
        loaded: Loaded | None = None,
        bar: tqdm | None = None,
        also: Sequence[Method] = (),
        **parameters: Any,
    ) -> None:
        super().__init__()
        self.method = method if isinstance(method, Method) else parse_method(method, keep, **parameters)
        if image not in IMAGES:
            raise UserError(f"image must be one of {', '.join(IMAGES)}, not {image!r}")
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise UserError(f"batch_size must be a whole number of at least 1, not {batch_size!r}")
        if loaded is None and not pretrained:
            raise UserError("the model arguments lack pretrained, the checkpoint's folder or Hub id")
        self.image, self.batch_size, self.max_new_tokens = image, int(batch_size), max_new_tokens
        self.store = store if isinstance(store, PredictionStore) else PredictionStore(store)
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        if loaded is None:
            if self._world_size > 1 and torch.cuda.is_available():
                device = f"cuda:{self.accelerator.local_process_index}"
            loaded = Loaded.of(pretrained, device=device, dtype=dtype, attn_implementation=attn_implementation)
        self.loaded = loaded
        self._methods = {_key(method): method for method in (self.method, *also)}
        self._answers: dict[str, dict[tuple[str, int], str]] = {key: {} for key in self._methods}
        for each in self._methods.values():
            each.attach(loaded.model)  # refuses a layer that the model does not have
        self._bar = bar
        self._run_by_command = False

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict | None = None) -> "PrunedModel":
        """As lmms-eval's command calls it. What is wrong ends the command, with one sentence and exit code 1.

        (It would otherwise print a traceback and end with 0.)
        """
        with _one_sentence():
            model = super().create_from_arg_string(arg_string, additional_config)
        model._run_by_command = True
        return model

    @property
    def device(self) -> torch.device:
        return self.loaded.model.device

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answers in the order of the requests. Any failure is raised, never answered with nothing.

        Raises:
            EvaluationError: for a question without an image, a task that samples, or a damaged store.
        """
        if self._run_by_command:
            with _one_sentence():
                return self._generate_until(requests)
        return self._generate_until(requests)

    def answers_of(self, method: Method) -> Mapping[tuple[str, int], str]:
        """What one of the methods answered to all requests so far, by task and document."""
        return self._answers[_key(method)]

    def clean(self) -> None:
        """Nothing: the checkpoint stays for the next run, and collecting garbage takes longer than most scoring."""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("vtprune only generates answers; tasks that need log-likelihoods are not supported")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("vtprune answers single questions; tasks of several rounds are not supported")

    def _generate_until(self, requests: list[Instance]) -> list[str]:
        groups: dict[tuple[str, str, str], list[int]] = {}
        arguments = []
        for index, request in enumerate(requests):
            _, given, _, _, task, split = request.args
            arguments.append(generation_arguments(given, task=task, limit=self.max_new_tokens))
            groups.setdefault((task, split, repr(arguments[-1])), []).append(index)
        bar = self._bar
        if bar is None:
            total = len(requests) * len(self._methods)
            bar = tqdm(total=total, desc=self.method.name, unit="question", disable=self.rank != 0)
        try:
            for (task, split, _), members in groups.items():
                self._answer_task(task, split, [requests[i] for i in members], arguments[members[0]], bar)
        finally:
            if bar is not self._bar:
                bar.close()
        answers = self.answers_of(self.method)
        return [answers[request.args[4], request.args[3]] for request in requests]

    def _answer_task(
        self, task: str, split: str, requests: list[Instance], arguments: Mapping[str, Any], bar: tqdm
    ) -> None:
        documents = self.task_dict[task][split]
        by_doc = {request.args[3]: request for request in requests}  # repeats ask the same
        bar.update((len(requests) - len(by_doc)) * len(self._methods))
        requests = list(by_doc.values())
        identities = [self.identity(method, task, split, documents, arguments) for method in self._methods.values()]
        with self.store.open_all(identities, rank=self.rank) as opened:
            shelves = dict(zip(self._methods, opened, strict=True))
            for batch in batches([len(request.args[0]) for request in requests], self.batch_size):
                questions = [self._question(requests[index], documents) for index in batch]
                for key, found in self._answer_batch(questions, shelves, arguments):
                    self._answers[key] |= {(task, doc): text for doc, text in found.items()}
                    bar.update(len(batch))

    def _answer_batch(
        self, questions: Sequence[Question], shelves: Mapping[str, Shelf], arguments: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[int, str]]]:
        """By method its answers by document, as soon as they are on the disk.

        A batch of which a method lacks any answer is computed whole: what an answer is made with
        must not depend on what is stored. Answers that are stored stay as they are.
        """
        digests = {question.doc: question_digest(question.text, question.images) for question in questions}
        lacking = {}
        for key, shelf in shelves.items():
            stored = {doc: text for doc in digests if (text := shelf.get(doc, digests[doc])) is not None}
            if len(stored) == len(digests):
                yield key, stored
            else:
                lacking[key] = stored
        if not lacking:
            return
        keys = list(lacking)
        methods = [self._methods[key] for key in keys]
        for index, texts in answer(self.loaded.model, self.loaded.processor, questions, methods, arguments):
            key, made = keys[index], dict(zip(digests, texts, strict=True))
            stored = lacking[key]
            shelves[key].add((doc, digests[doc], text) for doc, text in made.items() if doc not in stored)
            if any(made[doc] != text for doc, text in stored.items()):
                _log.warning(f"{shelves[key].path.name}: some stored answers differ from those made now; they are kept")
            yield key, made | stored

    def _question(self, request: Instance, documents: Any) -> Question:
        text, _, to_visual, doc, task, _ = request.args
        images = tuple(to_visual(documents[doc]) or ())
        if not images:
            raise EvaluationError(
                f"question {doc} of task {task} has no image, so there is nothing to prune in its prompt"
            )
        if not all(isinstance(image, Image.Image) for image in images):
            raise EvaluationError(f"question {doc} of task {task} shows something else than images")
        if self.image == "blank":
            images = tuple(map(blank, images))
        return Question(doc, chat_prompt(self.loaded.processor, text, len(images)), images)

    def identity(
        self, method: Method, task: str, split: str, documents: Any, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """All that a method's answers to a task depend on, but for the questions themselves."""
        model = self.loaded.model
        return {
            "task": task,
            "split": split,
            "data": data_name(documents),
            "checkpoint": self.loaded.digest,
            "method": method.signature(),
            "image": self.image,
            "dtype": str(model.dtype).removeprefix("torch."),
            "attention": model.config._attn_implementation,
            "device": model.device.type,
            "generation": dict(arguments),
            "software": software(method),
        }


def _key(method: Method) -> str:
    return json.dumps(method.signature())


class _one_sentence:
    """Ends the process on an error that the user can do something about; others keep their traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _USER_ERRORS):
            raise SystemExit(f"vtprune: {error}") from error
        if isinstance(error, Exception):
            import traceback

            traceback.print_exception(error)
            raise SystemExit(f"vtprune: {type(error).__name__} while answering: {error}") from error
