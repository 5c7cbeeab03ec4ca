"""What a prediction depends on, as short digests: checkpoint, question, software, data."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import vtprune

from .errors import EvaluationError

# Weights, configuration, tokenizer and processor; a checkpoint's folder holds little else.
_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".txt", ".jinja")
# The folders and modules of this package that predictions come from.
_SOURCES = ("pruning", "models", "evaluation/generation.py", "evaluation/model.py")


def checkpoint_digest(path_or_id: str | Path, commit: str | None = None) -> str:
    """Digest of a local checkpoint's files, or the id and ``commit`` of one of the Hub's.

    Raises:
        EvaluationError: if it is no local folder and there is no commit either.
    """
    folder = Path(path_or_id).expanduser()
    if not folder.is_dir():
        if commit is None:
            raise EvaluationError(f"checkpoint {path_or_id}: it is not known which version of it was loaded")
        return f"{path_or_id}@{commit}"
    return _files_digest((file.name, file) for file in folder.iterdir() if file.suffix in _SUFFIXES)


@cache
def software() -> dict[str, str]:
    """Versions that predictions depend on, and a digest of this package's own code for them."""
    import torch
    import transformers

    root = Path(vtprune.__file__).parent
    files = [f for source in _SOURCES for f in ([root / source] if source.endswith(".py") else (root / source).rglob("*.py"))]
    code = _files_digest((f.relative_to(root).as_posix(), f) for f in files)
    return {"code": code[:16], "torch": torch.__version__, "transformers": transformers.__version__}


def question_digest(prompt: str, images: Iterable[Any]) -> str:
    """Digest of a prompt and its pillow images, pixel by pixel."""
    digest = hashlib.sha256(prompt.encode())
    for image in images:
        digest.update(f"\0{image.mode}{image.size}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()[:24]


def data_name(dataset: Any) -> list[str]:
    """Which data set this is: its name, config and version, and `datasets`' hash of its files.

    The questions themselves are compared by `question_digest`; this only keeps different data
    sets in different files. Empty for one that does not come from `datasets`' cache.
    """
    files = getattr(dataset, "cache_files", None) or []
    return sorted({"/".join(Path(file["filename"]).parts[-5:-1]) for file in files})


def _files_digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files):
        with file.open("rb") as opened:
            digest.update(f"{name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
