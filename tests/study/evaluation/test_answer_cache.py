"""The answer cache: resuming after a kill, every kind of damage, and several processes."""

import json
import subprocess
import sys
import textwrap

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
        for batch in batches:
            file.add(batch)
        return file.path


def read(folder):
    with AnswerCache(folder).open([IDENTITY]) as (file,):
        locked = dict(file.answers)
    assert AnswerCache(folder).read(IDENTITY) == locked
    return locked


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


def test_other_identities_have_other_answers(tmp_path):
    fill(tmp_path)
    for other in ({"checkpoint": "abd"}, {"method": {"name": "fastv", "keep": 0.2}}, {"device": "cuda"}):
        assert AnswerCache(tmp_path).read({**IDENTITY, **other}) == {}


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_is_cut_off_at_any_byte_resumes_to_the_same_bytes(tmp_path, caplog, step):
    path = fill(tmp_path)
    content = path.read_bytes()
    for length in range(0, len(content), step):
        path.write_bytes(content[:length])
        lines = content[:length].count(b"\n")
        complete = {question: answer for batch in BATCHES[: max(0, lines - 1)] for question, answer in batch.items()}
        assert AnswerCache(tmp_path).read(IDENTITY) == complete and path.read_bytes() == content[:length]
        caplog.clear()
        assert read(tmp_path) == complete
        assert ("cut off" in caplog.text) == bool(content[:length].rpartition(b"\n")[2])
        fill(tmp_path, BATCHES[max(0, lines - 1) :])
        assert path.read_bytes() == content


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
    path = fill(tmp_path)
    size = path.stat().st_size
    fill(tmp_path, [{"q0": Answer("something else", ((9, 4),)), "q1": Answer("something else")}])
    assert read(tmp_path) == EVERYTHING and path.stat().st_size == size
    fill(tmp_path, [{"q1": Answer("something else", COUNTS)}])
    assert read(tmp_path) == EVERYTHING | {"q1": Answer("", COUNTS)}


def test_processes_that_answer_together_read_each_other(tmp_path):
    fill(tmp_path, BATCHES[:1])
    with AnswerCache(tmp_path).open([IDENTITY], rank=1) as (file,):
        assert file.answers["q0"].text == "yes" and file.path.name.endswith(".rank1.jsonl")
        file.add(BATCHES[1])
    assert set(read(tmp_path)) == {"q0", "q3", "q1"}


@pytest.mark.slow
def test_a_second_process_waits_and_then_reads_the_answers_of_the_first(tmp_path):
    program = textwrap.dedent("""
        import sys
        from vtstudy.evaluation.answer_cache import AnswerCache
        print("started", flush=True)
        identity = {"method": {"name": "fastv", "keep": 0.1}, "checkpoint": "abc"}
        with AnswerCache(sys.argv[1]).open([identity]) as (file,):
            print(sorted(file.answers), flush=True)
    """)
    with AnswerCache(tmp_path).open([IDENTITY]) as (file,):
        second = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stdout.readline() == "started\n"
        assert second.stderr.readline().startswith("waiting for another process")
        for batch in BATCHES:
            file.add(batch)
    output, _ = second.communicate(timeout=60)
    assert output == "['q0', 'q1', 'q2', 'q3', 'q4']\n"


def test_files_are_locked_in_one_order(tmp_path, monkeypatch):
    import fcntl

    from vtstudy.evaluation import answer_cache

    locked = []
    monkeypatch.setattr(answer_cache.fcntl, "flock", lambda file, how: locked.append(file.name) or fcntl.LOCK_EX)
    identities = [{**IDENTITY, "checkpoint": name} for name in ("a", "b", "c", "d")]
    for order in (identities, identities[::-1]):
        with AnswerCache(tmp_path).open(order) as files:
            stored = [json.loads(file.path.read_text())["identity"]["checkpoint"] for file in files]
            assert stored == [identity["checkpoint"] for identity in order]
    assert len(locked) == 8 and locked[:4] == locked[4:]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CacheError, match="cannot be written"), AnswerCache(place).open([IDENTITY]):
            pass
