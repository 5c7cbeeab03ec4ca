"""The facts of a run: what was run, on what, and how long it took."""

import os
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vtstudy.experiments.settings import Settings

PACKAGES = ("torch", "transformers", "lmms-eval", "datasets", "accelerate", "numpy", "pandas", "pillow")


def facts(settings: Settings, loaded: Any, *, seconds: float, answers: int = 0, questions: int = 0) -> dict[str, Any]:
    """Plain JSON data.

    Args:
        loaded: the checkpoint in memory.
        seconds: of the whole run.
        answers: in all cells together, questions x cells; also those that were stored already.
        questions: shown to the model to look at what it does, as often as each was, without its answer.
    """
    parameters = {
        key: value
        for key, value in asdict(settings).items()
        if key not in ("checkpoint", "store", "reuse", "out", "name")
    }
    return {
        "profile": parameters.pop("profile"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        # What the pipeline itself writes does not count: DVC deletes a stage's outputs before it runs.
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":/!reports", ":/!dvc.lock")),
        "seconds": round(seconds, 1),
        "answers": answers,
        "prompts_shown": questions,
        "model": settings.model,
        "checkpoint": settings.checkpoint,
        "checkpoint_digest": loaded.digest,
        "parameters": parameters,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": _machine(loaded.model),
    }


def _machine(model: Any) -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else None
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
