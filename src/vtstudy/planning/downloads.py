"""What a profile fetches from the Hugging Face Hub, in bytes: checkpoints, and the asked rows of the data sets.

Sizes come from the Hub where it can be reached, and from the table of benchmarks where it cannot.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from vtstudy.benchmarks import BENCHMARKS
from vtstudy.checkpoint_source import read_source
from vtstudy.config import Config, Model
from vtstudy.experiments.questions_asked import questions_asked
from vtstudy.fetching.data_sets import is_there, parts_of, read_record
from vtstudy.fetching.hub import Kind, Repository
from vtstudy.fetching.models import NEEDED
from vtstudy.planning.estimate import BYTES_PER_VALUE, is_known, weight_bytes
from vtstudy.planning.hub import Hub

CONVERTED = "OpenGVLab/InternVL2-"
"""Checkpoints whose ids begin so are converted, so that both versions are on the disk for a while."""


@dataclass(frozen=True)
class Download:
    """A part of a repository of the Hub.

    Attributes:
        kind: `model` or `dataset`.
        id: of the repository.
        size: bytes that are still to be fetched; None if they are not known.
        disk: bytes of the disk that are needed for it at most; None if they are not known.
        from_hub: whether the Hub gave the size; False for the table and for computed sizes.
    """

    kind: Kind
    id: str
    size: int | None
    disk: int | None
    from_hub: bool


def model_download(model: Model, hub: Hub) -> Download | None:
    """What has to be fetched for a model; None if it is there, or does not come from the Hub."""
    place = hub_version(model)
    if place is None or _is_fetched(model):
        return None
    identifier, revision = place
    found = hub.repository("model", identifier, revision)
    if found is not None:
        size: int | None = sum(size for path, size in found.sizes.items() if _is_needed(path))
    else:
        size = weight_bytes(model.paper) if is_known(model.paper) else None
    times = 2 if identifier.startswith(CONVERTED) else 1
    return Download("model", identifier, size, None if size is None else times * size, found is not None)


def stored_bytes(model: Model, dtype: str | None, hub: Hub) -> int | None:
    """Bytes that a model's weights need in memory, from its files here or on the Hub; None if neither tells.

    The published files hold float16 or bfloat16.
    """
    folder = Path(model.checkpoint).expanduser()
    if folder.is_dir():
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    else:
        download = model_download(model, hub)
        size = download.size or 0 if download is not None and download.from_hub else 0
    return size * BYTES_PER_VALUE.get(dtype or "", 2) // 2 or None


def data_downloads(config: Config, hub: Hub) -> list[Download]:
    """The data sets that have to be fetched, each with the share of its splits that is needed."""
    root = None if config.evaluation.data is None else Path(config.evaluation.data)
    if root is not None and config.downloads is None:
        return []  # the folder is filled by something else
    downloads, needed = [], questions_asked(config)
    for identifier, parts in parts_of(needed).items():
        record = None if root is None else read_record(root / identifier)
        if root is not None and record is not None and all(is_there(root / identifier, record, part) for part in parts):
            continue
        found = hub.repository("dataset", identifier, data_revision(config, identifier))
        size: int | None = 0
        for name, base in _splits_of(identifier, needed).items():
            split = _split_bytes(base, found)
            count, available = needed[name], BENCHMARKS[base].rows
            share = 1.0 if count is None or available is None else min(1.0, count / available)
            size = None if split is None or size is None else size + round(share * split)
        # `datasets` writes the rows once more, in its own cache.
        downloads.append(Download("dataset", identifier, size, None if size is None else 2 * size, found is not None))
    return downloads


def hub_version(model: Model) -> tuple[str, str] | None:
    """The id and the revision of a model on the Hub; None if its checkpoint is a folder of another origin."""
    if model.source is not None:
        return model.source.id, model.source.revision
    folder = Path(model.checkpoint).expanduser()
    if folder.is_dir() or len(folder.parts) != 2 or folder.is_absolute():
        return None
    return model.checkpoint, "main"


def data_revision(config: Config, identifier: str) -> str:
    """The revision of a data set that is fetched."""
    return "main" if config.downloads is None else config.downloads.revisions.get(identifier, "main")


def base_of(benchmark: str) -> str:
    """The benchmark whose data set another one shares; for most, the benchmark itself."""
    return BENCHMARKS[benchmark].variant_of or benchmark


def _is_fetched(model: Model) -> bool:
    folder = Path(model.checkpoint).expanduser()
    return folder.is_dir() and read_source(folder) is not None


def _is_needed(path: str) -> bool:
    return "/" not in path and any(fnmatch(path, pattern) for pattern in NEEDED)


def _splits_of(identifier: str, needed: Mapping[str, int | None]) -> dict[str, str]:
    """Of the benchmarks that share a split, the one that needs most, with the benchmark that has its size."""
    largest: dict[tuple[str, str], str] = {}
    for name in needed:
        spec = BENCHMARKS[name]
        if spec.path == identifier:
            split = spec.config, spec.split
            largest[split] = max(largest.get(split, name), name, key=lambda other: _most(needed[other]))
    return {name: base_of(name) for name in largest.values()}


def _most(count: int | None) -> float:
    return math.inf if count is None else count


def _split_bytes(benchmark: str, found: Repository | None) -> int | None:
    """Bytes of a benchmark's split."""
    if found is not None:
        spec = BENCHMARKS[benchmark]
        patterns = [spec.pattern(config) for config in (spec.config, spec.images_config) if config is not None]
        of_files = sum(size for path, size in found.sizes.items() if any(fnmatch(path, each) for each in patterns))
        if of_files:
            return of_files
    return BENCHMARKS[benchmark].split_bytes
