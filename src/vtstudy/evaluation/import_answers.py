"""Imports answers that version 0.1.0 stored, commit 8ad8d9c, into the answer cache.

That version had a folder of predictions for each experiment, and keyed an answer by its number in a benchmark. It also
stored the digest of each question, and that digest is made in the same way today.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vtprune.methods import Method, SpectralBudget, methods
from vtstudy.evaluation.answer_cache import Answer, AnswerCache, checked_record
from vtstudy.evaluation.cache_key import method_key
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.errors import CacheError

# The digests of the code of commit 8ad8d9c, by method and kind of budget. The code of today does the same.
OLD_CODE = {
    "adaptprune": "7e6523d242704e73",
    "adaptprune spectral": "06e532d77fe35593",
    "avgpool3x3": "b33358e6c1ae4e21",
    "avgpool3x3 spectral": "c71a776c2b0ad08a",
    "fastv": "9dbd957efbd50d4f",
    "fastv spectral": "db18fa24b432bfcf",
    "fitprune": "6a47981570cf13a4",
    "fitprune spectral": "2a26ecd7074dcbd9",
    "last": "78916bde7b0bd342",
    "last spectral": "a896e05e41f3ce34",
    "maxpool3x3": "5ae9eee1a7e3d860",
    "maxpool3x3 spectral": "47891237268fd2be",
    "none": "d13a181405bc53ce",
    "pyramiddrop": "f2cbd993ef5f687e",
    "pyramiddrop spectral": "7c2f8932e022bd9b",
    "random": "2092027065c5235d",
    "random spectral": "d8a3e1f8f5912f30",
    "random3x3": "3b4742be7177ff4c",
    "random3x3 spectral": "2451324a62cbd3a2",
    "skip": "d19fad0391984ee1",
    "skip spectral": "dcb351600235f52b",
    "visionzip": "b5ea811f92eaf699",
    "visionzip spectral": "4bf402caa371a526",
    "vtw": "f274abbe65f81803",
}


def import_answers(folder: str | Path, cache: AnswerCache, checkpoints: Iterable[Checkpoint]) -> tuple[int, int]:
    """Add the answers of a folder of predictions, and of the folders in it, to the cache.

    Files are passed over if their answers are of other checkpoints, of other code than that of commit 8ad8d9c, or of
    versions of torch or transformers that are not installed: the cache has no use for them.

    Args:
        folder: a folder of files `*.jsonl`, which are only read.
        checkpoints: the checkpoints whose answers are wanted.

    Returns:
        How many files were imported, and how many were passed over.

    Raises:
        CacheError: if there is no file in the folder, or a file is damaged.
    """
    paths = sorted(Path(folder).rglob("*.jsonl"))
    if not paths:
        raise CacheError(f"{folder} holds no files of predictions (*.jsonl)")
    families = {checkpoint.digest: checkpoint.family for checkpoint in checkpoints}
    imported = 0
    for path in paths:
        records = _records(path)
        identity = next(records, {}).get("identity")
        if identity is None:
            continue  # a kill cut off its first line
        new_identity = _new_identity(identity, families)
        if new_identity is None:
            continue
        answers: dict[str, Answer] = {}
        for record in records:
            for _, question, text in record["answers"]:
                answers.setdefault(question, Answer(text))
        with cache.open([new_identity]) as (file,):
            file.add(answers)
        imported += 1
    return imported, len(paths) - imported


def _records(path: Path) -> Iterator[dict[str, Any]]:
    *lines, _ = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        yield checked_record(line, f"{path}, line {number}")


def _new_identity(old: dict[str, Any], families: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """The identity of today for an old one; None if the cache has no use for it."""
    parameters = dict(old["method"])
    spectral = isinstance(parameters.get("keep"), dict)
    name = parameters["name"]
    if old["checkpoint"] not in families:
        return None
    if old["software"]["code"] != OLD_CODE.get(f"{name} spectral" if spectral else name):
        return None
    method = _method(parameters)
    key = method_key(method, families[old["checkpoint"]])
    if method.signature() != old["method"]:
        raise CacheError(f"the method {json.dumps(old['method'])} of an old file cannot be made any more")
    if any(old["software"][package] != key["software"][package] for package in ("torch", "transformers")):
        return None
    kept = {name: old[name] for name in ("checkpoint", "dtype", "attention", "device", "generation")}
    return {**kept, **key}


def _method(signature: dict[str, Any]) -> Method:
    parameters = {name: value for name, value in signature.items() if name != "name"}
    keep = parameters.get("keep")
    if isinstance(keep, dict):
        parameters["keep"] = SpectralBudget(**{name: value for name, value in keep.items() if name != "budget"})
    return methods()[signature["name"]](**parameters)
