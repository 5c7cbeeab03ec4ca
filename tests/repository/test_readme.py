"""README.md says what the committed results and the code say, and is short."""

import dataclasses

import pytest
from helpers import ROOT

from vtstudy.report.captions import drawn
from vtstudy.report.errors import ReportError
from vtstudy.report.inputs import Folders, load
from vtstudy.report.readme import families_sentence, fill_readme, marked_block, methods_table, readme_blocks
from vtstudy.report.view import View, build_view

pytestmark = pytest.mark.slow

README = ROOT / "README.md"
REPORTS = "reports/miniature"
MOST_LINES = 150


@pytest.fixture(scope="module")
def view() -> View:
    """What the committed report shows; its picture is the committed one."""
    shown = build_view(load(Folders(ROOT / REPORTS, ROOT / "data/published", ROOT / "params.yaml")))
    assert shown.picture is not None
    shown.picture.file = drawn(ROOT / REPORTS / "figures" / shown.picture.name).name
    return shown


def test_its_results_are_those_of_the_report(view):
    """After a change of the results, `vtstudy report --readme README.md` writes them anew."""
    assert marked_block(README, "answers") == readme_blocks(view, REPORTS)["answers"]
    assert f"{REPORTS}/figures/{view.picture.file}" in marked_block(README, "answers")
    assert (ROOT / REPORTS / "figures" / view.picture.file).is_file()


def test_another_result_changes_it(view):
    other = [dataclasses.replace(answer, verdict="other words") for answer in view.answers]
    changed = readme_blocks(dataclasses.replace(view, answers=other, choices=[("all", "nothing")]), REPORTS)["answers"]
    assert changed.count("other words") == len(view.answers) > 4
    assert "nothing" in changed and view.choices[0][1] not in changed


def test_its_methods_and_families_are_those_of_the_library():
    assert marked_block(README, "methods") == methods_table()
    assert marked_block(README, "families") == families_sentence()


def test_it_is_short():
    assert len(README.read_text().splitlines()) <= MOST_LINES


def test_only_the_marked_part_is_written(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("above\n<!-- a -->\nold\n<!-- /a -->\nbelow\n")
    for _ in range(2):
        fill_readme(readme, {"a": "new"})
        assert readme.read_text() == "above\n<!-- a -->\nnew\n<!-- /a -->\nbelow\n"


def test_a_readme_without_marks_is_refused_and_kept(tmp_path):
    with pytest.raises(ReportError, match="README"):
        fill_readme(tmp_path / "README.md", {"a": "new"})
    readme = tmp_path / "README.md"
    readme.write_text("<!-- a -->\nold\n<!-- /a -->\n")
    with pytest.raises(ReportError, match="b"):
        fill_readme(readme, {"a": "new", "b": "new"})
    assert "old" in readme.read_text()
