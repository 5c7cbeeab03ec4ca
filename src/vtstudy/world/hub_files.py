"""Files of a Hub data set: PNG bytes, parquet tables and the README that names the configs.

The same input gives the same bytes under the same versions of pillow and pyarrow.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vtprune.errors import UserError

# A column is "image", an arrow type by name, [column] for a list or {name: column} for a struct.
Schema = Mapping[str, object]


class DatasetError(UserError):
    """A data set that lmms-eval could not use; the message is one sentence for the user."""


def png(image: Image.Image) -> bytes:
    """The image's pixels as an RGB PNG without any metadata."""
    rgb = image.convert("RGB")
    buffer = io.BytesIO()
    # Rebuilt from its pixels, because pillow copies profiles from `info` into the file.
    clean = Image.frombytes("RGB", rgb.size, rgb.tobytes())
    clean.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def arrow_schema(schema: Schema) -> pa.Schema:
    """The arrow schema, with the metadata by which `datasets` knows the image columns."""
    from datasets import Features  # slow to import, and readers of the table need none of it

    return Features({name: _feature(kind) for name, kind in schema.items()}).arrow_schema


def _feature(kind: object) -> object:
    from datasets import Image as ImageFeature
    from datasets import List, Value

    if kind == "image":
        return ImageFeature()
    if isinstance(kind, str):
        return Value(kind)
    if isinstance(kind, list):
        return List(_feature(kind[0]))
    return {name: _feature(part) for name, part in kind.items()}


def write_table(stem: Path, schema: Schema, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write `<stem>-<digest of the file>.parquet` and return its path.

    The digest matters: `datasets` keys its cache by the patterns of the README, neither by the
    root nor by time, so a data set written anew under old names would be read from the cache.
    """
    table = pa.Table.from_pylist(list(rows), schema=arrow_schema(schema))
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=1000,
        compression="snappy",
        # Rows that share an image share its bytes: the dictionary must hold all of them.
        use_dictionary=True,
        dictionary_pagesize_limit=2**28,
        write_statistics=False,
    )
    data = buffer.getvalue()
    path = stem.with_name(f"{stem.name}-{hashlib.sha256(data).hexdigest()[:16]}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_card(path: Path, title: str, configs: Mapping[str, Mapping[str, str]]) -> None:
    """Write README.md; `configs` maps a config to its splits, and a split to its file."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, file in splits.items():
            lines += [f"  - split: {split}", f"    path: {file}"]
    lines += ["---", f"# {title}", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def check_table(files: Sequence[Path], schema: Schema, name: str) -> pa.Table:
    """Read the files of one split; a `DatasetError` says what is wrong with them."""
    parts = []
    for file in files:
        try:
            parts.append(pq.read_table(file))
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{name}: {file.name} is not a readable parquet file.") from error
    wanted = arrow_schema(schema)
    for file, part in zip(files, parts, strict=True):
        for field in wanted:
            if field.name not in part.column_names:
                raise DatasetError(f"{name}: column '{field.name}' is missing in {file.name}.")
            found = part.schema.field(field.name).type
            if not found.equals(field.type):
                raise DatasetError(f"{name}: column '{field.name}' of {file.name} has type {found}, not {field.type}.")
    table = pa.concat_tables([part.select(wanted.names) for part in parts])
    if table.num_rows == 0:
        raise DatasetError(f"{name}: there are no rows.")
    for column in (column for column, kind in schema.items() if kind == "image"):
        _check_images(table.column(column), column, name)
    return table


def _check_images(column: pa.ChunkedArray, label: str, name: str) -> None:
    seen = set()
    for row, value in enumerate(column.to_pylist()):
        data = (value or {}).get("bytes")
        if data in seen:
            continue
        try:
            with Image.open(io.BytesIO(data or b"")) as image:
                image.convert("RGB")
        except Exception as error:  # pillow raises many kinds, down to SyntaxError and struct.error
            raise DatasetError(f"{name}: the image in row {row} of column '{label}' cannot be decoded.") from error
        seen.add(data)
