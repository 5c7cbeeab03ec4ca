"""Every number of ours on the first page follows the results; what the papers print stays."""

import re
from collections.abc import Callable, Iterator

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.build import pages
from vtstudy.report.view import View

pytestmark = pytest.mark.slow

NUMBER = re.compile(r"(?<![\w.-])[+−]?\d+\.\d+(?![\w-])")
"""A measured value has decimals; "LLaVA-1.5-7B" is a name."""
OF_THE_PAPERS = re.compile(
    r"\(the paper: [^)]*\)|the paper’s table gives [\d.]+ %|The paper says [^|]*|in the paper: [^;]*;|“[^”]*”"
    r"|[\d.]+ in Table \d"
)
SECTION_OF_THE_PAPERS = "## AdaptPrune’s numbers against each other"
SMALL = ("similarity", "pearson", "share", "adjacency")
"""In the names of metrics whose values lie between 0 and 1."""
LEAST = 150
"""The page has at least so many measured numbers."""


def moved(table: list[synthetic.Row]) -> list[synthetic.Row]:
    """Other results of the same signs: each value and each end of an interval is another one, by its own amount."""
    turned = []
    for place, row in enumerate(table):
        if row["method"] in ("baseline", "chance"):
            turned.append(row)
            continue
        step = (0.7 + place % 50 / 100) / (20 if any(name in row["metric"] for name in SMALL) else 1)
        ends = {"value": step, "ci_low": 1.1 * step, "ci_high": 0.9 * step}
        turned.append(row | {name: round(row[name] + shift, 4) for name, shift in ends.items()})
    return turned


def lines(shown: View) -> Iterator[str]:
    """The first page without the section that is about printed numbers alone."""
    section = ""
    for line in pages(shown)["README.md"].splitlines():
        section = line if line.startswith("## ") else section
        if section != SECTION_OF_THE_PAPERS:
            yield re.sub(r"\]\([^)]*\)", "]", line)  # without the addresses of links


def split(shown: View) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Our numbers line by line, and the papers', which stand in columns and phrases of their own."""
    ours, theirs, printed = [], [], set[int]()
    before = ""
    for line in lines(shown):
        cells = line.split(" | ")
        if line.startswith("| ---"):
            heads = before.split(" | ")
            printed = {place for place, head in enumerate(heads) if re.search("paper|Its numbers", head, re.IGNORECASE)}
        elif not line.startswith("|"):
            printed = set()
        theirs += [number for place in printed if place < len(cells) for number in NUMBER.findall(cells[place])]
        own = " | ".join(cell for place, cell in enumerate(cells) if place not in printed)
        theirs += [number for phrase in OF_THE_PAPERS.findall(own) for number in NUMBER.findall(phrase)]
        ours.append((line, NUMBER.findall(OF_THE_PAPERS.sub("", own))))
        before = line
    return ours, theirs


@pytest.fixture
def table() -> list[synthetic.Row]:
    return [
        *synthetic.rows(12.3, 1.5),
        *synthetic.figure_rows(),
        *synthetic.spectral_rows(2.0),
        *synthetic.method_rows(synthetic.SCORES),
    ]


def test_other_results_change_every_number_of_ours(view: Callable[..., View], table):
    (before, of_papers), (after, still_of_papers) = split(view(table)), split(view(moved(table)))
    assert of_papers == still_of_papers and len(of_papers) > 20
    assert len(before) == len(after) and sum(len(numbers) for _, numbers in before) >= LEAST
    for (line, numbers), (other, others) in zip(before, after, strict=True):
        assert len(numbers) == len(others), (line, other)
        assert not [one for one, two in zip(numbers, others, strict=True) if one == two], (line, other)


def test_the_papers_claims_are_judged_without_our_results(view: Callable[..., View], table):
    one, two = view(table), view(moved(table))
    for before, after in zip(one.claims, two.claims, strict=True):
        assert (before.paper, before.paper_detail) == (after.paper, after.paper_detail)
