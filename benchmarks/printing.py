"""Times, ratios and tables of the scripts in this folder, as text."""

import statistics
from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table
from tqdm import tqdm

from vtprune.command import print_table
from vtprune.cost.timing import ratios


def milliseconds(seconds: Sequence[float]) -> str:
    """Return the median in milliseconds."""
    return f"{1000 * statistics.median(seconds):.2f}"


def ratio(slower: Sequence[float], faster: Sequence[float]) -> str:
    """Return how many times as long the first took, round by round: median [quartiles]."""
    low, median, high = ratios(slower, faster)
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned Markdown table."""
    table = Table(*header, box=box.MARKDOWN)
    for row in rows:
        table.add_row(*row)
    print_table(table)


def progress_bar(label: str, total: int) -> Callable[[int, str], None]:
    """Return a function for `interleaved`'s `progress`, which shows a bar of `total` calls on stderr."""
    bar = tqdm(total=total, desc=label, leave=False)

    def advance(_: int, name: str) -> None:
        bar.set_postfix_str(name)
        bar.update()
        if bar.n == total:
            bar.close()

    return advance
