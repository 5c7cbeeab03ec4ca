"""What a prediction depends on, as short digests: checkpoint, question, software, data."""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vtprune.methods.base import Method
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.import_graph import sources

# Weights, configuration, tokenizer and processor; a checkpoint's folder holds little else.
_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".txt", ".jinja")
# What predictions of every method come from, with whatever these import of `pruning`.
_COMMON = ("models/*.py", "evaluation/generation.py", "evaluation/model.py")


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


def software(method: Method) -> dict[str, str]:
    """Versions that a method's predictions depend on, and a digest of the code that makes them.

    The code is that of the method, of its budget, of their base classes and of what all these import
    of this package or from beside them, and of attaching and generating; not that of other methods.
    It is read once in a process: edit a method's file, and start anew.

    Raises:
        EvaluationError: if the method or its budget is defined in no file, so that its code has no digest.
    """
    import torch
    import transformers

    return {
        "code": code_digest(frozenset(map(_file_of, _modules(method))), Path(__file__).parents[1])[:16],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _modules(part: Any) -> set[str]:
    """The modules that define an object's classes, and those of what its fields hold."""
    found = {cls.__module__ for cls in type(part).__mro__}
    held = (
        [getattr(part, field.name) for field in fields(part)]
        if is_dataclass(part)
        else part
        if isinstance(part, tuple | list)
        else ()
    )
    found |= {module for value in held for module in _modules(value)}
    return {module for module in found if module.partition(".")[0] not in sys.stdlib_module_names}


@cache
def code_digest(files: frozenset[Path], root: Path) -> str:
    """Digest of what predictions come from: the given files, common ones, and what these import.

    Args:
        files: those that define the method and its budget.
        root: the package's folder.
    """
    common = [file for pattern in _COMMON for file in root.glob(pattern)]
    ours = [root / "pruning", *common]
    made = {
        f for f in sources([*files, *common], root) if f in files or any(f == our or our in f.parents for our in ours)
    }
    return _files_digest((f.relative_to(root).as_posix() if f.is_relative_to(root) else f.name, f) for f in made)


def _file_of(module: str) -> Path:
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        raise EvaluationError(
            f"module {module} has no file, so predictions of what it defines cannot be told apart: move it into one"
        )
    return Path(file)


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
