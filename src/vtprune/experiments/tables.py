"""Plain CSV files of results that are not scores."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """All of it or nothing, through a file beside it; columns are the first row's keys, None is empty.

    Raises:
        ValueError: if there are no rows, or one has other columns.
    """
    rows = list(rows)
    if not rows:
        raise ValueError(f"there are no rows for {path}")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text.getvalue(), encoding="utf-8")
    os.replace(beside, path)
    return path
