"""Files of a data set on the Hub: PNG images, parquet tables and the card that names the configurations.

The same input gives the same bytes under the same versions of pillow, pyarrow and `datasets`.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from datasets import Image as ImageFeature
from huggingface_hub import DatasetCard, DatasetCardData
from PIL import Image

from vtprune.errors import UserError


class DatasetError(UserError):
    """A data set that lmms-eval could not use."""


def png(image: Image.Image) -> bytes:
    """The image's pixels as an RGB PNG without metadata."""
    rgb = image.convert("RGB")
    buffer = io.BytesIO()
    # Rebuilt from its pixels, because pillow copies profiles from `info` into the file.
    clean = Image.frombytes("RGB", rgb.size, rgb.tobytes())
    clean.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def write_table(stem: Path, features: Features, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write `<stem>-<digest of the file>.parquet` and return its path.

    The name must hold the digest: `datasets` keys its cache by the file names in the card, not by the folder
    or by time, so that another table under the same name would be read from the cache.
    """
    table = pa.Table.from_pylist(list(rows), schema=features.arrow_schema)
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=1000,
        compression="snappy",
        # Rows about one image share its bytes only if the dictionary holds all images.
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
    """Write the data set's card, README.md.

    Args:
        configs: by configuration and split, the split's file.
    """
    metadata = DatasetCardData(
        configs=[
            {"config_name": config, "data_files": [{"split": split, "path": file} for split, file in splits.items()]}
            for config, splits in configs.items()
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    DatasetCard(f"---\n{metadata.to_yaml()}\n---\n# {title}\n").save(path)


def check_table(files: Sequence[Path], features: Features, name: str) -> pa.Table:
    """Read the files of one split.

    Args:
        name: the data set's title, for errors.

    Raises:
        DatasetError: for an unreadable file, a missing column, a wrong type, no rows, or a damaged image.
    """
    parts = []
    for file in files:
        try:
            parts.append(pq.read_table(file))
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{name}: {file.name} is not a readable parquet file.") from error
    schema = features.arrow_schema
    for file, part in zip(files, parts, strict=True):
        for field in schema:
            if field.name not in part.column_names:
                raise DatasetError(f"{name}: column '{field.name}' is missing in {file.name}.")
            actual = part.schema.field(field.name).type
            if not actual.equals(field.type):
                raise DatasetError(f"{name}: column '{field.name}' of {file.name} has type {actual}, not {field.type}.")
    table = pa.concat_tables([part.select(schema.names) for part in parts])
    if table.num_rows == 0:
        raise DatasetError(f"{name}: there are no rows.")
    for column, feature in features.items():
        if isinstance(feature, ImageFeature):
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
