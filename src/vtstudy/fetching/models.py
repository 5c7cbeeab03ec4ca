"""Checkpoints from the Hub, each in a folder that says which commit it is of."""

import contextlib
import json
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import snapshot_download

from vtstudy.checkpoint_source import Source, read_source, write_source
from vtstudy.fetching.hub import FetchError, Repository, check_space, explained, gigabytes, repository

NEEDED = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")
"""The files of a checkpoint that are fetched. Its code (`*.py`) is not: nothing of a repository is ever run."""
UNPUBLISHED = "internvl_chat"
"""`model_type` of the checkpoints that are converted: transformers has no class for their authors' format."""


def fetch_model(identifier: str, revision: str, folder: Path) -> str:
    """Fetch a checkpoint of the Hub into a folder, unless it is there; InternVL2 is converted on the way.

    The folder appears when it is complete, with its file `revision.yaml`. A folder that has been fetched
    keeps its commit while `revision` is a branch; another commit or id replaces it. A download that was stopped goes
    on.

    Args:
        identifier: such as `llava-hf/llava-1.5-7b-hf`.
        revision: a branch, a tag or a commit.
        folder: where the checkpoint will be.

    Returns:
        A sentence that says what is in the folder.

    Raises:
        FetchError: if the checkpoint cannot be fetched.
        UserError: if it cannot be converted, or the folder holds something else.
    """
    source = read_source(folder) if folder.is_dir() else None
    if source is not None and source.id == identifier and (not is_commit(revision) or source.commit == revision):
        return f"{folder} is up to date: {source.id} at commit {source.commit}"
    if source is None and folder.is_dir() and any(folder.iterdir()):
        raise FetchError(
            f"{folder} holds files that were not fetched by this command: move them, or name another folder"
        )
    found = repository("model", identifier, revision)
    beside = folder.parent / ".published"
    published = beside / f"{folder.name}-{found.commit[:12]}"
    for other in beside.glob(f"{folder.name}-*"):  # of a download that was stopped before the branch moved on
        if other != published and re.fullmatch(r"-[0-9a-f]{12}", other.name.removeprefix(folder.name)):
            shutil.rmtree(other)
    _download(found, published)
    made = published
    if _model_type(published) == UNPUBLISHED:
        from vtprune.conversion import convert_internvl2  # it imports torch, which the other checkpoints do without

        made = published.with_name(f"{folder.name}-converted")
        shutil.rmtree(made, ignore_errors=True)
        convert_internvl2(published, made)
    write_source(made, Source(identifier, found.commit))
    if folder.is_dir():
        shutil.rmtree(folder)
    made.rename(folder)
    shutil.rmtree(published, ignore_errors=True)
    with contextlib.suppress(OSError):  # another model's download is in it
        beside.rmdir()
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return f"{folder}: {identifier} at commit {found.commit}, {gigabytes(size)}"


def is_commit(revision: str) -> bool:
    """Whether a revision names a commit, not a branch or a tag."""
    return len(revision) == 40 and set(revision) <= set("0123456789abcdef")


def _download(found: Repository, folder: Path) -> None:
    wanted = [path for path in found.sizes if "/" not in path and any(fnmatch(path, pattern) for pattern in NEEDED)]
    if not any(path.endswith(".safetensors") for path in wanted):
        raise FetchError(f"the model {found.id} has no weights as safetensors at commit {found.commit}")
    here = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    check_space(folder, sum(found.sizes[path] for path in wanted) - here, f"the model {found.id}")
    with explained("model", found.id, found.commit):
        snapshot_download(found.id, revision=found.commit, local_dir=folder, allow_patterns=wanted)
    wrong = [path for path in wanted if not _complete(folder / path, found.sizes[path])]
    if wrong:
        raise FetchError(f"the file {wrong[0]} of the model {found.id} is not complete: start again")
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own records of the download


def _complete(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def _model_type(folder: Path) -> str | None:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise FetchError(f"{folder / 'config.json'} cannot be read, so the model's kind is not known") from error
