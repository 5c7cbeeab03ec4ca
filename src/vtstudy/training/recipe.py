"""A training in stages, and its fingerprint: a record of everything that its result depends on."""

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, ProcessorMixin

from vtstudy.training.training_loop import Loss, Stream, fit, learning_rate

Record = dict[str, Any]
_EXAMPLES = 256  # how many of the first examples of a stream are part of the fingerprint
_SIGNS = 64  # how many values of each initial weight are part of it


@dataclass(frozen=True)
class StageSettings:
    """The settings of a stage, from params.yaml.

    Attributes:
        steps: optimizer steps.
        batch: examples in a step.
        learning_rate: the highest learning rate.
        tables_from: the first step whose examples have tables (`vtstudy.training.language`).
        compile: whether the decoder is compiled: twice as fast on two cores, and needs a C compiler.
    """

    steps: int
    batch: int
    learning_rate: float
    tables_from: int | None = None
    compile: bool = False

    def record(self) -> Record:
        """The settings that the result depends on."""
        record: Record = {"steps": self.steps, "batch": self.batch, "learning_rate": self.learning_rate}
        if self.tables_from is not None:
            record["tables_from"] = self.tables_from
        return record


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes:
        name: `tower` or `language`.
        module: holds the parameters that this stage trains.
        stream: the training examples.
        loss: the loss of a batch, given the device.
        warmup: steps until the highest learning rate.
        prepare: moves the models to the device and sets what is trained, just before the stage begins.
        code: functions and constants, beside the training loop, that the loss depends on.
        save_every: steps from one state of a stopped training to the next.
    """

    name: str
    settings: StageSettings
    module: nn.Module
    stream: Stream
    loss: Callable[[Any, torch.device], Loss]
    warmup: int
    prepare: Callable[[torch.device], None]
    code: tuple[Any, ...]
    save_every: int = 250

    def fingerprint(self) -> Record:
        """What this stage adds to the fingerprint of the training."""
        batches = -(-_EXAMPLES // self.settings.batch)
        steps = [*range(batches)]
        if self.settings.tables_from:
            steps += range(self.settings.tables_from, self.settings.tables_from + batches)
        return {
            "settings": self.settings.record() | {"warmup": self.warmup},
            "weights": sketch(self.module),
            "examples": self.stream.digest(steps),
            "code": meaning(fit, learning_rate, *self.code),
        }

    def run(self, state_file: Path, device: torch.device) -> list[dict[str, float]]:
        """Train, or resume from `state_file`, and return the learning curve."""
        self.prepare(device)
        return fit(
            self.module,
            self.stream,
            lambda batch: self.loss(batch, device),
            steps=self.settings.steps,
            peak=self.settings.learning_rate,
            warmup=self.warmup,
            state_file=state_file,
            save_every=self.save_every,
        )


@dataclass(frozen=True)
class Recipe:
    """A training that is ready to run.

    Attributes:
        model: the model to train, with its initial weights.
        processor: its processor.
        stages: in the order in which they run.
        start: digest of the checkpoint that the training starts from; None for a training from random weights.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    stages: Sequence[Stage]
    start: str | None = None

    @cached_property
    def fingerprint(self) -> Record:
        """A record of what the trained checkpoint depends on.

        It holds, for each stage, the settings, digests of the first examples (pixels and tokens) and of the
        initial weights, and the meaning of the code of loop and loss. It does not depend on source files as such:
        after a refactoring that draws the same pictures and asks the same questions it is the same. It must be
        read before the training changes the weights.
        """
        record: Record = {} if self.start is None else {"start": self.start}
        return record | {stage.name: stage.fingerprint() for stage in self.stages}

    def run(self, name: str, states: Path, device: torch.device) -> dict[str, list[dict[str, float]]]:
        """Run all stages and return their learning curves.

        Args:
            states: folder of the states of stopped trainings.
        """
        histories = {}
        for stage, state_file in zip(self.stages, self.state_files(name, states), strict=True):
            histories[stage.name] = stage.run(state_file, device)
        return histories

    def state_files(self, name: str, states: Path) -> list[Path]:
        """The file of each stage's state. Its name holds the fingerprint of this stage and of those before it."""
        files, so_far = [], [self.start]
        for stage in self.stages:
            so_far.append(self.fingerprint[stage.name])
            key = hashlib.sha256(json.dumps(so_far, sort_keys=True).encode()).hexdigest()[:12]
            files.append(states / f"{name}-{stage.name}-{key}.pt")
        return files


def sketch(module: nn.Module) -> str:
    """Digest of a module's weights: names, shapes, and the signs of the first values of each.

    Signs alone, because the last bits of random numbers may differ between two machines.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.flatten()[:_SIGNS].sign().to(torch.int8).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def meaning(*parts: Any) -> str:
    """Digest of what functions and classes do, and of constants.

    Comments, docstrings, annotations and layout of a function do not count.
    """
    digest = hashlib.sha256()
    for part in parts:
        if inspect.isfunction(part) or inspect.isclass(part):
            tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
            digest.update(_dump(tree).encode())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def _dump(node: Any) -> str:
    """The syntax tree as text, without docstrings and annotations; the same in all versions of Python."""
    if isinstance(node, list):
        return f"[{', '.join(_dump(part) for part in node if not _is_docstring(part))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "ctx", "kind", "type_comment") and value not in (None, []):
            parts.append(f"{name}={_dump(value)}")
    return f"{type(node).__name__}({', '.join(parts)})"


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
