"""The training loop that both stages share: resumable, the same on CPU and GPU, with a progress bar."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def fit(
    name: str,
    module: nn.Module,
    batches: Callable[[int], Iterable],
    loss_of: Callable[[object], tuple[Tensor, dict[str, float]]],
    *,
    steps: int,
    peak: float,
    warmup: int,
    workdir: Path,
    save_every: int = 250,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Trains `module` for `steps` steps and yields `(step, averaged figures)` after every hundred.

    `batches(step)` starts the stream of batches at that step, so that a run which was stopped
    goes on with the pictures that it would have seen. The state is saved under `workdir`.
    """
    decay = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    state_file, start = workdir / f"{name}.pt", 0
    workdir.mkdir(parents=True, exist_ok=True)
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]

    def save(step: int) -> None:
        scratch = state_file.with_suffix(".tmp")
        torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, scratch)
        os.replace(scratch, state_file)  # never half a file

    sums: dict[str, list[float]] = {}
    bar = tqdm(total=steps, initial=start, desc=name, unit="step", mininterval=5)
    stream = iter(batches(start))
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak, warmup)
        loss, figures = loss_of(next(stream))
        if not torch.isfinite(loss):
            raise RuntimeError(f"{name}: the loss became {loss.item()} at step {step}; lower the learning rate in params.yaml")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*decay, *rest], 1.0)
        optimizer.step()
        bar.update()
        for key, value in {"loss": loss.item(), **figures}.items():
            sums.setdefault(key, []).append(value)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            means = {key: sum(values) / len(values) for key, values in sums.items()}
            bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()})
            sums = {}
            yield step + 1, means
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save(step + 1)
    bar.close()
