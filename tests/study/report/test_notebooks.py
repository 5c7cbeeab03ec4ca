"""Notebooks as pages: executed, linked with the report, the same bytes each time."""

import re

import nbformat
import pytest
from helpers import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from vtstudy.report.errors import ReportError
from vtstudy.report.links import NOTEBOOKS
from vtstudy.report.notebooks import _linked, render_notebooks

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    """Writes a notebook with these cells; returns the folder above it."""

    def write(*cells):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        notebook = new_notebook(cells=list(cells))
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
        nbformat.write(notebook, tmp_path / "notebooks/01-one.ipynb")
        return tmp_path

    return write


def render(folder) -> str:
    (page,) = render_notebooks(folder / "notebooks", folder / "reports/lite", ["world"])
    return page.read_text()


def test_a_page_is_self_contained_and_the_notebook_unchanged(folder):
    place = folder(
        new_markdown_cell("# One & only\n\n![a dot](../dot.png)"),
        new_code_cell("import pandas as pd\npd.DataFrame({'value': [6 * 7]})"),
    )
    Image.new("RGB", (2, 2), (9, 9, 9)).save(place / "dot.png")
    before = (place / "notebooks/01-one.ipynb").read_bytes()
    page = render(place)
    assert "<title>One &amp; only</title>" in page and "<td>42</td>" in page
    assert 'src="data:image/png;base64,' in page and "dot.png" not in page
    assert "6 * 7" not in page and not re.search(r"https?://|<script|<link", page)
    assert render(place) == page
    assert (place / "notebooks/01-one.ipynb").read_bytes() == before


@pytest.mark.exhaustive
def test_figures_of_the_report_have_their_captions(folder):
    """In a Markdown cell and by pattern; a figure without a caption stays as it is. The page is of the profile lite."""
    place = folder(
        new_markdown_cell("# One\n\n![x](../reports/miniature/figures/a.png)"),
        new_markdown_cell("![y](../reports/miniature/figures/c.png)"),
        new_markdown_cell("![z](../reports/miniature/figures/absent.png) in the world", metadata={"tags": ["world"]}),
        new_code_cell(
            "from vtstudy.report.notebook_tables import figures\nfigures('../reports/miniature/figures/b*.png')"
        ),
    )
    figures = place / "reports/lite/figures"
    figures.mkdir(parents=True)
    for number, name in enumerate("abc"):
        Image.new("RGB", (2, 2), (9, 9, number)).save(figures / f"{name}.png")
    (figures / "captions.csv").write_text(
        "name,title,caption,alt\na,Curves,Bars: 95 % intervals.,Line charts\nb,Points & more,In points.,Dots\n"
    )
    page = render(place)
    assert "<figcaption><strong>Curves.</strong> Bars: 95 % intervals.</figcaption>" in page
    assert 'alt="Line charts"' in page and 'alt="y"' in page
    assert "<strong>Points &amp; more.</strong> In points." in page
    assert "in the world" not in page
    assert "data:image" not in page and page.count("<figure>") == 2
    assert all(f'src="../figures/{name}.png"' in page for name in "abc")


def test_links_lead_to_the_pages_of_the_report_and_of_other_notebooks(tmp_path):
    body = '<a href="../reports/lite/README.md#here">r</a> <a href="../reports/lite/pages/claims.md">c</a>'
    body += ' <a href="08-more.ipynb">n</a> <a href="https://arxiv.org/abs/1">p</a>'
    linked = _linked(body, tmp_path, "../reports/lite")
    assert re.findall('href="([^"]*)"', linked) == [
        "../index.html#here",
        "../pages/claims.html",
        "08-more.html",
        "https://arxiv.org/abs/1",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_begin_with_their_question_and_its_answer(path):
    title, answered, figure, *_ = nbformat.read(path, as_version=4).cells
    assert title.source.partition(". ")[2] == NOTEBOOKS[path.stem]
    assert f'notebook_answers.json", "{path.stem}")' in answered.source
    assert figure.source.startswith("figures(")


def test_a_missing_figure_is_refused(folder):
    with pytest.raises(ReportError, match=r"absent\.png"):
        render(folder(new_markdown_cell("![x](../absent.png)")))


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("open('absent.csv')", "FileNotFoundError"),
        pytest.param(
            "from vtstudy.report.notebook_tables import figures\nfigures('figures/z*.png')",
            r"z\*\.png",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_a_failing_cell_is_refused(folder, code, key):
    with pytest.raises(ReportError, match=rf"01-one\.ipynb.*{key}"):
        render(folder(new_code_cell(code)))


def test_damaged_and_absent_notebooks_are_refused(folder):
    place = folder(new_markdown_cell("# One"))
    (place / "notebooks/01-one.ipynb").write_text("{")
    with pytest.raises(ReportError, match=r"01-one\.ipynb"):
        render(place)
    (place / "notebooks/01-one.ipynb").unlink()
    with pytest.raises(ReportError, match="notebooks"):
        render(place)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
