"""The lmms-eval model `vtprune`: it answers lmms-eval's requests with a pruned model, in batches, through the cache."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from tqdm import tqdm

from vtprune.errors import UserError
from vtprune.methods import Method, parse_method
from vtstudy.evaluation.answer_cache import AnswerCache
from vtstudy.evaluation.answering import answer_benchmark, claim, identity, method_name, plan_batches
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.generation import generation_arguments
from vtstudy.evaluation.harness import DEFAULT_CACHE
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.evaluation.presentation import AUTO
from vtstudy.evaluation.questions import QuestionLoader
from vtstudy.evaluation.requests import IMAGE_MODES, Request, Variant

_USER_ERRORS = (UserError, OSError)


class PrunedModel(lmms):
    """`--model vtprune --model_args pretrained=PATH,method=adaptprune,keep=0.1`.

    Args:
        pretrained: a checkpoint's folder or Hub id.
        method: the name of a method that `vtprune methods` lists.
        keep: the fraction of the image tokens that stay, in (0, 1].
        image: `shown`, or `blank` for the blind baseline: a mid-grey image of the same size.
        cache: the folder of answers, relative to the working directory on creation.
        batch_size: how many questions are answered at a time.
        device: by default a GPU if there is one (each process its own), else the CPU.
        dtype: of the weights, such as `bfloat16`; by default the checkpoint's own.
        attn_implementation: by default transformers' choice.
        prompt, pictures: how questions are presented (see `presentation`).
        max_new_tokens: at most so many, whatever a task says.
        checkpoint: a checkpoint in memory, in place of `pretrained`.
        parameters: the method's other parameters.

    Raises:
        UserError: for an argument that cannot be used.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str | None = None,
        method: str | Method = "none",
        keep: float | str | None = None,
        image: str = "shown",
        cache: str | Path = DEFAULT_CACHE,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        attn_implementation: str | None = None,
        prompt: str = AUTO,
        pictures: str = AUTO,
        max_new_tokens: int | None = None,
        checkpoint: Checkpoint | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        method = method if isinstance(method, Method) else parse_method(method, keep, **parameters)
        if image not in IMAGE_MODES:
            raise UserError(f"image must be one of {', '.join(IMAGE_MODES)}, not {image!r}")
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise UserError(f"batch_size must be a whole number of at least 1, not {batch_size!r}")
        self.variant = Variant(method, image)
        self.batch_size, self.max_new_tokens = int(batch_size), max_new_tokens
        self.cache = AnswerCache(cache)
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        if checkpoint is None:
            if not pretrained:
                raise UserError("the model arguments lack pretrained, the checkpoint's folder or Hub id")
            if self._world_size > 1 and torch.cuda.is_available():
                device = f"cuda:{self.accelerator.local_process_index}"
            measurements = MeasurementCache(self.cache.folder / "measurements")
            checkpoint = Checkpoint(
                pretrained,
                measurements,
                device=device,
                dtype=dtype,
                attn_implementation=attn_implementation,
                prompt=prompt,
                pictures=pictures,
            )
        self.checkpoint = checkpoint
        method.attach(checkpoint.model)  # refuses a layer that the model does not have
        self._run_by_command = False

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict | None = None) -> "PrunedModel":
        """Make the model as lmms-eval's command does. An error ends the command with one sentence and exit code 1.

        (lmms-eval would print a traceback and end with exit code 0.)
        """
        with _ending_the_command():
            model = super().create_from_arg_string(arg_string, additional_config)
        model._run_by_command = True
        return model

    @property
    def device(self) -> torch.device:
        return self.checkpoint.device

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answers in the order of the requests. Any failure is raised; no question is answered with nothing.

        Raises:
            UserError: for a question without an image, a task that samples, or a damaged cache.
        """
        with _ending_the_command() if self._run_by_command else contextlib.nullcontext():
            return self._answers(requests)

    def clean(self) -> None:
        """Frees nothing: the checkpoint stays for the next run."""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("vtprune only generates answers; tasks that need log-likelihoods are not supported")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("vtprune answers single questions; tasks of several rounds are not supported")

    def _answers(self, requests: list[Instance]) -> list[str]:
        groups: dict[tuple[str, str, str], dict[int, Instance]] = {}
        for request in requests:
            _, arguments, _, document, task, split = request.args
            groups.setdefault((task, split, repr(arguments)), {})[document] = request  # repeats ask the same
        texts: dict[tuple[str, str, str, int], str] = {}
        total = sum(len(group) for group in groups.values())
        with tqdm(total=total, desc=self.variant.method.name, unit="question", disable=self.rank != 0) as bar:
            for (task, split, arguments), group in groups.items():
                answers = self._answer_group(list(group.values()), bar)
                for document, text in zip(group, answers, strict=True):
                    texts[task, split, arguments, document] = text
        return [texts[r.args[4], r.args[5], repr(r.args[1]), r.args[3]] for r in requests]

    def _answer_group(self, instances: list[Instance], bar: tqdm) -> list[str]:
        """Answers to requests of one task, split and set of generation arguments."""
        _, task_arguments, _, _, task, split = instances[0].args
        arguments = generation_arguments(task_arguments, task=task, limit=self.max_new_tokens)
        loader = QuestionLoader(
            instances, self.task_dict[task][split], self.checkpoint.processor, self.checkpoint.presentation
        )
        questions = loader.list(images=range(len(instances)))
        # lmms-eval has divided the documents among the processes, so this one answers all that it gets.
        planned = {task: plan_batches(questions, [Request(self.variant, task)], self.batch_size)}
        claim(planned, {task: questions}, {task: arguments})
        method = self.variant.method
        answer_benchmark(
            self.checkpoint,
            questions,
            loader,
            {method_name(method): method},
            planned[task],
            self.cache,
            arguments,
            bar=bar,
            prefetch=self.checkpoint.device.type != "cpu",
        )
        stored = self.cache.read(identity(self.checkpoint, self.variant.method, arguments))
        return [stored[digest].text for digest in questions.digests[self.variant.image]]


@contextlib.contextmanager
def _ending_the_command() -> Iterator[None]:
    """Ends the process on an error: with one sentence if the user can correct it, else with its traceback."""
    try:
        yield
    except _USER_ERRORS as error:
        raise SystemExit(f"vtprune: {error}") from error
    except Exception as error:
        traceback.print_exception(error)
        raise SystemExit(f"vtprune: {type(error).__name__} while answering: {error}") from error
