"""Notebooks as pages: executed, self-contained, the same bytes each time; one sentence for what is wrong."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from vtprune.reporting.notebooks import main


@pytest.fixture
def place(tmp_path):
    def write(*cells, name="01-one.ipynb"):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        notebook = new_notebook(cells=list(cells))
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
        nbformat.write(notebook, tmp_path / "notebooks" / name)
        return tmp_path

    return write


def run(place) -> int:
    return main(["--notebooks", str(place / "notebooks"), "--out", str(place / "pages")])


def test_a_page(place):
    folder = place(
        new_markdown_cell("# One & only\n\n![a dot](../dot.png)"),
        new_code_cell("import pandas as pd\npd.DataFrame({'value': [6 * 7]})"),
    )
    Image.new("RGB", (2, 2), (9, 9, 9)).save(folder / "dot.png")
    before = (folder / "notebooks/01-one.ipynb").read_bytes()
    assert run(folder) == 0
    page = (folder / "pages/01-one.html").read_text()
    assert "<title>One &amp; only</title>" in page and "<td>42</td>" in page and "data:image/png;base64," in page
    assert "6 * 7" not in page and not re.search(r"https?://|<script|<link", page)
    assert run(folder) == 0 and (folder / "pages/01-one.html").read_text() == page
    assert (folder / "notebooks/01-one.ipynb").read_bytes() == before


def test_a_figure_that_is_not_there_is_one_sentence(place, capsys):
    assert run(place(new_markdown_cell("![x](../absent.png)"))) == 2
    assert "shows ../absent.png, which is not there: run the report first" in capsys.readouterr().err


def test_a_failing_cell_is_one_sentence(place, capsys):
    assert run(place(new_code_cell("open('absent.csv')"))) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("vtprune notebooks: ") and "01-one.ipynb fails: FileNotFoundError" in said


def test_damaged_and_absent_notebooks(place, capsys):
    folder = place(new_markdown_cell("# One"))
    (folder / "notebooks/01-one.ipynb").write_text("{")
    assert run(folder) == 2 and "01-one.ipynb is not a readable notebook" in capsys.readouterr().err
    (folder / "notebooks/01-one.ipynb").unlink()
    assert run(folder) == 2 and "there are no notebooks in" in capsys.readouterr().err
