"""Notebooks as pages: executed, self-contained, the same bytes each time; one sentence for what is wrong."""

import math
import re

import nbformat
import pandas as pd
import pytest
from helpers import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from vtstudy.report.notebook_tables import in_words, show
from vtstudy.report.notebooks import main

NOTEBOOKS = ROOT / "notebooks"


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


def test_a_figure_of_the_report_has_its_caption(place):
    """In a Markdown cell and by pattern; what the report did not draw stays as it is."""
    folder = place(
        new_markdown_cell("# One\n\n![x](../reports/figures/a.png)"),
        new_markdown_cell("![y](../reports/figures/c.png)"),
        new_code_cell("from vtstudy.report.notebook_tables import figures\nfigures('b*.png')"),
    )
    figures = folder / "reports/figures"
    figures.mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (2, 2), (9, 9, 9)).save(figures / f"{name}.png")
    (figures / "captions.csv").write_text(
        "name,title,caption,alt\na,Curves,Bars: 95 % intervals.,Line charts\nb,Points & more,In points.,Dots\n"
    )
    assert run(folder) == 0
    page = (folder / "pages/01-one.html").read_text()
    assert (
        "<figcaption><strong>Curves.</strong> Bars: 95 % intervals.</figcaption>" in page
        and 'alt="Line charts"' in page
    )
    assert (
        "<strong>Points &amp; more.</strong> In points." in page
        and page.count("data:image/png") == 3
        and page.count("<figure>") == 2
    )
    assert 'alt="y"' in page


def test_no_figures_is_one_sentence(place, capsys):
    folder = place(new_code_cell("from vtstudy.report.notebook_tables import figures\nfigures('z*.png')"))
    assert run(folder) == 2 and "holds no figure z*.png: run the report first" in capsys.readouterr().err


def test_rows_are_told_in_words():
    row = {
        "model": "m",
        "method": "adaptprune_as_written - fastv",
        "keep": 0.05,
        "benchmark": "okvqa",
        "metric": "difference:exact_match",
        "value": -1.25,
        "ci_low": -2.0,
        "ci_high": 0.5,
        "n": 40,
    }
    rows = [
        row,
        row
        | {
            "method": "vtw",
            "keep": math.nan,
            "benchmark": "mean",
            "metric": "percent_of_baseline",
            "ci_low": math.nan,
            "ci_high": math.nan,
        },
        row
        | {
            "method": "fastv adjacency - random adjacency",
            "benchmark": "nocaps ~ mme/color",
            "metric": "difference:percent_of_baseline",
        },
    ]
    told = in_words(pd.DataFrame(rows))
    assert list(told) == ["Model", "Method", "Kept, %", "Benchmark", "Unit", "Value", "95 % interval", "Questions"]
    assert told["Method"].tolist() == [
        "AdaptPrune as written − FastV",
        "VTW",
        "FastV − Random: kept tokens beside another one",
    ]
    assert told["Benchmark"].tolist() == ["OK-VQA", "Mean", "Nocaps and Color"] and told["95 % interval"].tolist() == [
        "−2.0 to +0.5",
        "",
        "−2.0 to +0.5",
    ]
    assert told["Value"].tolist() == ["−1.2", "−1.2", "−1.2"]
    assert told["Unit"].tolist() == [
        "exact match, %",
        "% of the unpruned score",
        "percentage points of the unpruned score",
    ]
    assert (
        told["Kept, %"][0] == 5
        and "<td>5</td>" in show(pd.DataFrame(rows)).data
        and "NA" not in show(pd.DataFrame(rows)).data
    )


def test_numbers_are_written_as_in_the_report():
    """One decimal, three on a scale that ends at 1, more where the interval would seem to reach zero; always a minus sign."""
    rows = [
        {"benchmark": "mean", "metric": metric, "value": value, "ci_low": low, "ci_high": high}
        for metric, value, low, high in (
            ("difference:percent_of_baseline", -0.1274, -1.029, 0.72),
            ("difference:percent_of_baseline", -0.8315, -1.577, -0.0416),
            ("percent_of_baseline", 73.12, 71.39, 74.89),
            ("pearson", -0.0504, -0.1009, 0.06),
        )
    ]
    told = in_words(pd.DataFrame(rows))
    assert told["Value"].tolist() == ["−0.1", "−0.83", "73.1", "−0.050"]
    assert told["95 % interval"].tolist() == ["−1.0 to +0.7", "−1.58 to −0.04", "71.4 to 74.9", "−0.101 to 0.060"]
    bare = show(
        pd.DataFrame({"x": [-0.12741], "y": [-1e-7], "spearman": [-0.5], "ci_low": [-0.6], "ci_high": [-0.4]})
    ).data
    assert (
        all(f"<td>{text}</td>" in bare for text in ("−0.1274", "−1e−07", "−0.5", "−0.6 to −0.4")) and ">-" not in bare
    )


def test_words_are_left_and_numbers_right():
    """By column, with its heading; those of the row labels too, of which a later row has fewer cells."""
    rows = [
        {"statement": "A claim", "device": "-", "value": -1.5, "interval": "−2 to −1", "n": 3},
        {"statement": "7", "device": "", "value": math.nan, "interval": "", "n": 4},
    ]
    table = re.sub(r"\s*\n\s*", "", show(pd.DataFrame(rows)).data)
    assert (
        '<th class="left">Claim</th><th class="left">Device</th><th>Value</th><th>95 % interval</th><th>Questions</th>'
    ) in table
    assert '<td class="left">A claim</td><td class="left">-</td><td>−1.5</td><td>−2 to −1</td><td>3</td>' in table
    assert '<td class="left">7</td><td class="left"></td><td></td><td></td><td>4</td>' in table
    frame = pd.DataFrame(
        {"Benchmark": ["GQA", "GQA"], "Kept, %": [5, 10], "Method": ["FastV", "FastV"], "Value": ["1.0", "—"]}
    )
    table = re.sub(
        r"\s*\n\s*",
        "",
        show(frame.pivot(index=["Benchmark", "Kept, %"], columns="Method", values="Value"), index=True).data,
    )
    assert (
        '<th class="left" rowspan="2" valign="top">GQA</th><th>5</th><td>1.0</td>' in table
        and "<tr><th>10</th><td>—</td>" in table
    )
    assert '<th class="left">Benchmark</th><th>Kept, %</th><th></th>' in table


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_raw_name_is_a_caption(path):
    """Figures come with the report's captions: no notebook makes one of a file's name; and none has outputs."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert ".stem" not in cell.source and "to_html" not in cell.source
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_damaged_and_absent_notebooks(place, capsys):
    folder = place(new_markdown_cell("# One"))
    (folder / "notebooks/01-one.ipynb").write_text("{")
    assert run(folder) == 2 and "01-one.ipynb is not a readable notebook" in capsys.readouterr().err
    (folder / "notebooks/01-one.ipynb").unlink()
    assert run(folder) == 2 and "there are no notebooks in" in capsys.readouterr().err
