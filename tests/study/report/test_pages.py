"""The written report: complete, short, linked, the same bytes each time."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
from helpers import ROOT
from helpers import synthetic_results as synthetic
from helpers.report_page import BYTES, WORDS, Page, words

from vtstudy.report.build import build_report
from vtstudy.report.evidence import SAME

pytestmark = pytest.mark.slow

FOLDERS = ["default", pytest.param("full", marks=pytest.mark.exhaustive)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def pages(out: Path) -> dict[str, Page]:
    """Every page of HTML, by its path in the report."""
    return {str(path.relative_to(out)): Page(path.read_text()) for path in sorted(out.rglob("*.html"))}


def test_every_printed_value_is_on_its_page(default):
    shown = [cell.strip() for cell in Page((default / "pages/printed-values.html").read_text()).cells]
    published = rows_of(synthetic.PUBLISHED / "adaptprune.csv")
    assert [
        tuple(row[name] for name in ("table", "model", "row", "column", "published"))
        for row in rows_of(default / "verdicts.csv")
    ] == [tuple(row.values()) for row in published]
    # At least as often in the page as in the tables: nothing is dropped, though a number may be ours as well.
    for value in {row["value"] for row in published}:
        assert shown.count(value) >= sum(row["value"] == value for row in published), value


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_first_page_is_short(folder, request):
    out = request.getfixturevalue(folder)
    page = Page((out / "index.html").read_text())
    assert words(page.text) <= WORDS
    pictures = {link for link in page.links if link.startswith("figures/")}
    assert sum((out / name).stat().st_size for name in {"index.html", *pictures}) <= BYTES
    assert "base64" not in (out / "index.html").read_text()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_link_leads_somewhere(folder, request):
    out = request.getfixturevalue(folder)
    shown = pages(out)
    for name, page in shown.items():
        for link in page.links:
            path, _, part = link.partition("#")
            if link.startswith("https://") or "notebooks/" in path or path.endswith("results"):
                continue  # outside the report
            if path.startswith("../../"):
                assert (ROOT / path.rpartition("../")[2]).is_file(), (name, link)
                continue
            target = (out / name).parent / path if path else out / name
            if target.name == "results.csv":
                continue  # beside the report in a real run
            assert target.exists(), (name, link)
            if part:
                assert part in shown[str(target.resolve().relative_to(out.resolve()))].ids, (name, link)


@pytest.mark.parametrize("folder", FOLDERS)
def test_pages_have_ids_once_and_headings_in_order(folder, request):
    for name, page in pages(request.getfixturevalue(folder)).items():
        assert len(set(page.ids)) == len(page.ids), name
        assert page.headings[0] == 1 and page.headings.count(1) == 1, name
        steps = zip(page.headings, page.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), name
        assert all(page.alts), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_pages_need_no_network(folder, request):
    for path in request.getfixturevalue(folder).rglob("*.html"):
        assert not re.search(r"@import|url\(|<script|<link|src=.https?:", path.read_text()), path


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_chart_is_on_a_page_with_a_caption_of_its_own(folder, request):
    out = request.getfixturevalue(folder)
    linked = {Path(link).name for page in pages(out).values() for link in page.links if "figures/" in link}
    captions = rows_of(out / "figures/captions.csv")
    drawn = {path.name for path in (out / "figures").glob("*.*g")}
    assert linked == drawn == {row["file"] for row in captions}
    assert len({row["title"] for row in captions}) == len(captions)
    assert all(row["caption"] and row["alt"] for row in captions)


@pytest.mark.parametrize("folder", FOLDERS)
def test_markdown_tables_have_as_many_cells_in_every_row(folder, request):
    for path in request.getfixturevalue(folder).rglob("*.md"):
        columns = 0
        for line in path.read_text().splitlines():
            if line.startswith("|"):
                count = len(re.findall(r"(?<!\\)\|", line))
                assert columns in (0, count), (path.name, line)
                columns = count
            else:
                columns = 0


@pytest.mark.exhaustive
def test_the_second_paper_has_its_page(full):
    markdown = (full / "pages/eadaprune.md").read_text()
    names = [path.name for path in (full / "figures").glob("*.*g") if path.stem.startswith(("eadaprune", "spectra"))]
    assert names and all(f"(../figures/{name})" in markdown for name in names)
    verdicts = pd.read_csv(full / "claims_eadaprune.csv").set_index("id")["verdict"]
    assert verdicts["spectral-beats-fixed"] == SAME
    assert len(pd.read_csv(full / "verdicts_eadaprune.csv")) == len(pd.read_csv(synthetic.PUBLISHED / "eadaprune.csv"))


@pytest.mark.exhaustive
def test_two_reports_are_the_same_bytes(default, tmp_path):
    build_report(**synthetic.write(tmp_path, synthetic.rows()))
    first, second = (
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (default, tmp_path / "out")
    )
    assert first == second


def test_no_path_of_this_machine_gets_in(default):
    for path in [*default.rglob("*.html"), *default.rglob("*.md")]:
        text = path.read_text()
        assert "/home/" not in text and f"models/{synthetic.MODEL}" not in text


def test_every_comparison_of_a_claim_is_on_its_page(default):
    markdown = (default / "pages/claims.md").read_text()
    for row in rows_of(default / "claim_items.csv"):
        if row["value"]:
            assert f"| {row['case']} |" in markdown
    first = Page((default / "index.html").read_text())
    for row in rows_of(default / "claims.csv"):
        assert f"### {row['id']}\n" in markdown and row["id"] in first.ids


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_stand_in_never_has_the_papers_name(folder, request):
    """Where ours stands in a table of claims or of models, the paper's model is named as what it stands in for."""
    out = request.getfixturevalue(folder)
    for row in rows_of(out / "claim_items.csv"):
        if "LLaVA" in row["case"] and row["value"]:
            assert "stand-in for LLaVA" in row["case"], row
    for row in rows_of(out / "claims.csv"):
        assert row["verdict"] not in ("reproduced", "differs"), row["id"]
    titles = [name for name in pages(out) if "model-" in name]
    assert titles and all("stand-in for" in (out / name).read_text().partition("</title>")[0] for name in titles)


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
