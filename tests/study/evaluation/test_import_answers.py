"""Answers of version 0.1.0 are taken over into the answer cache."""

import hashlib
import json

import pytest

from vtprune.methods import FastV, NoPruning, SpectralBudget
from vtstudy.evaluation.answer_cache import Answer, AnswerCache
from vtstudy.evaluation.answering import identity
from vtstudy.evaluation.cache_key import method_key
from vtstudy.evaluation.errors import CacheError
from vtstudy.evaluation.import_answers import OLD_CODE, import_answers

pytestmark = pytest.mark.slow

GENERATION = {"max_new_tokens": 16, "num_beams": 1, "until": ["\n\n"]}


def line(record: dict) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(
        {"checksum": hashlib.sha256(text.encode()).hexdigest()[:16], **record},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def write(path, model, method, code, batches, **changes):
    """A file as version 0.1.0 wrote it."""
    software = method_key(method, model.family)["software"] | {"code": code}
    head = {
        "format": 1,
        "task": "gqa",
        "split": "testdev",
        "data": [],
        "checkpoint": model.digest,
        "method": method.signature(),
        "image": "shown",
        "dtype": model.dtype,
        "attention": model.attention,
        "device": "cpu",
        "generation": GENERATION,
        "software": software,
    } | changes
    lines = [line({"identity": head}), *(line({"answers": batch}) for batch in batches)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_answers_of_the_same_code_are_imported(loaded, tmp_path):
    old, cache = tmp_path / "old", AnswerCache(tmp_path / "answers")
    spectral = FastV(SpectralBudget(0.9))
    batches = [[[3, "q3", "yes"], [1, "q1", "no"]], [[0, "q0", "“é”"]]]
    write(old / "table1" / "fastv-gqa-1.jsonl", loaded, FastV(0.1), OLD_CODE["fastv"], batches)
    write(old / "eadaprune" / "fastv-gqa-2.jsonl", loaded, spectral, OLD_CODE["fastv spectral"], batches[:1])
    write(old / "table1" / "fastv-gqa-3.jsonl", loaded, FastV(0.2), OLD_CODE["none"], batches)
    write(old / "table1" / "none-gqa-4.jsonl", loaded, NoPruning(), OLD_CODE["none"], batches, checkpoint="another")
    assert import_answers(old, cache, [loaded]) == (2, 2)
    fixed = cache.read(identity(loaded, FastV(0.1), GENERATION))
    assert fixed == {"q3": Answer("yes"), "q1": Answer("no"), "q0": Answer("“é”")}
    assert set(cache.read(identity(loaded, spectral, GENERATION))) == {"q1", "q3"}
    assert cache.read(identity(loaded, FastV(0.2), GENERATION)) == {}
    assert import_answers(old, cache, [loaded]) == (2, 2)  # again: nothing is stored twice
    assert cache.read(identity(loaded, FastV(0.1), GENERATION)) == fixed


def test_damaged_and_missing_files_are_reported(loaded, tmp_path):
    path = tmp_path / "old" / "fastv-gqa-1.jsonl"
    write(path, loaded, FastV(0.1), OLD_CODE["fastv"], [[[3, "q3", "yes"]]])
    path.write_text(path.read_text().replace("yes", "yEs"))
    cache = AnswerCache(tmp_path / "answers")
    with pytest.raises(CacheError, match="line 2"):
        import_answers(tmp_path / "old", cache, [loaded])
    with pytest.raises(CacheError, match="absent"):
        import_answers(tmp_path / "absent", cache, [loaded])
