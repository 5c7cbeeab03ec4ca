"""The explorer's folder: its data, its pictures, and what it calls the model. tests/browser has the page in use."""

import json

import pytest
from helpers.explorer_files import GRID, KEEPS, METHODS, QUESTIONS, write_explorer_files

from vtstudy.report.checkpoints import PAPER_CHECKPOINTS
from vtstudy.report.errors import ReportError
from vtstudy.report.explorer import write_explorer
from vtstudy.results_table import TableError


def data_of(page):
    text = (page.parent / "data.js").read_text()
    return json.loads(text.removeprefix("const EXPLORER = ").removesuffix(";\n"))


@pytest.fixture
def page(tmp_path):
    return write_explorer(write_explorer_files(tmp_path / "results/explorer"), tmp_path / "explorer")


def test_the_page_has_every_answer(page):
    data = data_of(page)
    assert [method["key"] for method in data["methods"]] == list(METHODS) and data["keeps"] == list(KEEPS)
    assert {entry["key"]: len(entry["pictures"]) for entry in data["benchmarks"]} == {
        key: count for key, (_, _, count) in QUESTIONS.items()
    }
    picture = data["benchmarks"][1]["pictures"][0]
    assert picture["grid"] == [GRID, GRID] and picture["references"] == QUESTIONS["textvqa"][1]
    assert picture["baseline"] == {"text": "baseline", "right": 1.0}
    assert picture["answers"]["pooled"]["0.25"] == {
        "text": "pooled at 0.25",
        "right": 0.3,
        "kept": "03c0",  # the four cells from the sixth on
        "merged": "0200",
    }
    caption = data["benchmarks"][2]["pictures"][0]["answers"]["adaptprune"]["0.5"]
    assert caption["cider"] == 100 and "right" not in caption


def test_every_picture_is_beside_the_page(page):
    files = {picture["file"] for entry in data_of(page)["benchmarks"] for picture in entry["pictures"]}
    assert {path.name for path in (page.parent / "pictures").iterdir()} == files and len(files) == 6


def test_the_folder_is_the_same_each_time_and_holds_nothing_old(page, tmp_path):
    before = {path.name: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()}
    (page.parent / "old.webp").touch()
    write_explorer(tmp_path / "results/explorer", page.parent)
    assert {path.name: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()} == before


def test_a_stand_in_is_called_one(page):
    text = page.read_text()
    assert "the stand-in for LLaVA-1.5-7B (miniature-llava)" in text


@pytest.mark.parametrize(("id_", "is_papers"), [(PAPER_CHECKPOINTS["LLaVA-1.5-7B"], True), ("else/where", False)])
def test_only_the_papers_own_checkpoint_bears_its_name_alone(tmp_path, id_, is_papers):
    files = write_explorer_files(tmp_path / "results/explorer", source={"id": id_, "commit": "0" * 40})
    text = write_explorer(files, tmp_path / "explorer").read_text()
    assert ("stand-in" not in text) == is_papers


def test_without_the_experiment_there_is_no_explorer(tmp_path):
    (tmp_path / "explorer").mkdir()
    assert write_explorer(tmp_path / "results/explorer", tmp_path / "explorer") is None
    assert not (tmp_path / "explorer").exists()


def test_damaged_files_are_refused(tmp_path):
    files = write_explorer_files(tmp_path / "results/explorer")
    text = (files / "answers.csv").read_text()
    (files / "answers.csv").write_text(text.replace(",0.3,", ",much,"))
    with pytest.raises(TableError, match="right"):
        write_explorer(files, tmp_path / "explorer")
    (files / "answers.csv").write_text(text)
    (files / "explorer.json").write_text("{}")
    with pytest.raises(ReportError):
        write_explorer(files, tmp_path / "explorer")
