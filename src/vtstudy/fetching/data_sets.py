"""The benchmarks' data sets from the Hub: the questions that a profile asks, in the layout that lmms-eval loads.

`<root>/lmms-lab-encoder/POPE/` is read by `load_dataset("lmms-lab-encoder/POPE")` in the working directory `<root>`, as
the data sets of the miniature world are. Rows and columns are the Hub's own. `fetched.json` says what is there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from vtstudy.benchmarks import BENCHMARKS
from vtstudy.checkpoint_source import FETCHED_DATA
from vtstudy.fetching.cards import CARD, Card, read_card, write_card
from vtstudy.fetching.hub import FetchError, Repository, check_space, gigabytes, repository
from vtstudy.fetching.models import is_commit
from vtstudy.fetching.tables import Chosen, fetch_rows

ASKED = {"lmms-lab-encoder/SEED-Bench": Chosen("data_type", frozenset({"image"}))}
"""By data set, the rows that its benchmark asks about. The others (SEED-Bench's videos) are not fetched."""


@dataclass(frozen=True)
class Part:
    """A split of a configuration of a data set, and how much of it is wanted.

    Attributes:
        config, split: of the data set.
        count: how many of the first rows are wanted; None for all.
        images_of: for the configuration that holds the images (GQA), the one of the questions that show them.
    """

    config: str
    split: str
    count: int | None
    images_of: str | None = None

    @property
    def name(self) -> str:
        return f"{self.config}/{self.split}"


def parts_of(counts: Mapping[str, int | None]) -> dict[str, list[Part]]:
    """By data set, its parts; benchmarks that share a split share the part.

    Args:
        counts: by benchmark, how many of its first questions are asked; None for all.
    """
    wanted: dict[str, dict[tuple[str, str], int | None]] = {}
    images: dict[str, list[Part]] = {}
    for name, count in counts.items():
        spec = BENCHMARKS[name]
        of_data_set, key = wanted.setdefault(spec.path, {}), (spec.config, spec.split)
        before = of_data_set.get(key, 0)
        of_data_set[key] = None if count is None or before is None else max(count, before)
        if spec.images_config:
            images[spec.path] = [Part(spec.images_config, spec.split, of_data_set[key], images_of=spec.config)]
    return {
        path: [Part(config, split, count) for (config, split), count in splits.items()] + images.get(path, [])
        for path, splits in wanted.items()
    }


def fetch_data(root: Path, counts: Mapping[str, int | None], revisions: Mapping[str, str]) -> None:
    """Fetch the questions that are asked, unless they are there; each data set is kept when it is complete.

    Access to every data set is checked before the first download. A data set that has been fetched keeps its commit
    while its revision is a branch.

    Args:
        root: the folder of the data sets.
        counts: by benchmark, how many of its first questions are asked; None for all.
        revisions: by data set, a branch, a tag or a commit; `main` for those that are not named.

    Raises:
        FetchError: if a data set cannot be fetched.
    """
    missing: dict[str, tuple[Repository, list[Part]]] = {}
    for path, parts in parts_of(counts).items():
        revision = revisions.get(path, "main")
        record = read_record(root / path)
        if record is not None and (not is_commit(revision) or record["commit"] == revision):
            revision = record["commit"]
            if all(is_there(root / path, record, part) for part in parts):
                continue
        missing[path] = (repository("dataset", path, revision), parts)
    if not missing:
        return
    with tqdm(missing.items(), "data sets", unit="set", dynamic_ncols=True) as bar:
        for path, (found, parts) in bar:
            bar.set_postfix_str(path)
            size = _fetch(root / path, found, parts)
            bar.write(f"{path} at commit {found.commit[:12]}: {gigabytes(size)}")


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was fetched into the folder of a data set; None if nothing was.

    `id` and `commit` name the version. `parts` has by `<config>/<split>` the wanted number of rows (null for all) and
    the files.

    Raises:
        FetchError: if the folder's file is damaged.
    """
    file = folder / FETCHED_DATA
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        known = {"id", "commit", "parts"} <= record.keys()
    except (ValueError, AttributeError):
        known = False
    if not known:
        raise FetchError(f"{file} is damaged: delete it, and fetch the data again")
    return record


def is_there(folder: Path, record: Mapping[str, Any], part: Part) -> bool:
    """Whether the folder of a data set holds a part; `record` is what `read_record` gives for it."""
    entry = record["parts"].get(part.name)
    if entry is None or not all((folder / file).is_file() for file in entry["files"]):
        return False
    return entry["rows"] is None or (part.count is not None and part.count <= entry["rows"])


def _fetch(folder: Path, found: Repository, parts: list[Part]) -> int:
    """Fetch the parts of one data set; returns the bytes of its files."""
    card = read_card(found)
    splits: dict[str, dict[str, tuple[str, ...]]] = {}
    entries: dict[str, Any] = {}
    whole = sum(
        found.sizes[path] for part in parts if part.count is None for path in card.files(found, part.config, part.split)
    )
    check_space(folder, whole, f"the data set {found.id}")
    for part in parts:
        paths = card.files(found, part.config, part.split)
        if not paths:
            raise FetchError(f"the data set {found.id} has no parquet files of split {part.split} of {part.config}")
        place = "data" if part.config == "default" else part.config
        files = fetch_rows(
            found,
            paths,
            folder / place / part.split,
            None if part.images_of else part.count,
            _chosen(found, part, folder, entries),
        )
        if not files:
            raise FetchError(f"the data set {found.id} has no rows in split {part.split} of {part.config}")
        names = tuple(file.relative_to(folder).as_posix() for file in files)
        splits.setdefault(part.config, {})[part.split] = names
        entries[part.name] = {"rows": part.count, "files": names}
    write_card(folder / CARD, found.id, Card(splits, card.features))
    kept = {folder / name for entry in entries.values() for name in entry["files"]}
    for file in folder.rglob("*.parquet"):  # of what was fetched before
        if file not in kept:
            file.unlink()
    record = {"id": found.id, "commit": found.commit, "parts": entries}
    (folder / FETCHED_DATA).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return sum(file.stat().st_size for file in kept)


def _chosen(found: Repository, part: Part, folder: Path, entries: Mapping[str, Any]) -> Chosen | None:
    """Which rows of a part are wanted; None for all."""
    if part.images_of is not None:
        if part.count is None:
            return None
        questions = entries[f"{part.images_of}/{part.split}"]["files"]
        shown = {
            key
            for name in questions
            for key in pq.read_table(folder / name, columns=["imageId"])["imageId"].to_pylist()
        }
        return Chosen("id", frozenset(shown))
    return ASKED.get(found.id)
