"""The training loop of all stages, and the streams of examples that it reads: resumable, the same on CPU and GPU."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

Loss = tuple[Tensor, dict[str, float]]
"""A loss, and figures by name for the learning curve."""


@dataclass(frozen=True)
class Stream:
    """An endless stream of batches, drawn by worker processes while the model trains.

    Each example has a random generator of its own, named after the stream, the step and its place in the batch.
    So the stream depends neither on the number of workers nor on the step at which a stopped training resumes.

    Attributes:
        name: seeds the generators.
        batch_size: examples in a batch.
        example: draws one example from a generator, for a step.
        collate: makes a batch from a list of examples.
    """

    name: str
    batch_size: int
    example: Callable[[Random, int], Any]
    collate: Callable[[list[Any]], Any]

    def batch(self, step: int) -> Any:
        """The batch of one step."""
        generators = [Random(f"{self.name}-{step}-{i}") for i in range(self.batch_size)]
        return self.collate([self.example(generator, step) for generator in generators])

    def batches(self, start: int, workers: int | None = None) -> DataLoader:
        """The batches from step `start` on; as many worker processes as there are other CPU cores by default."""
        if workers is None:
            workers = max(1, (os.cpu_count() or 2) - 1)
        return DataLoader(_Batches(self, start), batch_size=None, num_workers=workers, prefetch_factor=8)

    def digest(self, steps: Iterable[int]) -> str:
        """Digest of the batches of some steps: pixels as 8-bit values, token ids, labels."""
        digest = hashlib.sha256()
        for step in steps:
            _add_to_digest(digest, self.batch(step))
        return digest.hexdigest()[:16]


class _Batches(IterableDataset):
    def __init__(self, stream: Stream, start: int):
        self.stream, self.start = stream, start

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        assert worker is not None
        for step in count(self.start + worker.id, worker.num_workers):
            yield self.stream.batch(step)


def _add_to_digest(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        if value.is_floating_point():  # pixels in [-1, 1]: the last bit must not matter
            value = (value * 127.5).round().to(torch.int16)
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value):
            digest.update(key.encode())
            _add_to_digest(digest, value[key])
    else:
        for part in value:
            _add_to_digest(digest, part)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to a fiftieth of it.

    transformers' `get_cosine_with_min_lr_schedule_with_warmup` has the same form but begins its warm-up at 0, so
    its rates differ by one step of the warm-up; with them the committed checkpoints could not be trained again.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def fit(
    module: nn.Module,
    stream: Stream,
    loss_of: Callable[[Any], Loss],
    *,
    steps: int,
    peak: float,
    warmup: int,
    state_file: Path,
    save_every: int = 250,
) -> list[dict[str, float]]:
    """Train `module` in place with AdamW and return the learning curve: means over each 100 steps.

    The state is saved in `state_file`. A stopped training resumes from there, and sees the batches that it would
    have seen. Another training must use another file.

    Args:
        loss_of: the loss of a batch.
        peak: the highest learning rate.
        warmup: steps until the peak.

    Raises:
        RuntimeError: if the loss is no longer finite.
    """
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    start, history = 0, []
    state_file.parent.mkdir(parents=True, exist_ok=True)
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        start, history = state["step"], state["history"]
    if start == steps:
        return history
    figures_since_report: dict[str, list[float]] = {}
    bar = tqdm(total=steps, initial=start, desc=state_file.stem, unit="step", mininterval=5)
    batches = iter(stream.batches(start))
    for step in range(start + 1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1, steps, peak, warmup)
        loss, figures = loss_of(next(batches))
        if not torch.isfinite(loss):
            raise RuntimeError(f"The loss became {loss.item()} at step {step}: lower the learning rate in params.yaml.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*matrices, *vectors], 1.0)
        optimizer.step()
        bar.update()
        for key, value in {"loss": loss.item(), **figures}.items():
            figures_since_report.setdefault(key, []).append(value)
        if step % 100 == 0 or step == steps:
            means = {key: round(sum(values) / len(values), 5) for key, values in figures_since_report.items()}
            history.append({"step": step} | means)
            bar.write(" ".join(f"{key} {value}" for key, value in history[-1].items()))
            figures_since_report = {}
        if step % save_every == 0 or step == steps:
            _save(state_file, module, optimizer, step, history)
    bar.close()
    return history


def _save(
    file: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int, history: list[dict[str, float]]
) -> None:
    state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "history": history}
    scratch = file.with_suffix(".tmp")
    torch.save(state, scratch)
    os.replace(scratch, file)  # a stopped process never leaves half a file
