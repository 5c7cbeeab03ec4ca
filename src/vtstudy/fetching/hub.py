"""What is asked of the Hugging Face Hub: which files a repository has at a commit, and the errors in plain words."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # it does not export its HTTPError
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from vtprune.errors import UserError

Kind = Literal["model", "dataset"]
MARGIN = 1 << 30
"""Bytes of a disk that a download leaves free."""


class FetchError(UserError):
    """A model or a data set that cannot be fetched."""


class UnreachableError(FetchError):
    """The Hub does not answer, or not as it should; the repository may be in order."""


@dataclass(frozen=True)
class Repository:
    """A repository at a commit.

    Attributes:
        kind: `model` or `dataset`.
        id: such as `llava-hf/llava-1.5-7b-hf`.
        commit: the commit's hash.
        sizes: by path of a file, its bytes.
    """

    kind: Kind
    id: str
    commit: str
    sizes: Mapping[str, int]


def repository(kind: Kind, identifier: str, revision: str) -> Repository:
    """A repository at the commit that a revision has now, after a check that its files may be read.

    Args:
        revision: a branch, a tag or a commit.

    Raises:
        FetchError: if there is none, or it cannot be read.
    """
    api = HfApi()
    with explained(kind, identifier, revision):
        commit = api.repo_info(identifier, repo_type=kind, revision=revision).sha
        api.auth_check(identifier, repo_type=kind)
        listed = api.list_repo_tree(identifier, recursive=True, revision=commit, repo_type=kind)
        sizes = {file.path: file.size for file in listed if isinstance(file, RepoFile)}
    if commit is None:
        raise FetchError(f"the Hub does not say which commit {revision} of the {kind} {identifier} is: name a commit")
    return Repository(kind, identifier, commit, sizes)


@contextlib.contextmanager
def explained(kind: Kind, identifier: str, revision: str) -> Iterator[None]:
    """Turn the errors of the Hub's client into one sentence that says what to do.

    Raises:
        FetchError: in place of the client's errors.
    """
    what = "model" if kind == "model" else "data set"
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{identifier}"
    try:
        yield
    except GatedRepoError as error:
        raise FetchError(
            f"the {what} {identifier} is only for users who accept its terms: accept them at {page}, "
            "then log in with `hf auth login`, and start again"
        ) from error
    except RepositoryNotFoundError as error:
        raise FetchError(
            f"there is no {what} {identifier} at {page}, or it needs a login: check the name, "
            "or log in with `hf auth login`, and start again"
        ) from error
    except RevisionNotFoundError as error:
        raise FetchError(f"the {what} {identifier} has no revision {revision!r}: see {page}/commits/main") from error
    except EntryNotFoundError as error:
        raise FetchError(f"the {what} {identifier} lacks a file at {revision!r} ({_first_line(error)})") from error
    except OfflineModeIsEnabled as error:
        raise UnreachableError(
            f"the {what} {identifier} must be fetched, but HF_HUB_OFFLINE is set: unset it"
        ) from error
    except (HfHubHTTPError, HTTPError, OSError) as error:  # no network, a broken connection, a full disk
        raise UnreachableError(
            f"the {what} {identifier} cannot be fetched ({_first_line(error)}); what has come is kept: start again"
        ) from error


def check_space(folder: Path, size: int, what: str) -> None:
    """Check that a download fits on the disk.

    Raises:
        FetchError: if it does not.
    """
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size + MARGIN > free:
        raise FetchError(
            f"{what} needs {gigabytes(size)} and 1 GB to spare, but the disk of {folder} has {gigabytes(free)} free"
        )


def gigabytes(size: int) -> str:
    """A size in words, such as "14.1 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
