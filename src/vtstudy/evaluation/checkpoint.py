"""A checkpoint, loaded into memory when it is first needed, and how questions are presented to it."""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from vtprune.attach import load
from vtprune.attach.families import FAMILIES, family_of
from vtstudy.checkpoint_source import Source, hub_id, read_source
from vtstudy.evaluation.cache_key import checkpoint_digest, defining_modules, package_version
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.evaluation.presentation import AUTO, Presentation, resolved
from vtstudy.evaluation.prompts import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def _gpu_of_this_process() -> str:
    number, gpus = os.environ.get("LOCAL_RANK"), torch.cuda.device_count()
    if number is None:
        return "cuda"
    if int(number) >= gpus:
        raise EvaluationError(
            f"process {number} of this machine has no GPU of its own, because torch finds {gpus}: start {gpus} at most"
        )
    return f"cuda:{number}"


class Checkpoint:
    """A checkpoint's facts, which need no loading when they are cached, and its model and processor.

    Args:
        path_or_id: a folder, or an id on the Hugging Face Hub.
        measurements: where the facts are cached.
        device: by default a GPU if there is one (each process of several has its own), else the CPU.
        dtype: of the weights, such as `bfloat16`; by default the checkpoint's own.
        attn_implementation: by default transformers' choice.
        prompt, pictures: how questions are presented to it (see `presentation`).

    Raises:
        EvaluationError: if the device is a GPU and there is none.
    """

    def __init__(
        self,
        path_or_id: str | Path,
        measurements: MeasurementCache,
        *,
        device: str | None = None,
        dtype: str | None = None,
        attn_implementation: str | None = None,
        prompt: str = AUTO,
        pictures: str = AUTO,
    ) -> None:
        self.path_or_id = path_or_id
        self._prompt, self._pictures = prompt, pictures
        self._measurements = measurements
        self._options = {"dtype": dtype, "attn_implementation": attn_implementation}
        if device is None:
            device = "cpu"
            if torch.cuda.is_available():
                device = _gpu_of_this_process()
        elif device.startswith("cuda") and not torch.cuda.is_available():
            raise EvaluationError(f"there is no GPU for device {device}")
        self.device = torch.device(device)

    @cached_property
    def digest(self) -> str:
        """Identifies the checkpoint: a digest of the folder's files, or the Hub id and its commit.

        Raises:
            CheckpointError: if there is no such checkpoint.
            EvaluationError: if a checkpoint of the Hub does not tell its commit.
        """
        digest = checkpoint_digest(self.path_or_id)
        if digest is None:
            _ = self.model  # loading downloads it, or says what is wrong
            digest = checkpoint_digest(self.path_or_id)
        if digest is None:
            raise EvaluationError(
                f"checkpoint {self.path_or_id}: it is not known which of its commits on the Hub was loaded; "
                "download it into a folder, and name that"
            )
        return digest

    @cached_property
    def source(self) -> Source | None:
        """The version on the Hub; None for a folder that was not fetched from there. Raises: see `digest`."""
        if Path(self.path_or_id).expanduser().is_dir():
            return read_source(self.path_or_id)
        id_, _, commit = self.digest.rpartition("@")
        return Source(id_, commit)

    @cached_property
    def presentation(self) -> Presentation:
        """The prompt and the handling of pictures; the authors' or the checkpoint's own for `auto`."""
        return resolved(self._prompt, self._pictures, hub_id(self.path_or_id))

    @cached_property
    def _facts(self) -> dict[str, Any]:
        key = {
            "checkpoint": self.digest,
            "device": self.device.type,
            "torch": torch.__version__,
            "transformers": package_version("transformers"),
            "families": [type(family).__module__ for family in FAMILIES.values()],
            **self._options,
        }
        return self._measurements.data("checkpoint", key, self._read_facts)

    def _read_facts(self) -> dict[str, Any]:
        family = family_of(self.model)
        return {
            "family": sorted(defining_modules(family)),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": self.model.config._attn_implementation,
            "layers": len(cast(nn.ModuleList, family.language_model(self.model).layers)),
        }

    @property
    def dtype(self) -> str:
        """The precision of the weights in memory, such as `float32`."""
        return self._facts["dtype"]

    @property
    def attention(self) -> str:
        """The attention implementation, such as `sdpa`."""
        return self._facts["attention"]

    @property
    def layers(self) -> int:
        """The number of the decoder's layers."""
        return self._facts["layers"]

    @property
    def family(self) -> list[str]:
        """The modules that define the model's family, which tells where its image tokens are."""
        return self._facts["family"]

    def key(self) -> dict[str, str]:
        """What answers depend on, apart from the method and the question.

        A question's digest has its prompt and its pictures as they are presented. The names stand here too, so that
        each file of answers says how they were asked.
        """
        return {
            "checkpoint": self.digest,
            "dtype": self.dtype,
            "attention": self.attention,
            "device": self.device.type,
            **self.presentation.key(),
        }

    @cached_property
    def _loaded(self) -> tuple["PreTrainedModel", Any]:
        model, processor = load(self.path_or_id, device=self.device, **self._options)
        self.presentation.check(processor)
        if self.presentation.prompt in TEMPLATES:
            _end_answers_with(TEMPLATES[self.presentation.prompt].end, model, processor)
        return model, processor

    @property
    def model(self) -> "PreTrainedModel":
        """The model, ready for inference.

        Raises:
            CheckpointError: if the checkpoint is missing, damaged or not supported.
            EvaluationError: if its processor does not suit the prompt or the handling of pictures.
        """
        return self._loaded[0]

    @property
    def processor(self) -> Any:
        """The model's processor, which pads on the left. Raises: see `model`."""
        return self._loaded[1]


def _end_answers_with(token: str, model: "PreTrainedModel", processor: Any) -> None:
    """Make a token end the model's answers, besides those that the checkpoint names."""
    number = processor.tokenizer.get_vocab().get(token)
    config = cast(Any, model.generation_config)
    named = config.eos_token_id
    ends = [] if named is None else list(named) if isinstance(named, list | tuple) else [named]
    if number is not None and number not in ends:
        config.eos_token_id = [*ends, number]
