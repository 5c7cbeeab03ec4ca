"""Markdown as pages: captions, scopes, figures, links."""

import pytest
from helpers import ROOT

from vtstudy.report.links import NOTEBOOKS, to_html_address
from vtstudy.report.rendering import slug, to_html
from vtstudy.report.text_table import Table


def test_a_line_in_italics_is_the_caption_of_the_table_below():
    page = to_html(Table("What it shows.", ["B"], [("a", ["1"])], first="A").markdown())
    assert "<caption><em>What it shows.</em></caption>" in page and "<p>" not in page
    assert '<div class="scroll" role="region" tabindex="0" aria-label="What it shows.">' in page


def test_a_table_without_a_caption_is_named_after_its_heading():
    assert 'aria-label="Costs"' in to_html("## Costs\n\n| A | B |\n| --- | --- |\n| a | 1 |\n")


def test_heads_have_scopes():
    page = to_html("| A | B |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n")
    assert page.count('scope="col"') == 2 and page.count('scope="row"') == 2 and page.count("<td") == 2


def test_cells_know_the_heads_of_their_columns():
    """A phone shows tables of text line by line, each cell after its head; tables of numbers scroll."""
    page = to_html("| A | B | C |\n| --- | --- | --- |\n| a | b | c |\n| d | e | f |\n")
    assert page.count('data-label="B"') == page.count('data-label="C"') == 2 and 'class="scroll text"' in page
    assert 'class="scroll text"' not in to_html("| A | B |\n| --- | ---: |\n| a | 1 |\n")


def test_a_picture_stands_in_a_figure_with_its_caption():
    page = to_html("![what is seen](a.png)\n\n*How to read it.*\n\nMore.\n")
    assert "<figcaption><em>How to read it.</em></figcaption></figure>" in page
    assert 'alt="what is seen"' in page and "<p>More.</p>" in page


def test_headings_have_the_ids_that_github_gives_them():
    assert slug("Table 4: what each cue adds") == "table-4-what-each-cue-adds"
    page = to_html("# The papers’ claims\n\n## Twice\n\n## Twice\n")
    assert 'id="the-papers-claims"' in page and 'id="twice"' in page and 'id="twice-1"' in page


def test_a_bar_in_a_cell_does_not_end_it():
    assert to_html(Table("", ["B"], [("a | b", ["c"])]).markdown()).count("<td") == 1


@pytest.mark.parametrize(
    ("address", "up", "wanted"),
    [
        ("README.md", "", "index.html"),
        ("pages/claims.md#flops", "", "pages/claims.html#flops"),
        ("../README.md#missing", "../", "../index.html#missing"),
        ("claims.md", "../", "claims.html"),
        ("../../README.md", "", "../../README.md"),
        ("../../notebooks/01-a.ipynb", "", "notebooks/01-a.html"),
        ("results.csv", "", "results.csv"),
        ("#there", "", "#there"),
        ("https://arxiv.org/abs/1", "../", "https://arxiv.org/abs/1"),
    ],
)
def test_links_lead_to_the_pages_of_html(address, up, wanted):
    assert to_html_address(address, up) == wanted


def test_every_notebook_is_linked():
    assert list(NOTEBOOKS) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
