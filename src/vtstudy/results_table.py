"""The table of results, `reports/results.csv`: its columns, how it is read and checked, how its numbers are written.

The experiments write this table and the report reads it, so both import this module; it imports neither.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from vtprune.errors import UserError

KEYS = ("experiment", "model", "method", "keep", "benchmark", "metric")
"""The columns that name a row; no two rows agree in all of them."""
COLUMNS = (*KEYS, "value", "n", "ci_low", "ci_high")
NUMBERS = ("keep", "value", "n", "ci_low", "ci_high")
DIFFERENCE = "difference:"
"""Begins the metric of a paired difference, whose method is "A - B"."""
MEAN = "mean"
"""The "benchmark" of a mean over benchmarks."""
PERCENT = "percent_of_baseline"
"""The metric of such a mean: a method's score in percent of the unpruned model's."""
UNPRUNED = ("baseline", "blind", "chance")
"""Methods of which no image tokens are pruned, so that one row serves every keep ratio."""


class TableError(UserError):
    """A CSV file that cannot be read, or that holds something else than it should."""


def read_results(path: Path) -> pd.DataFrame:
    """The rows of a results file, in its order; text is text, and numbers are floats (NaN where a field is empty).

    Raises:
        TableError: if the file is missing, empty or malformed, or if a row is repeated.
    """
    frame = numbers(read_text_table(path, COLUMNS), path, [name for name in NUMBERS if name != "value"], optional=True)
    frame = numbers(frame, path, ["value"])
    if frame.empty:
        raise TableError(f"{path} holds no results.")
    repeated = frame.duplicated(list(KEYS))
    if repeated.any():
        raise TableError(f"{path}, line {_line(repeated)} repeats the {', '.join(KEYS)} of an earlier line.")
    return frame


def read_table(path: Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """A CSV file; a column that holds only numbers (or empty fields, NaN) is numeric, another one is text or bool.

    Raises:
        TableError: if the file is missing, is no CSV file, or lacks one of the columns.
    """
    return _read(path, columns, keep_default_na=False, na_values=[""])


def read_text_table(path: Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """A CSV file as text.

    Raises:
        TableError: if the file is missing, is no CSV file, or lacks one of the columns.
    """
    return _read(path, columns, dtype=str, keep_default_na=False)


def _read(path: Path, columns: tuple[str, ...], **options: Any) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"{path} does not exist.")
    try:
        frame = pd.read_csv(path, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TableError(f"{path} is not a readable CSV file ({str(error).splitlines()[0]}).") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise TableError(f"{path} lacks the {noun} {', '.join(missing)}.")
    return frame


def read_data(path: Path, columns: tuple[str, ...], numeric: tuple[str, ...]) -> pd.DataFrame:
    """A file of an experiment's data, of which some columns hold a number in every row.

    Raises:
        TableError: if the file is missing, is empty, lacks a column, or holds something else than a number.
    """
    frame = read_text_table(path, columns)
    if frame.empty:
        raise TableError(f"{path} holds no data.")
    return numbers(frame, path, list(numeric))


def numbers(frame: pd.DataFrame, path: Path, columns: list[str], *, optional: bool = False) -> pd.DataFrame:
    """The table with these columns as floats.

    Args:
        frame: a table of text.
        path: its file, for the error.
        columns: names of the columns.
        optional: whether a field may be empty; it is NaN then.

    Raises:
        TableError: if a field is not a number.
    """
    converted = {}
    for name in columns:
        values = pd.to_numeric(frame[name], errors="coerce").astype(float)
        bad = values.isna()
        if optional:
            bad &= frame[name].str.strip() != ""
        if bad.any():
            raise TableError(f"{path}, line {_line(bad)}: '{name}' is not a number.")
        converted[name] = values
    return frame.assign(**converted)


def to_csv(frame: pd.DataFrame) -> str:
    """A results table as CSV; numbers have at most four decimals, so that the last bits of a sum do not show."""
    text = frame[list(COLUMNS)].astype(object).map(_field)
    return text.to_csv(index=False, lineterminator="\n")


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return f"{round(value, 4) + 0.0:.4f}".rstrip("0").rstrip(".")
    return str(value)


def _line(rows: pd.Series) -> int:
    """Number of the first marked row's line in its file, below the line of headings."""
    return int(rows.idxmax()) + 2
