"""Rows of a data set's parquet files: read from the Hub as far as they are needed, or whole files."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem, hf_hub_download

from vtstudy.fetching.hub import Repository, explained

BATCH = 64
"""Rows that are in memory at a time, besides the group of rows that the file stores together."""


@dataclass(frozen=True)
class Chosen:
    """Rows that are wanted: those that have one of the values in a column."""

    column: str
    values: frozenset[str]

    def mask(self, column: Any) -> Any:
        """`[rows]` booleans for the values of the column."""
        return pc.is_in(column, value_set=pa.array(sorted(self.values), column.type))


def open_table(found: Repository, path: str) -> pq.ParquetFile:
    """A parquet file of the Hub, of which only what is read is transferred."""
    files = HfFileSystem()
    return pq.ParquetFile(files.open(f"datasets/{found.id}@{found.commit}/{path}", block_size=1 << 16))


def batches(
    found: Repository,
    paths: Iterable[str],
    start: int = 0,
    columns: list[str] | None = None,
    chosen: Chosen | None = None,
) -> Iterator[pa.RecordBatch]:
    """The wanted rows of files from row `start` of all on, in order.

    Groups of rows before it, and groups without a wanted row, are not transferred.

    Args:
        columns: None for all.
        chosen: which rows are wanted; None for all. Its column must be among the columns.

    Raises:
        FetchError: if the Hub does not give them.
    """
    for path in paths:
        with explained("dataset", found.id, found.commit):
            table = open_table(found, path)
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if start >= rows:
                start -= rows
                continue
            with explained("dataset", found.id, found.commit):
                if chosen is not None:
                    values = table.read_row_group(group, columns=[chosen.column]).column(chosen.column)
                    if not pc.any(chosen.mask(values)).as_py():
                        start = 0
                        continue
                for batch in table.iter_batches(BATCH, row_groups=[group], columns=columns):
                    rest = batch.slice(min(start, batch.num_rows))
                    start -= min(start, batch.num_rows)
                    yield rest if chosen is None else rest.filter(chosen.mask(rest.column(chosen.column)))


def fetch_rows(
    found: Repository, paths: list[str], stem: Path, count: int | None, chosen: Chosen | None = None
) -> list[Path]:
    """Fetch the first rows of a split, unchanged and in their order.

    Files that are wanted whole are downloaded as they are. Of the others only the groups of rows that hold wanted rows
    are transferred, and the rows are written to a file of their own.

    Args:
        paths: the split's files, in the order of its rows.
        stem: where the files go: folder and beginning of the name.
        count: how many rows are wanted; None for all.
        chosen: which rows count and are kept; None for all.

    Returns:
        The files, in the order of the rows. Their names hold the commit or a digest, because `datasets` keys its cache
        by the names.

    Raises:
        FetchError: if the Hub does not give them.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    left = count
    for number, path in enumerate(paths):
        if left == 0:
            break
        name = f"{stem.name}-{number:05d}-{found.commit[:12]}"
        if chosen is None and (left is None or _rows(found, path) <= left):
            file = stem.with_name(f"{name}.parquet")
            _download(found, path, file)
            rows = pq.read_metadata(file).num_rows
        else:
            written, rows = _write_first(found, path, stem.with_name(name), left, chosen)
            if written is None:
                continue
            file = written
        files.append(file)
        left = None if left is None else left - rows
    return files


def _rows(found: Repository, path: str) -> int:
    with explained("dataset", found.id, found.commit):
        return open_table(found, path).metadata.num_rows


def _download(found: Repository, path: str, file: Path) -> None:
    if file.is_file():
        return  # it was moved here when it was complete
    beside = file.parent / ".download"
    with explained("dataset", found.id, found.commit):
        downloaded = hf_hub_download(
            found.id, path, repo_type="dataset", revision=found.commit, local_dir=beside / found.commit
        )
    Path(downloaded).rename(file)
    shutil.rmtree(beside)


def _write_first(
    found: Repository, path: str, stem: Path, count: int | None, chosen: Chosen | None
) -> tuple[Path | None, int]:
    """Write the wanted rows of one file; returns the new file and its number of rows, or None and 0 without rows."""
    temporary = stem.with_name(f".{stem.name}.part")
    with explained("dataset", found.id, found.commit):
        schema = open_table(found, path).schema_arrow  # with the metadata that hold the features
    rows = 0
    with pq.ParquetWriter(temporary, schema, compression="snappy") as writer:
        for batch in batches(found, [path], chosen=chosen):
            wanted = batch if count is None else batch.slice(0, count - rows)
            if wanted.num_rows:
                writer.write_batch(wanted)
            rows += wanted.num_rows
            if rows == count:
                break
    if not rows:
        temporary.unlink()
        return None, 0
    with temporary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = stem.with_name(f"{stem.name}-{digest[:16]}.parquet")
    temporary.replace(target)
    return target, rows


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold images, or lists of them, as `datasets` stores them: structs of `bytes` and `path`."""

    def holds_images(kind: pa.DataType) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return holds_images(kind.value_type)
        return pa.types.is_struct(kind) and {"bytes", "path"} <= {
            kind.field(place).name for place in range(kind.num_fields)
        }

    return [field.name for field in schema if holds_images(field.type)]


def images_of(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The encoded images of a batch, column by column; a cell may hold one, several or none."""
    for column in image_columns(batch.schema):
        for cell in batch.column(column).to_pylist():
            stored: list[Any] = cell if isinstance(cell, list) else [cell]
            for image in stored:
                if image is not None and image["bytes"] is not None:
                    yield image["bytes"]
