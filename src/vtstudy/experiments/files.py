"""Files of results, written whole or not at all; CSVs of results that are not scores."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vtprune.errors import UserError


def write(path: Path, text: str) -> Path:
    """All of it or nothing: through a file beside it. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return path


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], digits: int | None = None) -> Path:
    """Columns are the first row's keys, None is empty; floats have so many significant ``digits``, or all.

    Raises:
        ValueError: if there are no rows, or one has other columns.
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
