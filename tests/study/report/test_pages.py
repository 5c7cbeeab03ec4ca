"""The written report: complete, self-contained, the same bytes each time."""

import csv
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report import build_report

SNAPSHOT = Path(__file__).parent / "snapshots/report.md"


class Page(HTMLParser):
    """Links, ids, cells and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str | None] = set()
        self.cells: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if "td" in self.open and self.cells:
            self.cells[-1] += data


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_prose_is_the_accepted_one(full):
    """To accept new prose after an intended change: `UPDATE_SNAPSHOTS=1 pytest tests/study/report/test_pages.py`."""
    lines = (full / "README.md").read_text().splitlines()
    prose = "\n".join(line for line in lines if line and not line.startswith("|")) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(prose)
    assert prose == SNAPSHOT.read_text()


def test_every_printed_value_is_in_all_outputs(default):
    page = Page((default / "index.html").read_text())
    markdown = (default / "README.md").read_text()
    published = rows_of(synthetic.PUBLISHED / "adaptprune.csv")
    assert [
        tuple(row[name] for name in ("table", "model", "row", "column", "published"))
        for row in rows_of(default / "verdicts.csv")
    ] == [tuple(row.values()) for row in published]
    # At least as often in the pages as in the tables: nothing is dropped, though a number may be ours as well.
    shown = [cell.strip() for cell in page.cells]
    for value in {row["value"] for row in published}:
        wanted = sum(row["value"] == value for row in published)
        starts = (f"{value}ours", f"{value}not run")
        assert sum(cell == value or cell.startswith(starts) for cell in shown) >= wanted, value
        pattern = rf"\| {re.escape(value)}(?: \(ours [^)]*\))?(?: not run \(\d\))?(?= \|)"
        assert len(re.findall(pattern, markdown)) >= wanted, value


@pytest.mark.parametrize("folder", ["default", pytest.param("full", marks=pytest.mark.slow)])
def test_the_page_is_self_contained(folder, request):
    text = (request.getfixturevalue(folder) / "index.html").read_text()
    page = Page(text)
    assert page.links
    for link in page.links:
        assert link.startswith("data:image/png;base64,") or (link.startswith("#") and link[1:] in page.ids), link
    assert not re.search(r"https?://|@import|url\(|<script|<link", text)


@pytest.mark.parametrize("folder", ["default", pytest.param("full", marks=pytest.mark.slow)])
def test_every_chart_is_in_the_pages_with_a_caption_of_its_own(folder, request):
    out = request.getfixturevalue(folder)
    linked = re.findall(r"!\[[^\]]*\]\(figures/(.*?)\.png\)", (out / "README.md").read_text())
    captions = rows_of(out / "figures/captions.csv")
    drawn = {path.stem for path in (out / "figures").glob("*.png")}
    assert sorted(linked) == sorted(drawn) == sorted(row["name"] for row in captions)
    assert drawn == {path.stem for path in (out / "figures").glob("*.svg")}
    assert len({row["title"] for row in captions}) == len(captions)
    assert all(row["caption"] and row["alt"] for row in captions)
    assert len(Page((out / "index.html").read_text()).links) > len(linked)


@pytest.mark.parametrize("folder", ["default", pytest.param("full", marks=pytest.mark.slow)])
def test_markdown_tables_have_as_many_cells_in_every_row(folder, request):
    columns = 0
    for line in (request.getfixturevalue(folder) / "README.md").read_text().splitlines():
        if line.startswith("|"):
            count = len(re.findall(r"(?<!\\)\|", line))
            assert columns in (0, count), line
            columns = count
        else:
            columns = 0


@pytest.mark.slow
def test_two_reports_are_the_same_bytes(default, tmp_path):
    build_report(**synthetic.write(tmp_path, synthetic.rows()))
    first, second = (
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (default, tmp_path / "out")
    )
    assert first == second


def test_no_path_of_this_machine_gets_in(default):
    for name in ("index.html", "README.md"):
        text = (default / name).read_text()
        assert "/home/" not in text and f"models/{synthetic.MODEL}" not in text and synthetic.MODEL in text


def test_every_comparison_of_a_claim_is_in_the_pages(default):
    page, markdown = Page((default / "index.html").read_text()).text, (default / "README.md").read_text()
    comparisons = rows_of(default / "claim_items.csv")
    ids = [row["id"] for row in comparisons]
    for row in comparisons:
        if row["value"]:
            assert (f"| {row['id']} | {row['case']} |" in markdown) == (ids.count(row["id"]) > 1)
    for row in rows_of(default / "claims.csv"):
        assert f"`{row['id']}`" in markdown and row["id"] in page


def test_a_verdict_leads_to_its_row_of_results(default):
    def names(row: dict[str, str], prefix: str = "") -> tuple[str, ...]:
        return tuple(row[prefix + name] for name in ("experiment", "model", "method", "benchmark", "metric"))

    values = {names(row): float(row["value"]) for row in rows_of(default.parent / "results.csv")}
    for row in rows_of(default / "claim_items.csv"):
        if row["value"]:
            assert abs(values[names(row)]) == pytest.approx(abs(float(row["value"])), abs=1e-4)
    for row in rows_of(default / "verdicts.csv"):
        if row["ours"]:
            assert values[names(row, "ours_")] == pytest.approx(float(row["ours"]), abs=1e-4)
