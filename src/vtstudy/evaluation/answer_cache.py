"""Answers, kept durably as they are made, so that no question is answered twice and a killed run resumes.

One folder holds the answers of all experiments. The answers of one method with one checkpoint are in one file or in
several: each process writes a file of its own, and reads all. So any number of processes, on any number of machines,
may share the folder, and nothing depends on file locks, which network disks often lack. A file's first line is its
identity: everything that an answer depends on, apart from the question (see `cache_key`). Every further line is one
batch of answers, written with one call and flushed to the disk. An answer stands beside the digest of its question,
which is the rendered prompt and the image's pixels. Who asked is not part of the key, so experiments and benchmarks
share answers.

Two processes that do the same work by mistake store an answer twice. Equal answers are one. If they differ, the one
of the file whose name comes first is used, with a warning, and `AnswerCache.conflicts` names it.

Each line is a JSON object that begins with a checksum of its other members. A killed process can leave a last line
without its line break. No file is ever changed by another process, so that line stays, is never read, and its batch is
computed again. Any other damage is an error that names the file and the line.

lmms-eval has a response cache of its own. Its keys know neither the meaning of a method's code nor the prompts and
pixels, and it cannot store the answers of several methods that share a pass over the questions.
"""

import hashlib
import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vtstudy.evaluation.errors import CacheError
from vtstudy.evaluation.shards import ALL, Shard

FORMAT = 2
_SHORT = 24  # answers of at most so many characters are often equal, and then kept in memory once
_SETTLED = 2_000_000_000  # nanoseconds after which a folder's time of modification stands for its content
_log = logging.getLogger("vtprune")

Tokens = tuple[tuple[int, int], ...]
"""How many image tokens a prompt has, from the first decoder layer on: pairs (image tokens, number of layers).

A first pair with 0 layers holds the number of tokens of a prompt that is pruned before the first layer.
"""


class Answer(NamedTuple):
    """An answer, and the numbers of image tokens of its prompt; None where nobody counted these."""

    text: str
    tokens: Tokens | None = None


class Conflict(NamedTuple):
    """A question whose stored answers differ.

    Attributes:
        question: its digest.
        used, other: the two texts.
        files: the names of the files that hold answers to it.
    """

    question: str
    used: str
    other: str
    files: tuple[str, ...]


class AnswerCache:
    """A folder of answers, which several processes may share.

    Args:
        folder: it is made when the first answer is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self._stored: dict[str, _Stored] = {}
        self._listing = _Folder(self.folder)

    def read(self, identity: Mapping[str, Any]) -> Mapping[str, Answer]:
        """All stored answers of an identity, by the digest of their question.

        Answers that another process is writing at the moment may be missing.

        Args:
            identity: plain JSON data.

        Raises:
            CacheError: if a file is damaged or cannot be read.
        """
        return self._read(_identity(identity)).answers

    def conflicts(self, identity: Mapping[str, Any]) -> Iterator[Conflict]:
        """The questions of which two files hold answers that differ.

        Raises: see `read`.
        """
        return self._read(_identity(identity)).conflicts()

    @contextmanager
    def open(self, identities: Sequence[Mapping[str, Any]], *, shard: Shard = ALL) -> Iterator[list["AnswerFile"]]:
        """The answers of several different identities, for reading and for writing to new files of this process.

        Args:
            identities: plain JSON data; `method.name` is part of a file's name.
            shard: the part of the work that this process does; part of a file's name, for those who look.

        Raises:
            CacheError: if a file is damaged, or cannot be read or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(f"the answer cache {self.folder} cannot be written ({error.strerror})") from error
        with ExitStack() as stack:
            yield [stack.enter_context(AnswerFile(self._read(_identity(each)), shard)) for each in identities]

    def _read(self, identity: dict[str, Any]) -> "_Stored":
        name = _name(identity)
        stored = self._stored.setdefault(name, _Stored(self._listing, name, identity))
        stored.refresh()
        return stored


class AnswerFile:
    """The answers of one identity, and the file to which this process adds. Use it as a context manager.

    The file is made with the first batch, under a name that no other process has.

    Raises:
        CacheError: from any call, if a file is damaged, or cannot be read or written.
    """

    def __init__(self, stored: "_Stored", shard: Shard) -> None:
        self._stored, self._shard = stored, shard
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        stored.report_cut_lines()

    def __enter__(self) -> "AnswerFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    @property
    def name(self) -> str:
        """What the names of all files of this identity begin with."""
        return self._stored.name

    @property
    def answers(self) -> Mapping[str, Answer]:
        """All stored answers, by the digest of their question."""
        return self._stored.answers

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Store a batch of answers by the digests of their questions; on return the batch is on the disk.

        A stored text stays as it is; only counts that it lacks are added.
        """
        new: dict[str, Answer] = {}
        for question, answer in answers.items():
            stored = self.answers.get(question)
            if stored is None:
                new[question] = answer
            elif stored.tokens is None and answer.tokens is not None:
                new[question] = Answer(stored.text, answer.tokens)
        if new:
            if self._file is None:
                self._create()
            self._append({"answers": [_entry(question, answer) for question, answer in new.items()]})
            self._stored.merge(new)

    def _create(self) -> None:
        part = "" if self._shard.is_all else f"{self._shard.number}of{self._shard.count}-"
        self._path = self._stored.folder / f"{self.name}.{part}{uuid.uuid4().hex[:16]}.jsonl"
        try:
            self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 - it stays open while batches are added
        except OSError as error:
            raise CacheError(f"the answer cache {self._path.parent} cannot be written ({error.strerror})") from error
        self._append({"identity": self._stored.identity})

    def _append(self, record: dict[str, Any]) -> None:
        assert self._file is not None and self._path is not None
        line = _dump({"checksum": _checksum(record), **record}).encode() + b"\n"
        try:
            written = 0
            while written < len(line):  # a signal or a full disk may cut a write short
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            self._close()  # whatever comes after half a line would be damaged: a next batch begins a new file
            raise CacheError(f"{self._path} cannot be written ({error.strerror})") from error
        self._stored.skip(self._path, len(line))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Folder:
    """The files of a folder of answers by identity; there are thousands, so it is listed only after it changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listed_at: int | None = None  # the folder's time of modification then
        self._files: dict[str, list[str]] = {}

    def files(self, name: str) -> list[Path]:
        """The files of an identity: the one of earlier versions of this code first, then by name."""
        try:
            changed_at = os.stat(self.path).st_mtime_ns
            if changed_at != self._listed_at:
                self._files = {}
                for file in os.listdir(self.path):
                    if file.endswith("jsonl"):
                        self._files.setdefault(file.partition(".")[0], []).append(file)
                # Two changes within one tick of the disk's clock have the same time.
                is_settled = time.time_ns() - changed_at > _SETTLED
                self._listed_at = changed_at if is_settled else None
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CacheError(f"{self.path} cannot be read ({error.strerror})") from error
        files = sorted(self._files.get(name, ()), key=lambda file: (file != f"{name}.jsonl", file))
        return [self.path / file for file in files]


class _Stored:
    """The answers of one identity in all of its files, as far as they have been read.

    Files only grow, so each is read from where it was read to before.
    """

    def __init__(self, folder: _Folder, name: str, identity: dict[str, Any]) -> None:
        self._files_of, self.folder, self.name, self.identity = folder.files, folder.path, name, identity
        self._forget()

    def _forget(self) -> None:
        self.answers: dict[str, Answer] = {}
        self._lines: dict[Path, int] = {}  # by file, how many of its lines have been read
        self._ends: dict[Path, int] = {}  # by file, where the last of these lines ends
        self._sizes: dict[Path, int] = {}  # by file, how long it was then
        self._differing: dict[str, str] = {}  # by question, a text that is not used
        self._reported: set[Path] = set()
        self._unique: dict[Any, Any] = {}

    def refresh(self) -> None:
        """Read what was added since the last time."""
        paths = self._files_of(self.name)
        try:
            sizes = {path: path.stat().st_size for path in paths}
        except OSError as error:
            raise CacheError(f"{self.folder} cannot be read ({error.strerror})") from error
        if any(sizes.get(path, -1) < end for path, end in self._ends.items()):
            self._forget()  # a file was deleted, or another one is in its place
        for path in paths:
            if sizes[path] != self._sizes.get(path):
                self._read(path)

    def skip(self, path: Path, length: int) -> None:
        """Take note of a line that this process itself has added to a file."""
        self._lines[path] = self._lines.get(path, 0) + 1
        self._ends[path] = self._sizes[path] = self._ends.get(path, 0) + length

    def merge(self, more: Mapping[str, Answer]) -> None:
        """Take in answers; a text that is there stays, and so do counts."""
        for question, answer in more.items():
            stored = self.answers.get(question)
            if stored is None:
                self.answers[sys.intern(question)] = self._shared(answer)
                continue
            if stored.text != answer.text and question not in self._differing:
                self._differing[question] = answer.text
            if stored.tokens is None and answer.tokens is not None:
                self.answers[question] = self._shared(Answer(stored.text, answer.tokens))

    def conflicts(self) -> Iterator[Conflict]:
        for question, other in self._differing.items():
            holders = [path.name for path in self._files_of(self.name) if question.encode() in _bytes_of(path, 0)]
            yield Conflict(question, self.answers[question].text, other, tuple(holders))

    def report_cut_lines(self) -> None:
        """Warn, once for each file, of a last line that is not complete."""
        for path, size in self._sizes.items():
            if size > self._ends.get(path, 0) and path not in self._reported:
                self._reported.add(path)
                _log.warning(f"{path.name}: a kill cut off the last line, or it is being written; it is not used")

    def _read(self, path: Path) -> None:
        start = self._ends.get(path, 0)
        content = _bytes_of(path, start)
        *lines, rest = content.split(b"\n")
        differing = len(self._differing)
        known = self._lines.get(path, 0)
        self.merge(_answers_of(lines, path, known + 1, self.identity))
        self._lines[path], self._ends[path] = known + len(lines), start + len(content) - len(rest)
        self._sizes[path] = start + len(content)
        if len(self._differing) > differing:
            _log.warning(
                f"{path.name}: {len(self._differing) - differing} of its answers differ from those of another file of "
                "the same method, which are used; delete one of the two files"
            )

    def _shared(self, answer: Answer) -> Answer:
        """An equal answer that is in memory already, where that is likely."""
        tokens = self._unique.setdefault(answer.tokens, answer.tokens)
        answer = Answer(answer.text, tokens)
        return self._unique.setdefault(answer, answer) if len(answer.text) <= _SHORT else answer


def _answers_of(lines: Sequence[bytes], path: Path, first: int, identity: dict[str, Any]) -> dict[str, Answer]:
    """The answers of complete lines of a file.

    Args:
        first: the number of the first of these lines in the file, from 1 on.
    """
    answers: dict[str, Answer] = {}
    for number, line in enumerate(lines, start=first):
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
            stored = answers.get(question)
            if stored is not None and (stored.tokens is not None or counted is None):
                raise CacheError(f"{place}: question {question} was answered in an earlier line")
            answers[question] = Answer(text, counted)
    return answers


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


def _entry(question: str, answer: Answer) -> list[Any]:
    return [question, answer.text] if answer.tokens is None else [question, answer.text, answer.tokens]


def _identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as it stands in a file: with its keys in one order, whatever their order was."""
    return json.loads(json.dumps({"format": FORMAT, **identity}, sort_keys=True))


def _name(identity: Mapping[str, Any]) -> str:
    key = hashlib.sha256(_dump(identity).encode()).hexdigest()[:24]
    return f"{identity['method']['name']}-{key}"


def _bytes_of(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror})") from error


def _dump(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=False, separators=(",", ":"), allow_nan=False)


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(_dump(record).encode()).hexdigest()[:16]
