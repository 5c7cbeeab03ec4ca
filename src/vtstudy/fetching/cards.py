"""Which files of a data set's repository belong to which configuration and split, as its card says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import hf_hub_download, metadata_load

from vtstudy.fetching.hub import Repository, explained

CARD = "README.md"


@dataclass(frozen=True)
class Card:
    """What the card of a data set says.

    Attributes:
        splits: by configuration, then by split, the paths or patterns of its files.
        features: by configuration, the columns in the card's own form; a configuration that it does not describe is
            absent.
    """

    splits: Mapping[str, Mapping[str, tuple[str, ...]]]
    features: Mapping[str, Any]

    def files(self, found: Repository, config: str, split: str) -> list[str]:
        """The parquet files of a split, in the order of its rows; empty if the repository has no such split.

        A card without configurations leaves it to the names of the files: `data/<split>-*` or `<config>/<split>-*`.
        """
        folder = "data" if config == "default" else config
        patterns = self.splits.get(config, {}).get(split) or (f"{folder}/{split}-*",)
        parquet = sorted(path for path in found.sizes if path.endswith(".parquet"))
        return [path for pattern in patterns for path in parquet if fnmatch(path, pattern)]

    def other_splits(self, found: Repository, config: str, split: str) -> list[str]:
        """The other splits of a configuration that have files, in the card's order."""
        return [name for name in self.splits.get(config, {}) if name != split and self.files(found, config, name)]


def read_card(found: Repository) -> Card:
    """The card of a data set.

    Raises:
        FetchError: if it cannot be fetched.
    """
    if CARD not in found.sizes:
        return Card({}, {})
    with explained("dataset", found.id, found.commit):
        path = hf_hub_download(found.id, CARD, repo_type="dataset", revision=found.commit)
    data: Mapping[str, Any] = metadata_load(path) or {}
    splits = {
        str(entry.get("config_name", "default")): _splits(entry.get("data_files")) for entry in _listed(data, "configs")
    }
    features = {
        str(entry.get("config_name", "default")): entry["features"]
        for entry in _listed(data, "dataset_info")
        if "features" in entry
    }
    return Card(splits, features)


def write_card(path: Path, title: str, card: Card) -> None:
    """Write the card of a local copy: the fetched splits, and the columns as the original card describes them."""
    configs = [
        {
            "config_name": config,
            "data_files": [{"split": split, "path": list(files)} for split, files in splits.items()],
        }
        for config, splits in card.splits.items()
    ]
    information = [
        {"config_name": config, "features": features}
        for config, features in card.features.items()
        if config in card.splits
    ]
    data = {"configs": configs} | ({"dataset_info": information} if information else {})
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    path.write_text(f"---\n{text}---\n# {title}\n\nA part of the data set, fetched from the Hub.\n", "utf-8")


def _listed(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """An entry of the card that is one mapping or a list of them."""
    value = data.get(key) or []
    return [value] if isinstance(value, Mapping) else list(value)


def _splits(entries: object) -> dict[str, tuple[str, ...]]:
    """`data_files` of a configuration: a list of splits with paths, or one path or several of the split `train`."""
    if isinstance(entries, str):
        return {"train": (entries,)}
    splits: dict[str, tuple[str, ...]] = {}
    for entry in entries if isinstance(entries, Iterable) else ():
        if isinstance(entry, Mapping):
            paths = entry.get("path", ())
            splits[str(entry.get("split", "train"))] = (paths,) if isinstance(paths, str) else tuple(paths)
        else:
            splits["train"] = (*splits.get("train", ()), str(entry))
    return splits
