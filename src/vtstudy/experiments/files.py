"""Result files: where they are, and how they are written completely or not at all."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from vtprune.errors import UserError


def scores_file(results: Path | str, name: str) -> Path:
    """The file of an experiment's rows of results.csv, in the folder of the results; its facts are a JSON beside it."""
    return Path(results) / "scores" / f"{name}.csv"


def write(path: Path, text: str) -> Path:
    """Write a text file through a temporary file beside it, so that a stopped run leaves no half of it.

    Makes the folder, and returns the path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], digits: int | None = None) -> Path:
    """Write rows as a CSV file. The first row's keys are the columns, and None is an empty field.

    Args:
        digits: significant digits of floats; None for all.

    Raises:
        UserError: if there are no rows.
        ValueError: if a row has other columns than the first.
    """
    rows = list(rows)
    if not rows:
        raise UserError(f"there are no rows for {path}")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.{digits}g}" if digits and isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    )
    return write(path, text.getvalue())
