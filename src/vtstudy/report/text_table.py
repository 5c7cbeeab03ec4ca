"""A table of text, written as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table: its caption, the heads of its columns but the first, and its lines by name.

    Attributes:
        caption: what it shows.
        heads: of the columns but the first.
        lines: name of the line, and its cells.
        first: head of the first column.
        left: heads of the columns that hold text rather than numbers.
    """

    caption: str
    heads: list[str]
    lines: list[tuple[str, list[str]]]
    first: str = "Name"
    left: Sequence[str] = ()

    def markdown(self) -> str:
        """The caption as a line in italics, then the table; the pages make a caption of that line."""
        rules = ["---", *("---" if head in self.left else "---:" for head in self.heads)]
        rows = [[self.first, *self.heads], rules, *([name, *cells] for name, cells in self.lines)]
        text = "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)
        return f"*{self.caption}*\n\n{text}\n" if self.caption else f"{text}\n"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
