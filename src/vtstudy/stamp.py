"""Stamps say what a folder was made from. A command that would make the same folder again does nothing."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
"""The folder of this package."""


class Stamp:
    """What a folder is made from, and the file that records it.

    Args:
        path: of the file.
        settings: plain JSON data that the folder's content depends on.
        packages: names of the packages and modules of `vtstudy` whose code makes the folder, such as `world`.
        inputs: files whose content the folder depends on.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], packages: Iterable[str], inputs: Iterable[Path] = ()
    ) -> None:
        self.path = path
        sources = sorted(file for name in packages for file in _sources(name))
        self._made_from = {
            "settings": json.loads(json.dumps(settings)),
            "code": _digest(sources, SOURCES),
            "inputs": [_digest([file], file.parent) for file in inputs],
        }

    def matches(self, folder: Path) -> bool:
        """Whether the folder was made from the same, and has the same files since then."""
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return record == self._record(folder)

    def write(self, folder: Path) -> None:
        """Record what the folder is made from, and its files."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self._record(folder), indent=1) + "\n", encoding="utf-8")

    def _record(self, folder: Path) -> dict[str, Any]:
        files = sorted(file for file in folder.rglob("*") if file.is_file() and file != self.path)
        return {"made_from": self._made_from, "files": _digest(files, folder)}


def _sources(name: str) -> list[Path]:
    module = SOURCES / f"{name}.py"
    return [module] if module.is_file() else sorted((SOURCES / name).rglob("*.py"))


def _digest(files: Iterable[Path], folder: Path) -> str:
    """The digest of the names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
