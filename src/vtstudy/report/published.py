"""What the papers print: the tables' values, looked up by model, method and benchmark."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean

import pandas as pd

from vtstudy.report.table_links import KEEP, TABLE_LINKS, canonical_method
from vtstudy.results_table import MEAN, UNPRUNED, read_text_table

COLUMNS = ("table", "model", "row", "column", "value")
_COST_UNITS = ("s", "G")  # Table 3 prints latency in seconds, memory in gigabytes and time as minutes:seconds


def load_published(path: Path) -> pd.DataFrame:
    """The printed values of a paper, one a row.

    `value` is the printed text; `number` is NaN where it is not a plain number.

    Raises:
        TableError: if the file is missing or lacks a column.
    """
    frame = read_text_table(path, COLUMNS)
    frame["table"] = frame["table"].astype(int)
    frame["number"] = pd.to_numeric(frame["value"], errors="coerce")
    return frame


class PrintedNumbers:
    """Looks up printed numbers by what they measure; several tables may print the same quantity.

    Attributes:
        by_quantity: by model, canonical method, benchmark and keep ratio: the number that each table prints.
    """

    def __init__(self, published: pd.DataFrame):
        self.by_quantity: dict[tuple[str, str, str, float], dict[int, float]] = {}
        self._texts: dict[tuple[int, str, str, str], str] = {}
        for row in published.itertuples(index=False):
            self._texts[row.table, row.model, row.row, row.column] = row.value
            place = TABLE_LINKS[row.table].place(row.row, row.column)
            if place and not math.isnan(row.number):
                method, benchmark = place
                key = _key(row.model, method.quantity, benchmark, method.keep)
                self.by_quantity.setdefault(key, {})[row.table] = row.number

    def value(self, model: str, method: str, benchmark: str, table: int | None = None, keep: float = KEEP) -> float:
        """A printed number: from `table` if it prints it, else from the first table that does; NaN if none does."""
        if benchmark == MEAN:
            return self.retention(model, method, table) if keep == KEEP else math.nan
        numbers = self.by_quantity.get(_key(model, method, benchmark, keep))
        if not numbers:
            return math.nan
        return numbers.get(table, numbers[min(numbers)]) if table else numbers[min(numbers)]

    def term(self, model: str, term: str, benchmark: str, table: int | None = None, keep: float = KEEP) -> float:
        """A method's value, or the difference "A - B" of two methods."""
        a, minus, b = term.partition(" - ")
        value = self.value(model, a, benchmark, table, keep)
        return value - self.value(model, b, benchmark, table, keep) if minus else value

    def cost(self, model: str, row: str, column: str) -> float:
        """A cost of Table 3 in seconds or gigabytes; NaN where nothing with a unit is printed."""
        text = self._texts.get((3, model, row, column), "")
        minutes, colon, seconds = text.partition(":")
        if colon:
            return 60 * float(minutes) + float(seconds)
        return float(text[:-1]) if text.endswith(_COST_UNITS) else math.nan

    def percent(self, model: str, method: str, benchmark: str, table: int | None = None) -> float:
        """A method's score in percent of the unpruned one; `benchmark` may be the mean."""
        if benchmark == MEAN:
            return self.retention(model, method, table)
        unpruned = self.value(model, "baseline", benchmark, table)
        return 100 * self.value(model, method, benchmark, table) / unpruned if unpruned else math.nan

    def retention(self, model: str, method: str, table: int | None = None) -> float:
        """Mean percent of the unpruned score over a table's benchmarks.

        Args:
            model: of the paper.
            method: its canonical name.
            table: by default the first that prints the unpruned model.

        Returns:
            NaN unless the method is printed on all of the table's benchmarks.
        """
        unpruned = {
            benchmark: numbers
            for (name, quantity, benchmark, _), numbers in self.by_quantity.items()
            if (name, quantity) == (model, "baseline")
        }
        table = table or min((min(numbers) for numbers in unpruned.values()), default=None)
        shares = [
            self.percent(model, method, benchmark, table) for benchmark, numbers in unpruned.items() if table in numbers
        ]
        return mean(shares) if shares and not any(map(math.isnan, shares)) else math.nan


def _key(model: str, method: str, benchmark: str, keep: float) -> tuple[str, str, str, float]:
    method = canonical_method(method)
    return model, method, benchmark, 1.0 if method in UNPRUNED else keep
