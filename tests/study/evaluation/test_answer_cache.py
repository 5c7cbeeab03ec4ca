"""The answer cache: resuming after a kill, every kind of damage, and several processes."""

import json
import os

import pytest

from vtstudy.evaluation.answer_cache import Answer, AnswerCache
from vtstudy.evaluation.errors import CacheError

IDENTITY = {"method": {"name": "fastv", "keep": 0.1}, "checkpoint": "abc"}
COUNTS = ((16, 2), (4, 2))
BATCHES = [
    {"q0": Answer("yes", COUNTS), "q3": Answer("no\nmore, “quoted”", COUNTS)},
    {"q1": Answer("")},
    {"q2": Answer("ja", COUNTS), "q4": Answer("é", COUNTS)},
]
EVERYTHING = {question: answer for batch in BATCHES for question, answer in batch.items()}


def fill(folder, batches=BATCHES):
    with AnswerCache(folder).open([IDENTITY]) as (file,):
        before = set(folder.glob("*.jsonl"))
        for batch in batches:
            file.add(batch)
        (path,) = set(folder.glob("*.jsonl")) - before
        return path


def read(folder):
    with AnswerCache(folder).open([IDENTITY]) as (file,):
        opened = dict(file.answers)
    assert AnswerCache(folder).read(IDENTITY) == opened
    return opened


def test_stored_answers_are_read(tmp_path):
    path = fill(tmp_path)
    assert read(tmp_path) == EVERYTHING
    assert path.name.startswith("fastv-") and len(path.read_bytes().splitlines()) == 4
    assert '"yes"' in path.read_text()


def test_reading_sees_what_another_process_added(tmp_path):
    cache = AnswerCache(tmp_path)
    assert cache.read(IDENTITY) == {}
    fill(tmp_path, BATCHES[:1])
    assert set(cache.read(IDENTITY)) == {"q0", "q3"}
    fill(tmp_path, BATCHES[1:])
    assert cache.read(IDENTITY) == EVERYTHING


def test_a_folder_that_was_quiet_for_long_is_listed_again_after_a_change(tmp_path, monkeypatch):
    first = fill(tmp_path, BATCHES[:1])
    os.utime(tmp_path, ns=(0, 0))
    cache, listings, listdir = AnswerCache(tmp_path), [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listings.append(path) or listdir(path))
    assert set(cache.read(IDENTITY)) == set(cache.read(IDENTITY)) == {"q0", "q3"}
    assert len(listings) == 1
    fill(tmp_path, BATCHES[1:])
    assert cache.read(IDENTITY) == EVERYTHING
    first.unlink()
    assert set(cache.read(IDENTITY)) == {"q1", "q2", "q4"}


def test_other_identities_have_other_answers(tmp_path):
    fill(tmp_path)
    for other in ({"checkpoint": "abd"}, {"method": {"name": "fastv", "keep": 0.2}}, {"device": "cuda"}):
        assert AnswerCache(tmp_path).read({**IDENTITY, **other}) == {}


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_is_cut_off_at_any_byte_is_completed_by_another(tmp_path, caplog, step):
    path = fill(tmp_path)
    content = path.read_bytes()
    for length in range(0, len(content), step):
        path.write_bytes(content[:length])
        lines = content[:length].count(b"\n")
        complete = {question: answer for batch in BATCHES[: max(0, lines - 1)] for question, answer in batch.items()}
        assert AnswerCache(tmp_path).read(IDENTITY) == complete
        caplog.clear()
        assert read(tmp_path) == complete
        assert ("cut off" in caplog.text) == bool(content[:length].rpartition(b"\n")[2])
        other = fill(tmp_path, BATCHES[max(0, lines - 1) :])
        assert read(tmp_path) == EVERYTHING and path.read_bytes() == content[:length]
        assert other.read_bytes().splitlines()[1:] == content.splitlines()[max(1, lines) :]
        other.unlink()


def test_a_changed_byte_is_reported_with_file_and_line(tmp_path):
    path = fill(tmp_path)
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for position in range(first, len(content) - 1, 7):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        line = content[:position].count(b"\n") + 1
        with pytest.raises(CacheError) as raised:
            read(tmp_path)
        assert str(path) in str(raised.value) and f"line {line}" in str(raised.value)


def test_foreign_repeated_and_missing_lines_are_reported(tmp_path):
    path = fill(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[1]]))
    with pytest.raises(CacheError, match="line 5: question q0"):
        read(tmp_path)
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(CacheError, match="line 1"):
        read(tmp_path)
    path.write_bytes(lines[0] + b"\n" + lines[1])
    with pytest.raises(CacheError, match="line 2"):
        read(tmp_path)
    path.write_bytes(lines[0] + json.dumps({"answers": []}).encode() + b"\n")
    with pytest.raises(CacheError, match="line 2"):
        read(tmp_path)


def test_a_stored_text_stays_and_gets_its_counts(tmp_path):
    fill(tmp_path)
    with AnswerCache(tmp_path).open([IDENTITY]) as (file,):
        file.add({"q0": Answer("something else", ((9, 4),)), "q1": Answer("something else")})
    assert read(tmp_path) == EVERYTHING and len(list(tmp_path.iterdir())) == 1
    fill(tmp_path, [{"q1": Answer("something else", COUNTS)}])
    assert read(tmp_path) == EVERYTHING | {"q1": Answer("", COUNTS)}


def test_files_of_earlier_versions_are_read_and_never_changed(tmp_path):
    """They were `<method>-<key>.jsonl` and `<method>-<key>.rank1.jsonl`."""
    path = fill(tmp_path, BATCHES[:1])
    name = path.name.split(".")[0]
    old = path.rename(tmp_path / f"{name}.jsonl")
    ranked = fill(tmp_path, BATCHES[1:2]).rename(tmp_path / f"{name}.rank1.jsonl")
    before = old.read_bytes(), ranked.read_bytes()
    assert set(read(tmp_path)) == {"q0", "q3", "q1"}
    fill(tmp_path, BATCHES[2:])
    assert read(tmp_path) == EVERYTHING and (old.read_bytes(), ranked.read_bytes()) == before


def test_two_processes_at_the_same_work_write_files_of_their_own(tmp_path):
    """Equal answers are one; of different ones, the one of the first file is used, and the conflict is named."""
    with AnswerCache(tmp_path).open([IDENTITY]) as (first,), AnswerCache(tmp_path).open([IDENTITY]) as (second,):
        first.add(BATCHES[0])
        second.add(BATCHES[0])
        second.add(BATCHES[1])
    assert len(list(tmp_path.iterdir())) == 2
    cache = AnswerCache(tmp_path)
    assert cache.read(IDENTITY) == BATCHES[0] | BATCHES[1] and list(cache.conflicts(IDENTITY)) == []
    fill(tmp_path / "b", [{"q0": Answer("no", COUNTS), "q9": Answer("new")}]).rename(
        tmp_path / f"{next(tmp_path.glob('*.jsonl')).name.split('.')[0]}.zz.jsonl"
    )
    assert cache.read(IDENTITY)["q0"].text == "yes" and cache.read(IDENTITY)["q9"].text == "new"
    (conflict,) = cache.conflicts(IDENTITY)
    assert (conflict.question, conflict.used, conflict.other) == ("q0", "yes", "no")
    assert len(conflict.files) == 3 and conflict.files[-1].endswith(".zz.jsonl")
    assert AnswerCache(tmp_path).read(IDENTITY) == cache.read(IDENTITY)


def test_a_deleted_file_is_forgotten(tmp_path):
    first, cache = fill(tmp_path, BATCHES[:1]), AnswerCache(tmp_path)
    fill(tmp_path, BATCHES[1:])
    assert cache.read(IDENTITY) == EVERYTHING
    first.unlink()
    assert cache.read(IDENTITY) == BATCHES[1] | BATCHES[2]


def test_after_a_write_that_failed_half_way_a_new_file_is_begun(tmp_path, monkeypatch):
    with AnswerCache(tmp_path).open([IDENTITY]) as (file,):
        file.add(BATCHES[0])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(CacheError, match="No space left"):
                file.add(BATCHES[1])
        file.add(BATCHES[2])
    assert len(list(tmp_path.iterdir())) == 2
    assert set(read(tmp_path)) >= set(BATCHES[0] | BATCHES[2])


def test_a_disk_without_locks_is_enough(tmp_path, monkeypatch):
    """`flock` raises ENOLCK on many network disks."""
    import fcntl

    def no_locks(*arguments):
        raise OSError(37, "No locks available")

    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, no_locks)
    fill(tmp_path)
    assert read(tmp_path) == EVERYTHING


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CacheError, match="cannot be written"), AnswerCache(place).open([IDENTITY]):
            pass
