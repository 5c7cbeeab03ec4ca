"""Where a checkpoint comes from: the Hub's id and commit, which a fetched folder has in a file of its own.

A checkpoint is known by these, not by its folder's name. The file is no part of what answers are keyed by.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from vtprune.errors import UserError

FILE = "revision.yaml"
FETCHED_DATA = "fetched.json"
"""The file in the folder of a data set that says that it was fetched from the Hub, and which part of it."""


@dataclass(frozen=True)
class Source:
    """A version of a checkpoint on the Hugging Face Hub.

    Attributes:
        id: such as `llava-hf/llava-1.5-7b-hf`.
        commit: of its repository.
    """

    id: str
    commit: str


def write_source(folder: str | Path, source: Source) -> None:
    """Write where the checkpoint in a folder comes from."""
    text = yaml.safe_dump({"id": source.id, "commit": source.commit}, sort_keys=False)
    (Path(folder) / FILE).write_text(f"# Where this checkpoint comes from, on the Hugging Face Hub.\n{text}", "utf-8")


def read_source(folder: str | Path) -> Source | None:
    """Where the checkpoint in a folder comes from; None if it was not fetched.

    Raises:
        UserError: if the folder's file is damaged.
    """
    file = Path(folder).expanduser() / FILE
    if not file.is_file():
        return None
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
        return Source(str(data["id"]), str(data["commit"]))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{file} must hold the id and the commit of a checkpoint on the Hub; fetch it again") from error


def model_name(checkpoint: str | Path) -> str:
    """A checkpoint's name in the results: its id on the Hub, or the name of a folder that was not fetched.

    Raises:
        UserError: if the folder's file is damaged.
    """
    folder = Path(checkpoint).expanduser()
    return hub_id(checkpoint) or folder.resolve().name


def hub_id(checkpoint: str | Path) -> str | None:
    """The id on the Hub of a fetched folder, or of a checkpoint that is named by its id; None for another folder.

    Raises:
        UserError: if the folder's file is damaged.
    """
    if Path(checkpoint).expanduser().is_dir():
        source = read_source(checkpoint)
        return None if source is None else source.id
    return str(checkpoint)


def data_commits(root: str | Path) -> dict[str, str]:
    """By id of a data set below a folder that was fetched from the Hub, its commit.

    Raises:
        UserError: if the file of a data set is damaged.
    """
    commits: dict[str, str] = {}
    for file in sorted(Path(root).expanduser().glob(f"*/*/{FETCHED_DATA}")):
        try:
            data = json.loads(file.read_text("utf-8"))
            commits[str(data["id"])] = str(data["commit"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged: delete it, and fetch the data again") from error
    return commits
