"""The paper's printed numbers as quantities: model, method and benchmark, whatever the table calls them."""

from __future__ import annotations

import math
from statistics import mean

import pandas as pd

from .relations import LINKS, quantity


class Printed:
    """Looks up printed numbers by quantity; the same quantity may be printed in several tables."""

    def __init__(self, published: pd.DataFrame):
        self.by_quantity: dict[tuple[str, str, str], dict[int, float]] = {}
        for r in published.itertuples(index=False):
            link = LINKS.get(r.table)
            if link and r.row in link.rows and r.column in link.columns and not math.isnan(r.number):
                key = (r.model, link.rows[r.row].quantity, link.columns[r.column])
                self.by_quantity.setdefault(key, {})[r.table] = r.number

    def value(self, model: str, method: str, benchmark: str, table: int | None = None) -> float:
        """A printed number: from ``table`` if it prints it, else from the lowest table that does."""
        if benchmark == "mean":
            return self.retention(model, method, table)
        found = self.by_quantity.get((model, quantity(method), benchmark), {})
        return found.get(table, found[min(found)]) if found else math.nan

    def term(self, model: str, term: str, benchmark: str, table: int | None = None) -> float:
        """A method's value, or the difference "A - B" of two."""
        a, minus, b = term.partition(" - ")
        value = self.value(model, a, benchmark, table)
        return value - self.value(model, b, benchmark, table) if minus else value

    def percent(self, model: str, method: str, benchmark: str, table: int | None = None) -> float:
        """A method's score in percent of the unpruned one."""
        whole = self.value(model, "baseline", benchmark, table)
        return 100 * self.value(model, method, benchmark, table) / whole if whole else math.nan

    def retention(self, model: str, method: str, table: int | None = None) -> float:
        """Mean percent of the unpruned score over a table's benchmarks (default: the model's main table).

        NaN unless the method is printed on all of them.
        """
        whole = {b: tables for (m, q, b), tables in self.by_quantity.items() if (m, q) == (model, "baseline")}
        table = table or min((min(tables) for tables in whole.values()), default=None)
        shares = [self.percent(model, method, b, table) for b, tables in whole.items() if table in tables]
        return mean(shares) if shares and not any(map(math.isnan, shares)) else math.nan
