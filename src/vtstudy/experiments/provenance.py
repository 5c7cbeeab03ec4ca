"""The facts of a run: the code, the settings, the machine, and the times."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from vtstudy.checkpoint_source import Source, data_commits
from vtstudy.evaluation.cache_key import package_version
from vtstudy.evaluation.presentation import Presentation
from vtstudy.experiments.settings import Settings

if TYPE_CHECKING:
    from vtstudy.evaluation.checkpoint import Checkpoint

PACKAGES = ("torch", "transformers", "lmms-eval", "datasets", "accelerate", "numpy", "pandas", "pillow")

# Settings that say where files are, not what was run; the experiment spectra reports its section itself.
NOT_PARAMETERS = {"profile", "checkpoint", "cache", "out", "name", "spectra", "prompt", "pictures"}
NOT_PARAMETERS |= {"backbones", "models"}  # they are run on their own


def facts(
    settings: Settings,
    *,
    digest: str,
    device: torch.device,
    dtype: str,
    presentation: Presentation,
    source: Source | None,
    seconds: float,
    answers: int = 0,
    questions: int = 0,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, object]:
    """The facts of a run as plain JSON data.

    Args:
        digest: of the checkpoint's files.
        device: where the model runs.
        dtype: precision of its weights.
        presentation: how questions were presented to it. It stands among the parameters in place of their `auto`.
        source: the checkpoint's version on the Hub; None for a folder that was not fetched.
        seconds: how long the run took.
        answers: number of answers of all variants, including stored ones.
        questions: number of prompts that were shown to the model without making an answer.
        left_out: by benchmark that could not be scored, the reason.
    """
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "profile": settings.profile,
        **code_facts(),
        "seconds": round(seconds, 1),
        "answers": answers,
        "prompts_shown": questions,
        "model": settings.model,
        "checkpoint": settings.checkpoint,
        "checkpoint_digest": digest,
        "checkpoint_source": None if source is None else vars(source),
        "data_commits": data_commits(settings.data) if settings.data else {},
        "parameters": {**settings.model_dump(exclude=NOT_PARAMETERS), **vars(presentation)},
        "left_out": dict(left_out),
        "versions": versions(PACKAGES),
        "machine": machine_facts() | {"gpu": gpu, "dtype": dtype},
    }


def checkpoint_facts(checkpoint: "Checkpoint") -> dict[str, Any]:
    """The arguments of `facts` for a checkpoint."""
    return {
        "digest": checkpoint.digest,
        "device": checkpoint.device,
        "dtype": checkpoint.dtype,
        "presentation": checkpoint.presentation,
        "source": checkpoint.source,
    }


def code_facts() -> dict[str, object]:
    """The commit of this repository, and whether its files differ from it; None where git does not know.

    Reports and dvc.lock do not count as differences, because the pipeline itself writes them.
    """
    status = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":/!reports", ":/!dvc.lock")
    return {"commit": _git("rev-parse", "--short=12", "HEAD"), "dirty": bool(status)}


def machine_facts() -> dict[str, object]:
    """The machine that a run uses."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """The versions of Python and of the packages; None for a package that is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def _version(name: str) -> str | None:
    try:
        return package_version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
