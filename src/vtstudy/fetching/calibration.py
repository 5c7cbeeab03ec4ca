"""Pictures to calibrate spectral budgets on: of the benchmarks' data sets, but shown by no question that is asked.

They are the first ones after the questions that are asked. Where all questions of a split are asked, they are of
another split of the same configuration. A benchmark that has neither, such as MME, has no pictures here. Pictures are
compared as they are stored, byte for byte.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from vtstudy.benchmarks import BENCHMARKS
from vtstudy.fetching.cards import read_card
from vtstudy.fetching.data_sets import read_record
from vtstudy.fetching.hub import FetchError, Repository, repository
from vtstudy.fetching.tables import BATCH, batches, image_columns, images_of, open_table

FOLDER = "calibration"
LOOKED_AT = 20
"""A search ends after this multiple of the wanted pictures: the others are then those of the questions, too."""


def fetch_calibration(root: Path, benchmarks: Iterable[str], count: int) -> int:
    """Fetch `count` pictures for each benchmark into `<root>/calibration/<benchmark>/`, unless they are there.

    Args:
        root: the folder of the data sets, which have been fetched.
        benchmarks: keys of benchmarks.
        count: pictures of each benchmark.

    Returns:
        How many pictures there are.

    Raises:
        FetchError: if the Hub does not give them, or no benchmark has any.
    """
    folder, names = root / FOLDER, list(benchmarks)
    made_from = {
        "count": count,
        "benchmarks": names,
        "data": {BENCHMARKS[name].path: read_record(root / BENCHMARKS[name].path) for name in names},
    }
    record = folder / "pictures.json"
    if (known := _read(record)) and known["made_from"] == json.loads(json.dumps(made_from)):
        return sum(known["pictures"].values())
    shutil.rmtree(folder, ignore_errors=True)
    shown = {
        hashlib.sha256(image).digest() for image in tqdm(_asked(root), "pictures of the questions", unit="picture")
    }
    pictures = {name: _fetch(root, name, count, shown) for name in tqdm(names, "calibration", unit="set")}
    if not any(pictures.values()):
        raise FetchError(
            f"no benchmark of {', '.join(names)} has a picture that its questions do not show: "
            "ask fewer questions, or add a benchmark with another split"
        )
    record.write_text(json.dumps({"made_from": made_from, "pictures": pictures}, indent=1) + "\n", encoding="utf-8")
    return sum(pictures.values())


def _read(record: Path) -> Mapping[str, Any] | None:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _asked(root: Path) -> Iterator[bytes]:
    """The encoded images of all fetched questions."""
    for file in sorted(root.glob("*/*/*/*.parquet")):
        table = pq.ParquetFile(file)
        if columns := image_columns(table.schema_arrow):
            for batch in table.iter_batches(BATCH, columns=columns):
                yield from images_of(batch)


def _fetch(root: Path, benchmark: str, count: int, shown: set[bytes]) -> int:
    """Write a benchmark's pictures; returns how many it has. The pictures of other benchmarks are not taken again."""
    spec = BENCHMARKS[benchmark]
    record = read_record(root / spec.path)
    if record is None:
        raise FetchError(f"{root / spec.path} was not fetched: run `vtstudy fetch data` first")
    found = repository("dataset", spec.path, record["commit"])
    folder, written = root / FOLDER / benchmark, 0
    folder.mkdir(parents=True, exist_ok=True)
    for looked_at, image in enumerate(_candidates(found, benchmark, record)):
        if written == count or looked_at == LOOKED_AT * count:
            break
        digest = hashlib.sha256(image).digest()
        if digest not in shown:
            shown.add(digest)
            (folder / f"{written:04d}.{_suffix(image)}").write_bytes(image)
            written += 1
    return written


def _candidates(found: Repository, benchmark: str, record: Mapping[str, Any]) -> Iterator[bytes]:
    """Images of the split after the asked questions, then of the other splits."""
    spec, card = BENCHMARKS[benchmark], read_card(found)
    config = spec.images_config or spec.config
    asked = record["parts"][f"{config}/{spec.split}"]["rows"]
    places = [] if asked is None else [(spec.split, 0 if spec.images_config else asked)]
    places += [(split, 0) for split in card.other_splits(found, config, spec.split)]
    return chain.from_iterable(_images(found, card.files(found, config, split), start) for split, start in places)


def _images(found: Repository, paths: list[str], start: int) -> Iterator[bytes]:
    if not paths:
        return
    columns = image_columns(open_table(found, paths[0]).schema_arrow)
    if columns:
        for batch in batches(found, paths, start, columns):
            yield from images_of(batch)


def _suffix(image: bytes) -> str:
    """The usual suffix of an encoded picture's format."""
    kinds = {b"\xff\xd8": "jpg", b"\x89P": "png", b"GI": "gif", b"RI": "webp"}
    return kinds.get(image[:2], "img")
