"""Predictions, kept durably as they are made, so that a run killed at any point resumes.

One text file for each (cell, task). Its first line is the identity of what was run: checkpoint,
method with all its parameters and code, image mode, precision, generation arguments, data, software. Every
further line is one batch of answers, written with one call and flushed to the disk. Each line is a
JSON object that begins with a checksum of the rest of it.

A last line without its line break is what a kill leaves behind: it is taken off, with a notice, and
its batch is computed anew. Anything else that does not fit is an error that names file and line.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vtstudy.evaluation.errors import StoreError

FORMAT = 1
_log = logging.getLogger("vtprune")


class Prediction(NamedTuple):
    """An answer, and the digest of the question (prompt and image) that it answers."""

    question: str
    answer: str


class PredictionStore:
    """A folder of predictions; may be shared by several processes.

    Args:
        folder: where new predictions go.
        reuse: folders of the same form that are only read; what stands in ``folder`` goes first.

    Raises:
        StoreError: if the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, reuse: Iterable[str | Path] = ()) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.reuse = [Path(other).expanduser().resolve() for other in reuse]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"the prediction store {folder} cannot be written ({error.strerror})") from error

    def open(self, identity: Mapping[str, Any], *, rank: int = 0) -> "Shelf":
        """The predictions of one cell on one task, locked for this process until closed.

        Args:
            identity: plain JSON data; ``method.name`` and ``task`` also show in the file's name.
            rank: of a process among several that share the task's questions; each writes a file
                of its own and reads all.
        """
        identity = json.loads(_dump({"format": FORMAT, **identity}))
        return Shelf(self.folder, _name(identity), identity, rank, self.reuse)

    @contextmanager
    def open_all(self, identities: Sequence[Mapping[str, Any]], *, rank: int = 0) -> Iterator[list["Shelf"]]:
        """As ``open``, for several cells (no two the same) on one task; closed on leaving.

        They are locked in one order, whatever the order given: two processes that want the same
        cells would otherwise wait for each other for ever.
        """
        order = sorted(range(len(identities)), key=lambda index: _name({"format": FORMAT, **identities[index]}))
        with ExitStack() as opened:
            shelves = {index: opened.enter_context(self.open(identities[index], rank=rank)) for index in order}
            yield [shelves[index] for index in range(len(identities))]


class Shelf:
    """What is stored of one cell on one task. Use it as a context manager.

    Raises:
        StoreError: from any call, if a file is damaged or cannot be read or written.
    """

    def __init__(
        self, folder: Path, name: str, identity: dict[str, Any], rank: int, reuse: Iterable[Path] = ()
    ) -> None:
        self.path = folder / (f"{name}.rank{rank}.jsonl" if rank else f"{name}.jsonl")
        self._identity = identity
        self._predictions: dict[int, Prediction] = {}
        self._reused: dict[int, Prediction] = {}
        self._file = self._locked()
        try:
            for other in sorted(folder.glob(f"{name}*.jsonl")):
                if other != self.path:
                    self._read(other, other.read_bytes())
            self._recover()
            own = self._predictions
            for other in (file for folder in reuse for file in sorted(folder.glob(f"{name}*.jsonl"))):
                self._predictions = {}
                self._read(other, other.read_bytes())
                self._reused = self._predictions | self._reused
            self._predictions = own
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._predictions)

    def get(self, doc: int, question: str) -> str | None:
        """The stored answer to a document's question, None if there is none.

        Raises:
            StoreError: if the stored answer was given to another question.
        """
        found = self._predictions.get(doc) or self._reused.get(doc)
        if found is None:
            return None
        if found.question != question:
            raise StoreError(
                f"{self.path.name} holds an answer to another question than document {doc} asks now: "
                "the data were changed under an old name, so delete that file to compute it anew"
            )
        return found.answer

    def add(self, answers: Iterable[tuple[int, str, str]]) -> None:
        """Store a batch of (document, digest of its question, answer); on return it is on the disk."""
        answers = list(answers)
        for doc, question, answer in answers:
            if doc in self._predictions:
                raise StoreError(f"{self.path} holds an answer for document {doc} already")
            self._predictions[doc] = Prediction(question, answer)
        self._append({"answers": answers})

    def _locked(self):
        try:
            file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            raise StoreError(f"the prediction store {self.path.parent} cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning(f"waiting for another process that is filling {self.path.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def _recover(self) -> None:
        self._file.seek(0)
        data = self._file.readall()
        complete = self._read(self.path, data)
        if complete < len(data):
            _log.warning(f"{self.path.name}: its last line was cut off by a kill; that batch is computed anew")
            self._file.truncate(complete)
            os.fsync(self._file.fileno())
        if complete == 0:
            self._append({"identity": self._identity})

    def _read(self, path: Path, data: bytes) -> int:
        """Take in a file's lines; returns how many bytes complete lines take."""
        lines = data.split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):
            where = f"{path}, line {number}"
            record = _checked(line, where)
            if number == 1:
                if record.get("identity") != self._identity:
                    raise StoreError(f"{where}: these are predictions of another run than the file's name says")
                continue
            answers = record.get("answers")
            if not isinstance(answers, list):
                raise StoreError(f"{where}: there are no answers in it")
            for doc, question, answer in answers:
                if doc in self._predictions:
                    raise StoreError(f"{where}: document {doc} was answered in an earlier line already")
                self._predictions[doc] = Prediction(question, answer)
        return len(data) - len(lines[-1])

    def _append(self, record: dict[str, Any]) -> None:
        line = _dump({"checksum": _checksum(record), **record}).encode() + b"\n"
        try:
            written = 0
            while written < len(line):  # a signal or a full disk may cut a write short
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written ({error.strerror})") from error


def _name(identity: Mapping[str, Any]) -> str:
    key = hashlib.sha256(_dump(identity).encode()).hexdigest()[:24]
    return f"{identity['method']['name']}-{identity['task']}-{key}"


def _dump(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=False, separators=(",", ":"), allow_nan=False)


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(_dump(record).encode()).hexdigest()[:16]


def _checked(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        stated = record.pop("checksum")
        if stated == _checksum(record):
            return record
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise StoreError(f"{where}: the line is damaged, so nothing of this file is used; delete it to compute it anew")
