"""Numbers of images, which say which questions show the same image."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from vtstudy.evaluation.errors import EvaluationError


def image_numbers(documents: Any) -> np.ndarray:
    """`[n]` the number of each document's image. Equal images have one number; numbers follow the first occurrence.

    Images are compared as they are stored, byte for byte, because nothing has to be decoded then and several data sets
    have no column of image ids. An image that is stored in two encodings counts as two.

    Args:
        documents: a data set of `datasets`, with a column of images or of lists of them.

    Raises:
        EvaluationError: if there is no such column.
    """
    columns = [name for name, feature in documents.features.items() if _is_image(feature)]
    if not columns:
        raise EvaluationError(f"the questions have no column of images (only {', '.join(documents.column_names)})")
    numbers: dict[bytes, int] = {}
    stored = documents.select_columns(columns).with_format("arrow")
    shown = (row for batch in stored.iter(batch_size=64) for row in batch.to_pylist())
    return np.array([numbers.setdefault(_digest(row), len(numbers)) for row in shown], dtype=int)


def _is_image(feature: Any) -> bool:
    from datasets import Image

    return isinstance(feature, Image) or isinstance(getattr(feature, "feature", None), Image)


def _digest(row: dict[str, Any]) -> bytes:
    digest = hashlib.sha256()
    for image in _images(row):
        content = image["bytes"] if image["bytes"] is not None else image["path"].encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()


def _images(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The stored images of a row; a column holds one, several or none."""
    for value in row.values():
        if isinstance(value, list):
            yield from value
        elif value:
            yield value
