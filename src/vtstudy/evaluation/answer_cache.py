"""Answers, kept durably as they are made, so that no question is answered twice and a killed run resumes.

One folder holds the answers of all experiments. A file holds the answers of one method with one checkpoint. Its first
line is its identity: everything that an answer depends on, apart from the question (see `cache_key`). Every further
line is one batch of answers, written with one call and flushed to the disk. An answer stands beside the digest of its
question, which is the rendered prompt and the image's pixels. Who asked is not part of the key, so experiments and
benchmarks share answers.

Each line is a JSON object that begins with a checksum of its other members. A killed process can leave a last line
without its line break: that line is cut off, with a notice, and its batch is computed again. Any other damage is an
error that names the file and the line.

lmms-eval has a response cache of its own. Its keys know neither the meaning of a method's code nor the prompts and
pixels, and it cannot store the answers of several methods that share a pass over the questions.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vtstudy.evaluation.errors import CacheError

FORMAT = 2
_log = logging.getLogger("vtprune")

Tokens = tuple[tuple[int, int], ...]
"""How many image tokens a prompt has, from the first decoder layer on: pairs (image tokens, number of layers).

A first pair with 0 layers holds the number of tokens of a prompt that is pruned before the first layer.
"""


class Answer(NamedTuple):
    """An answer, and the numbers of image tokens of its prompt; None where nobody counted these."""

    text: str
    tokens: Tokens | None = None


class AnswerCache:
    """A folder of answers, which several processes may share.

    Args:
        folder: it is made when the first answer is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self._read: dict[str, tuple[tuple, dict[str, Answer]]] = {}

    def read(self, identity: Mapping[str, Any]) -> Mapping[str, Answer]:
        """All stored answers of an identity, by the digest of their question.

        Answers that another process is writing at the moment may be missing.

        Args:
            identity: plain JSON data.

        Raises:
            CacheError: if a file is damaged or cannot be read.
        """
        identity = _identity(identity)
        name = _name(identity)
        paths = _paths(self.folder, name)
        state = tuple((path, status.st_size, status.st_mtime_ns) for path in paths for status in [path.stat()])
        if name not in self._read or self._read[name][0] != state:
            answers: dict[str, Answer] = {}
            for path in paths:
                _merge(answers, _Lines(path, _bytes_of(path), identity).answers)
            self._read[name] = state, answers
        return self._read[name][1]

    @contextmanager
    def open(self, identities: Sequence[Mapping[str, Any]], *, rank: int = 0) -> Iterator[list["AnswerFile"]]:
        """The files of several different identities, for reading and writing; locked for this process until the end.

        Files are locked in one order, whatever the order of the identities. Otherwise two processes that want the
        same files could wait for each other forever.

        Args:
            identities: plain JSON data; `method.name` is part of a file's name.
            rank: of a process among several that answer together; each writes files of its own and reads all.

        Raises:
            CacheError: if a file is damaged, or cannot be read or written.
        """
        plain = [_identity(identity) for identity in identities]
        order = sorted(range(len(plain)), key=lambda index: _name(plain[index]))
        with ExitStack() as stack:
            files = {index: stack.enter_context(AnswerFile(self.folder, plain[index], rank)) for index in order}
            yield [files[index] for index in range(len(plain))]


class AnswerFile:
    """The answers of one identity, locked for this process. Use it as a context manager.

    Raises:
        CacheError: from any call, if a file is damaged, or cannot be read or written.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], rank: int) -> None:
        name = _name(identity)
        self.path = folder / (f"{name}.rank{rank}.jsonl" if rank else f"{name}.jsonl")
        self._answers: dict[str, Answer] = {}
        self._file = self._locked()
        try:
            for path in _paths(folder, name):
                if path != self.path:
                    _merge(self._answers, _Lines(path, _bytes_of(path), identity).answers)
            self._recover(identity)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "AnswerFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    @property
    def answers(self) -> Mapping[str, Answer]:
        """All stored answers, by the digest of their question."""
        return self._answers

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Store a batch of answers by the digests of their questions; on return the batch is on the disk.

        A stored text stays as it is; only counts that it lacks are added.
        """
        new: dict[str, Answer] = {}
        for question, answer in answers.items():
            stored = self._answers.get(question)
            if stored is None:
                new[question] = answer
            elif stored.tokens is None and answer.tokens is not None:
                new[question] = Answer(stored.text, answer.tokens)
        if new:
            self._append({"answers": [_entry(question, answer) for question, answer in new.items()]})
            _merge(self._answers, new)

    def _locked(self) -> BinaryIO:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 - it stays open while the file is locked
        except OSError as error:
            raise CacheError(f"the answer cache {self.path.parent} cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning(f"waiting for another process that is writing {self.path.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def _recover(self, identity: dict[str, Any]) -> None:
        content = _bytes_of(self.path)
        lines = _Lines(self.path, content, identity)
        _merge(self._answers, lines.answers)
        if lines.complete < len(content):
            _log.warning(f"{self.path.name}: a kill cut off the last line; its batch is computed again")
            self._file.truncate(lines.complete)
            os.fsync(self._file.fileno())
        if lines.complete == 0:
            self._append({"identity": identity})

    def _append(self, record: dict[str, Any]) -> None:
        line = _dump({"checksum": _checksum(record), **record}).encode() + b"\n"
        try:
            written = 0
            while written < len(line):  # a signal or a full disk may cut a write short
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CacheError(f"{self.path} cannot be written ({error.strerror})") from error


class _Lines:
    """The answers of a file's content, and how many bytes its complete lines take."""

    def __init__(self, path: Path, content: bytes, identity: dict[str, Any]) -> None:
        self.answers: dict[str, Answer] = {}
        *lines, rest = content.split(b"\n")
        self.complete = len(content) - len(rest)
        for number, line in enumerate(lines, start=1):
            place = f"{path}, line {number}"
            record = checked_record(line, place)
            if number == 1:
                if record.get("identity") != identity:
                    raise CacheError(f"{place}: the identity is not the one that the file's name stands for")
                continue
            entries = record.get("answers")
            if not isinstance(entries, list):
                raise CacheError(f"{place}: the line holds no answers")
            for question, text, *tokens in entries:
                counted = tuple((count, layers) for count, layers in tokens[0]) if tokens else None
                stored = self.answers.get(question)
                if stored is not None and (stored.tokens is not None or counted is None):
                    raise CacheError(f"{place}: question {question} was answered in an earlier line")
                self.answers[question] = Answer(text, counted)


def checked_record(line: bytes, place: str) -> dict[str, Any]:
    """A line's JSON object without its checksum.

    Raises:
        CacheError: if the line is damaged.
    """
    try:
        record = json.loads(line)
        checksum = record.pop("checksum")
        if checksum == _checksum(record):
            return record
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise CacheError(f"{place}: the line is damaged, so nothing of the file is used; delete it to compute it anew")


def _merge(answers: dict[str, Answer], more: Mapping[str, Answer]) -> None:
    """Take in answers; a text that is there stays, and so do counts."""
    for question, answer in more.items():
        stored = answers.get(question)
        if stored is None:
            answers[question] = answer
        elif stored.tokens is None:
            answers[question] = Answer(stored.text, answer.tokens)


def _entry(question: str, answer: Answer) -> list[Any]:
    return [question, answer.text] if answer.tokens is None else [question, answer.text, answer.tokens]


def _identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as it stands in a file: with its keys in one order, whatever their order was."""
    return json.loads(json.dumps({"format": FORMAT, **identity}, sort_keys=True))


def _name(identity: Mapping[str, Any]) -> str:
    key = hashlib.sha256(_dump(identity).encode()).hexdigest()[:24]
    return f"{identity['method']['name']}-{key}"


def _paths(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}*.jsonl"))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror})") from error


def _dump(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=False, separators=(",", ":"), allow_nan=False)


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(_dump(record).encode()).hexdigest()[:16]
