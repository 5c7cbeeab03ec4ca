"""The lmms-eval model ``vtprune``: a pruned vision-language model, batched, resumable."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL import Image
from tqdm import tqdm

from vtprune.models import CheckpointError, load
from vtprune.pruning import Method, get_method

from .errors import EvaluationError
from .generation import (
    Question,
    answer,
    batches,
    blank,
    chat_prompt,
    generation_arguments,
)
from .identity import checkpoint_digest, data_name, question_digest, software
from .store import PredictionStore

DEFAULT_STORE = "data/predictions"
IMAGES = ("shown", "blank")
_USER_ERRORS = (EvaluationError, CheckpointError, ValueError, OSError)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory. Not a module itself, so lmms-eval's clean-up leaves it alone."""

    model: Any
    processor: Any
    digest: str

    @classmethod
    def of(cls, path_or_id: str | Path, **options: Any) -> "Loaded":
        """Load a checkpoint; ``options`` are those of :func:`vtprune.models.load`.

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


def method_of(name: str, keep: float | None = None, **parameters: Any) -> Method:
    """A method by its name; ``keep`` is a fraction in (0, 1], and only 1 fits the method ``none``.

    Raises:
        ValueError: if there is no such method or parameter, or it refuses a value.
    """
    if keep is not None:
        try:
            keep = float(keep)
        except (TypeError, ValueError):
            raise ValueError(f"keep must be a fraction in (0, 1], not {keep!r}") from None
        if not 0 < keep <= 1:
            raise ValueError(f"keep must lie in (0, 1], not {keep:g}")
        if name != "none":
            parameters["keep"] = keep
        elif keep != 1:
            raise ValueError(f"method 'none' keeps every token, so keep must be 1, not {keep:g}")
    return get_method(name, **parameters)


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
        **parameters: Any,
    ) -> None:
        super().__init__()
        self.method = method if isinstance(method, Method) else method_of(method, keep, **parameters)
        if image not in IMAGES:
            raise ValueError(f"image must be one of {', '.join(IMAGES)}, not {image!r}")
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size!r}")
        if loaded is None and not pretrained:
            raise ValueError("the model arguments lack pretrained, the checkpoint's folder or Hub id")
        self.image, self.batch_size, self.max_new_tokens = image, int(batch_size), max_new_tokens
        self.store = store if isinstance(store, PredictionStore) else PredictionStore(store)
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        if loaded is None:
            if self._world_size > 1 and torch.cuda.is_available():
                device = f"cuda:{self.accelerator.local_process_index}"
            loaded = Loaded.of(pretrained, device=device, dtype=dtype, attn_implementation=attn_implementation)
        self.loaded = loaded
        self.method.attach(loaded.model)  # refuses a layer that the model does not have
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
        answers: list[str | None] = [None] * len(requests)
        bar = self._bar
        if bar is None:
            bar = tqdm(total=len(requests), desc=self.method.name, unit="question", disable=self.rank != 0)
        try:
            with self.method.attach(self.loaded.model):
                for (task, split, _), members in groups.items():
                    found = self._answer_task(task, split, [requests[i] for i in members], arguments[members[0]], bar)
                    for index in members:
                        answers[index] = found[requests[index].args[3]]
        finally:
            if bar is not self._bar:
                bar.close()
        return answers

    def _answer_task(
        self, task: str, split: str, requests: list[Instance], arguments: Mapping[str, Any], bar: tqdm
    ) -> dict[int, str]:
        documents = self.task_dict[task][split]
        by_doc = {request.args[3]: request for request in requests}  # repeats ask the same
        bar.update(len(requests) - len(by_doc))
        requests = list(by_doc.values())
        with self.store.open(self.identity(task, split, documents, arguments), rank=self.rank) as shelf:
            found: dict[int, str] = {}
            for batch in batches([len(request.args[0]) for request in requests], self.batch_size):
                missing = []
                for question in (self._question(requests[index], documents) for index in batch):
                    digest = question_digest(question.text, question.images)
                    stored = shelf.get(question.doc, digest)
                    if stored is None:
                        missing.append((question, digest))
                    else:
                        found[question.doc] = stored
                if missing:
                    made = answer(self.loaded.model, self.loaded.processor, [q for q, _ in missing], arguments)
                    shelf.add((q.doc, digest, text) for (q, digest), text in zip(missing, made, strict=True))
                    found |= {q.doc: text for (q, _), text in zip(missing, made, strict=True)}
                bar.update(len(batch))
        return found

    def _question(self, request: Instance, documents: Any) -> Question:
        text, _, to_visual, doc, task, _ = request.args
        images = tuple(to_visual(documents[doc]) or ())
        if not images:
            raise EvaluationError(f"question {doc} of task {task} has no image, so there is nothing to prune in its prompt")
        if not all(isinstance(image, Image.Image) for image in images):
            raise EvaluationError(f"question {doc} of task {task} shows something else than images")
        if self.image == "blank":
            images = tuple(map(blank, images))
        return Question(doc, chat_prompt(self.loaded.processor, text, len(images)), images)

    def identity(self, task: str, split: str, documents: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All that the answers to a task depend on, but for the questions themselves."""
        model = self.loaded.model
        return {
            "task": task,
            "split": split,
            "data": data_name(documents),
            "checkpoint": self.loaded.digest,
            "method": self.method.signature(),
            "image": self.image,
            "dtype": str(model.dtype).removeprefix("torch."),
            "attention": model.config._attn_implementation,
            "device": model.device.type,
            "generation": dict(arguments),
            "software": software(),
        }


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
