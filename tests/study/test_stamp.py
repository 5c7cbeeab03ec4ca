"""A stamp matches only as long as the settings, the code, the inputs and the folder's files are the same."""

import pytest

from vtstudy import stamp
from vtstudy.stamp import Stamp


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder with a file, an input file, and a package whose code makes the folder."""
    for name, content in {
        "out/a.txt": "a",
        "input.txt": "input",
        "code/world/x.py": "x = 1",
        "code/table.py": "",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    monkeypatch.setattr(stamp, "SOURCES", tmp_path / "code")
    return tmp_path


def stamp_of(places, **settings):
    return Stamp(places / "out/made.json", settings, ("world", "table"), [places / "input.txt"])


def test_a_folder_without_a_stamp_does_not_match(places):
    assert not stamp_of(places, seed=1).matches(places / "out")


def test_a_written_stamp_matches(places):
    stamp_of(places, seed=1).write(places / "out")
    assert stamp_of(places, seed=1).matches(places / "out")
    assert not stamp_of(places, seed=2).matches(places / "out")


@pytest.mark.parametrize(
    "name", ["out/a.txt", "out/b.txt", "input.txt", "code/world/x.py", "code/world/y.py", "code/table.py"]
)
def test_a_changed_or_added_file_does_not_match(places, name):
    stamp_of(places).write(places / "out")
    (places / name).write_text("changed")
    assert not stamp_of(places).matches(places / "out")


def test_a_damaged_stamp_does_not_match(places):
    stamp_of(places).write(places / "out")
    (places / "out/made.json").write_text("{")
    assert not stamp_of(places).matches(places / "out")
