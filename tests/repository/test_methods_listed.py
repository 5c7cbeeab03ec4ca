"""The documents name every method of the registry, and no other."""

import re
from typing import get_args

import pytest
from helpers import ROOT

import vtprune
from vtprune.features import Need
from vtprune.methods import methods


def rows(document: str, header: str) -> list[list[str]]:
    """The cells of the rows of the table whose first column has this header."""
    lines = (ROOT / document).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return table


def quoted(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(("document", "header", "column"), [("README.md", "method", 1), ("docs/methods.md", "name", 0)])
def test_a_table_names_every_method_once(document, header, column):
    assert sorted(quoted([row[column] for row in rows(document, header)])) == list(methods())


def test_readme_names_classes_that_can_be_imported():
    for row in rows("README.md", "method"):
        for cls, name in zip(quoted(row[:1]), quoted(row[1:2]), strict=True):
            assert getattr(vtprune, cls) is methods()[name]


def test_the_table_of_methods_says_what_each_needs_and_when():
    for row in rows("docs/methods.md", "name"):
        for name in quoted(row[:1]):
            cls = methods()[name]
            needed = {word.replace(" ", "_") for word in row[3].split(", ")}
            assert needed & set(get_args(Need)) == set(cls.needs)
            assert (row[1] == "before") == issubclass(cls, vtprune.BeforeDecoder | vtprune.VisionZip)
            if row[4] != "-" and "Table 5" not in row[5]:
                assert row[4] in cls.__doc__


def test_twenty_methods_hold_budgets():
    assert sum(cls.takes_keep() for cls in methods().values()) >= 20


def test_the_table_of_positions_names_methods_that_other_authors_published():
    kept, reindexed = (quoted(row[1:2]) for row in rows("docs/methods.md", "positions"))
    assert set(kept) & set(reindexed) == {"holov"}
    published = {name for row in rows("docs/methods.md", "name") if row[1] == "before" for name in quoted(row[:1])}
    assert published - {"pooled"} <= set(reindexed)
    assert set(kept) | set(reindexed) <= set(methods())
