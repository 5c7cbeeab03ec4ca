"""Measurements that are costly to make, kept in files: scores, lists of questions, attention maps, spectra.

A measurement's file is named by a digest of its key, and holds the key. A file is written under another name first and
then renamed, so it is complete or not there at all. Two processes that measure the same write the same, and no file is
locked: network disks often cannot do that.
"""

import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vtstudy.evaluation.errors import CacheError

Arrays = dict[str, np.ndarray]


class MeasurementCache:
    """A folder of measurements, which several processes may share.

    Args:
        folder: it is made when the first measurement is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()

    def has_data(self, name: str, key: Mapping[str, Any]) -> bool:
        """Whether a measurement of plain JSON data is stored. Args: see `data`."""
        return self._path(name, key, ".json").is_file()

    def data(self, name: str, key: Mapping[str, Any], compute: Callable[[], Any], *, fresh: bool = False) -> Any:
        """A measurement that is plain JSON data: the stored one, or else the one that `compute` makes.

        Args:
            name: what is measured; part of the file's name.
            key: plain JSON data: all that the measurement depends on.
            fresh: whether to measure in any case, and to replace the stored measurement.

        Raises:
            CacheError: if the file is damaged, or cannot be written.
        """
        path = self._path(name, key, ".json")
        if path.is_file() and not fresh:
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                intact = record["checksum"] == _digest({"key": record["key"], "value": record["value"]})
            except (ValueError, KeyError, TypeError):
                intact = False
            if not intact or record["key"] != _plain(key):
                raise _damaged(path)
            return record["value"]
        record = {"key": _plain(key), "value": _plain(compute())}
        self._write(path, _dump({"checksum": _digest(record), **record}).encode())
        return record["value"]

    def arrays(self, name: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """A measurement that is arrays by name: the stored ones, or else those that `compute` makes.

        Args and Raises: see `data`.
        """
        path = self._path(name, key, ".npz")
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as stored:  # the archive's checksums are compared on reading
                    arrays = {member: stored[member] for member in stored.files}
                stored_key = json.loads(str(arrays.pop("key")))
            except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
                raise _damaged(path) from error
            if stored_key != _plain(key):
                raise _damaged(path)
            return arrays
        arrays = compute()
        self._write(path, None, {"key": np.array(_dump(key)), **arrays})
        return arrays

    def arrays_in_parts(
        self,
        name: str,
        key: Mapping[str, Any],
        parts: Sequence[slice],
        compute: Callable[[slice], Arrays],
        join: Callable[[list[Arrays]], Arrays],
    ) -> Arrays:
        """As `arrays`, for a measurement that is made in parts, so that a killed run need not begin again.

        The parts are stored while the whole is not there, and deleted after it is.

        Args:
            parts: what each part is of, such as the first 32 questions.
            compute: makes a part.
            join: makes the whole out of all parts.

        Raises: see `data`.
        """
        part_keys = [{**key, "part": [part.start, part.stop]} for part in parts]

        def whole() -> Arrays:
            return join(
                [
                    self.arrays(f"{name}-part", part_key, partial(compute, part))
                    for part, part_key in zip(parts, part_keys, strict=True)
                ]
            )

        arrays = self.arrays(name, key, whole)
        for part_key in part_keys:
            self._path(f"{name}-part", part_key, ".npz").unlink(missing_ok=True)
        return arrays

    def _path(self, name: str, key: Mapping[str, Any], suffix: str) -> Path:
        return self.folder / f"{name}-{_digest(key)[:24]}{suffix}"

    def _write(self, path: Path, content: bytes | None, arrays: Arrays | None = None) -> None:
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:16]}")  # its own, on any machine
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                if content is not None:
                    file.write(content)
                if arrays is not None:
                    np.savez(file, **arrays)  # type: ignore[arg-type]  # one stub takes every name for an option
            os.replace(beside, path)
        except OSError as error:
            raise CacheError(
                f"the folder of measurements {self.folder} cannot be written ({error.strerror})"
            ) from error


def _dump(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(data: Any) -> Any:
    return json.loads(_dump(data))


def _digest(data: Any) -> str:
    return hashlib.sha256(_dump(data).encode()).hexdigest()


def _damaged(path: Path) -> CacheError:
    return CacheError(f"{path} is damaged, so nothing of it is used; delete it to measure anew")
