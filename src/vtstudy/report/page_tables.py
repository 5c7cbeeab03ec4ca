"""The tables of the linked pages: every printed value beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from vtstudy.report import formatting
from vtstudy.report.eadaprune.published_values import PublishedNumber
from vtstudy.report.tables import Block
from vtstudy.report.text_table import Table
from vtstudy.report.verdicts.printed_values import NO_VALUE


def block_table(block: Block) -> Table:
    """One model of one printed table, a line for each value."""
    heads = ["Benchmark", "Paper", "Ours", *(["Difference"] if block.judged else []), "Verdict"]
    lines = []
    for method in block.methods:
        for benchmark in block.benchmarks:
            value = block.value(method, benchmark)
            if value.verdict == NO_VALUE and value.ours == formatting.NONE:
                continue
            ours = f"{value.ours} ({value.interval})" if value.interval else value.ours
            cells = [benchmark, value.paper, ours, *([value.difference] if block.judged else []), value.verdict]
            lines.append((block.labels[method], cells))
    return Table("", heads, lines, first="Row", left=("Benchmark", "Verdict"))


def published_table(published: Sequence[PublishedNumber]) -> Table:
    """The second paper's published numbers with their sources."""
    lines = [
        (
            number.row,
            [
                number.column,
                number.value,
                number.ours_text,
                number.source,
                number.convention,
                f"{number.verdict}: {number.reason}",
            ],
        )
        for number in published
    ]
    heads = ["What", "Published", "Ours", "Source", "Convention", "Verdict"]
    return Table("", heads, lines, first="Method", left=("What", "Source", "Convention", "Verdict"))
