"""The training loop that both stages share: resumable, the same on CPU and GPU, with a progress bar."""

import math
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm


class _Batches(IterableDataset):
    def __init__(
        self,
        name: str,
        start: int,
        size: int,
        example: Callable[[Random, int], object],
        collate: Callable[[list], object],
    ):
        self.name, self.start, self.size, self.example, self.collate = name, start, size, example, collate

    def __iter__(self) -> Iterator:
        worker = get_worker_info()
        for step in count(self.start + worker.id, worker.num_workers):
            yield self.collate([self.example(Random(f"{self.name}-{step}-{i}"), step) for i in range(self.size)])


def batches(
    name: str, start: int, size: int, example: Callable[[Random, int], object], collate: Callable[[list], object]
) -> DataLoader:
    """An endless stream of batches from step `start` on, drawn beside the training by worker processes.

    `example(rng, step)` draws one. Every example has a generator of its own, so that the stream depends on `name` alone: neither
    on the number of workers nor on where it was taken up again.
    """
    workers = max(1, (os.cpu_count() or 2) - 1)
    return DataLoader(
        _Batches(name, start, size, example, collate), batch_size=None, num_workers=workers, prefetch_factor=8
    )


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def fit(
    module: nn.Module,
    stream: Callable[[int], DataLoader],
    loss_of: Callable[[object], tuple[Tensor, dict[str, float]]],
    *,
    steps: int,
    peak: float,
    warmup: int,
    state_file: Path,
    save_every: int = 250,
) -> list[dict[str, float]]:
    """Trains `module` for `steps` steps; returns its learning curve, the averages of every hundred.

    The state is saved in `state_file`, whose name must tell the settings apart, and a run that was
    stopped goes on from it with the batches that it would have seen: `stream(step)` starts there.

    Raises:
        RuntimeError: the loss is no longer finite.
    """
    decay = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    start, history = 0, []
    state_file.parent.mkdir(parents=True, exist_ok=True)
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        start, history = state["step"], state["history"]

    def save(step: int) -> None:
        scratch = state_file.with_suffix(".tmp")
        torch.save(
            {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "history": history},
            scratch,
        )
        os.replace(scratch, state_file)  # never half a file

    if start == steps:
        return history
    sums: dict[str, list[float]] = {}
    bar = tqdm(total=steps, initial=start, desc=state_file.stem, unit="step", mininterval=5)
    incoming = iter(stream(start))
    for step in range(start + 1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1, steps, peak, warmup)
        loss, figures = loss_of(next(incoming))
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss became {loss.item()} at step {step}; lower the learning rate in params.yaml")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*decay, *rest], 1.0)
        optimizer.step()
        bar.update()
        for key, value in {"loss": loss.item(), **figures}.items():
            sums.setdefault(key, []).append(value)
        if step % 100 == 0 or step == steps:
            history.append({"step": step} | {key: round(sum(values) / len(values), 5) for key, values in sums.items()})
            bar.write(" ".join(f"{key} {value}" for key, value in history[-1].items()))
            sums = {}
        if step % save_every == 0 or step == steps:
            save(step)
    bar.close()
    return history
