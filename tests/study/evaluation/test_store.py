"""The prediction store: resuming, and every kind of damage."""

import json

import pytest

from vtstudy.evaluation.answer_cache import PredictionStore
from vtstudy.evaluation.errors import StoreError

IDENTITY = {"method": {"name": "fastv", "keep": 0.1}, "task": "pope", "checkpoint": "abc"}
BATCHES = [[(0, "q0", "yes"), (3, "q3", "no\nmore, “quoted”")], [(1, "q1", "")], [(2, "q2", "ja"), (4, "q4", "é")]]


def fill(folder, batches=BATCHES):
    with PredictionStore(folder).open(IDENTITY) as shelf:
        for batch in batches:
            shelf.add(batch)
        return shelf.path


def read(folder) -> dict[int, str | None]:
    with PredictionStore(folder).open(IDENTITY) as shelf:
        return {doc: shelf.get(doc, f"q{doc}") for doc in range(5)}


FULL = {doc: answer for batch in BATCHES for doc, _, answer in batch}


def test_what_is_stored_is_read(tmp_path):
    path = fill(tmp_path)
    assert read(tmp_path) == FULL
    assert path.name.startswith("fastv-pope-") and len(path.read_bytes().splitlines()) == 4
    assert '"yes"' in path.read_text()


def test_other_identities_do_not_meet(tmp_path):
    fill(tmp_path)
    for other in ({"checkpoint": "abd"}, {"method": {"name": "fastv", "keep": 0.2}}, {"task": "mme"}):
        with PredictionStore(tmp_path).open({**IDENTITY, **other}) as shelf:
            assert len(shelf) == 0


def test_cut_off_at_every_byte_it_resumes_to_the_same_file(tmp_path, caplog):
    path = fill(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        left = {doc: answer for batch in BATCHES[: max(0, lines - 1)] for doc, _, answer in batch}
        caplog.clear()
        assert {doc: answer for doc, answer in read(tmp_path).items() if answer is not None} == left
        cut = bool(whole[:length].rpartition(b"\n")[2])
        assert ("cut off by a kill" in caplog.text) == cut
        fill(tmp_path, BATCHES[max(0, lines - 1) :])
        assert path.read_bytes() == whole


def test_a_changed_byte_is_reported_with_file_and_line(tmp_path):
    path = fill(tmp_path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for position in range(first, len(whole) - 1, 7):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        line = whole[:position].count(b"\n") + 1
        with pytest.raises(StoreError) as raised:
            read(tmp_path)
        assert str(path) in str(raised.value) and f"line {line}" in str(raised.value)


def test_foreign_repeated_and_missing_lines_are_reported(tmp_path):
    path = fill(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[1]]))
    with pytest.raises(StoreError, match="line 5: document 0 was answered in an earlier line"):
        read(tmp_path)
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(StoreError, match="line 1: these are predictions of another run"):
        read(tmp_path)
    path.write_bytes(lines[0] + b"\n" + lines[1])
    with pytest.raises(StoreError, match="line 2: the line is damaged"):
        read(tmp_path)
    path.write_bytes(lines[0] + json.dumps({"answers": []}).encode() + b"\n")
    with pytest.raises(StoreError, match="line 2: the line is damaged"):
        read(tmp_path)


def test_another_question_under_the_same_number_is_reported(tmp_path):
    fill(tmp_path)
    with PredictionStore(tmp_path).open(IDENTITY) as shelf:
        assert shelf.get(9, "new") is None
        with pytest.raises(StoreError, match="another question than document 3"):
            shelf.get(3, "other pixels")


def test_an_answer_is_stored_once(tmp_path):
    fill(tmp_path)
    with PredictionStore(tmp_path).open(IDENTITY) as shelf, pytest.raises(StoreError, match="document 0 already"):
        shelf.add([(0, "q0", "no")])


def test_processes_that_share_a_task_read_each_other(tmp_path):
    fill(tmp_path, BATCHES[:1])
    with PredictionStore(tmp_path).open(IDENTITY, rank=1) as shelf:
        assert shelf.get(0, "q0") == "yes"
        shelf.add(BATCHES[1])
    assert read(tmp_path)[1] == ""


def test_several_are_locked_in_one_order(tmp_path, monkeypatch):
    store, opened = PredictionStore(tmp_path), []
    monkeypatch.setattr(
        store,
        "open",
        lambda identity, **options: opened.append(identity["task"]) or PredictionStore.open(store, identity, **options),
    )
    identities = [{**IDENTITY, "task": task} for task in ("a", "b", "c", "d")]
    for order in (identities, identities[::-1]):
        with store.open_all(order) as shelves:
            assert [shelf.path.name.split("-")[1] for shelf in shelves] == [identity["task"] for identity in order]
    assert opened[:4] == opened[4:]


def test_other_folders_are_only_read(tmp_path):
    path = fill(tmp_path / "first", BATCHES[:2])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])  # still being written
    store = PredictionStore(tmp_path / "second", reuse=[tmp_path / "first", tmp_path / "absent"])
    with store.open(IDENTITY) as shelf:
        assert (shelf.get(0, "q0"), shelf.get(1, "q1")) == ("yes", None)
        shelf.add([(1, "q1", "mine")])
    path.write_bytes(whole)
    with store.open(IDENTITY) as shelf:
        assert (shelf.get(0, "q0"), shelf.get(1, "q1"), len(shelf)) == ("yes", "mine", 1)
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b"yes", b"yEs"))
    with pytest.raises(StoreError, match=r"first.*line 2: the line is damaged"):
        store.open(IDENTITY)


def test_unwritable_places(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="cannot be written"):
            PredictionStore(place)
