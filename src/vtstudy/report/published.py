"""The paper's printed numbers as quantities: model, method and benchmark, whatever the table calls them."""

from __future__ import annotations

import math
from statistics import mean

import pandas as pd

from vtstudy.report.labels import LINKS, UNPRUNED, quantity

KEEP = 0.1  # the ratio of all tables but the last columns of 6 to 8
_UNITS = ("s", "G")  # of Table 3's latency and memory; its times are minutes:seconds


class Printed:
    """Looks up printed numbers by quantity; the same quantity may be printed in several tables."""

    def __init__(self, published: pd.DataFrame):
        self.by_quantity: dict[tuple[str, str, str, float], dict[int, float]] = {}
        self._cells = {(r.table, r.model, r.row, r.column): r.value for r in published.itertuples(index=False)}
        for r in published.itertuples(index=False):
            place = LINKS[r.table].place(r.row, r.column)
            if place and not math.isnan(r.number):
                row, benchmark = place
                self.by_quantity.setdefault(self._key(r.model, row.quantity, benchmark, row.keep), {})[r.table] = (
                    r.number
                )

    @staticmethod
    def _key(model: str, method: str, benchmark: str, keep: float) -> tuple[str, str, str, float]:
        method = quantity(method)
        return model, method, benchmark, 1.0 if method in UNPRUNED else keep

    def value(self, model: str, method: str, benchmark: str, table: int | None = None, keep: float = KEEP) -> float:
        """A printed number: from ``table`` if it prints it, else from the lowest table that does."""
        if benchmark == "mean":
            return self.retention(model, method, table) if keep == KEEP else math.nan
        found = self.by_quantity.get(self._key(model, method, benchmark, keep), {})
        return found.get(table, found[min(found)]) if found else math.nan

    def term(self, model: str, term: str, benchmark: str, table: int | None = None, keep: float = KEEP) -> float:
        """A method's value, or the difference "A - B" of two."""
        a, minus, b = term.partition(" - ")
        value = self.value(model, a, benchmark, table, keep)
        return value - self.value(model, b, benchmark, table, keep) if minus else value

    def cost(self, model: str, row: str, column: str) -> float:
        """A cell of Table 3, which prints units: seconds, or gigabytes. NaN where it has none."""
        text = self._cells.get((3, model, row, column), "")
        minutes, colon, seconds = text.partition(":")
        if colon:
            return 60 * float(minutes) + float(seconds)
        return float(text[:-1]) if text.endswith(_UNITS) else math.nan

    def percent(self, model: str, method: str, benchmark: str, table: int | None = None) -> float:
        """A method's score in percent of the unpruned one."""
        whole = self.value(model, "baseline", benchmark, table)
        return 100 * self.value(model, method, benchmark, table) / whole if whole else math.nan

    def retention(self, model: str, method: str, table: int | None = None) -> float:
        """Mean percent of the unpruned score over a table's benchmarks (default: the model's main table).

        NaN unless the method is printed on all of them.
        """
        whole = {b: tables for (m, q, b, _), tables in self.by_quantity.items() if (m, q) == (model, "baseline")}
        table = table or min((min(tables) for tables in whole.values()), default=None)
        shares = [self.percent(model, method, b, table) for b, tables in whole.items() if table in tables]
        return mean(shares) if shares and not any(map(math.isnan, shares)) else math.nan
