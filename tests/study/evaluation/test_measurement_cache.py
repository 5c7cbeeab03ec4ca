"""The cache of measurements."""

import numpy as np
import pytest

from vtstudy.evaluation.errors import CacheError
from vtstudy.evaluation.measurement_cache import MeasurementCache

KEY = {"checkpoint": "abc", "limits": [1, None], "seed": 0}


@pytest.fixture
def cache(tmp_path):
    return MeasurementCache(tmp_path / "measurements")


def refuse():
    raise AssertionError("the measurement is stored, so it must not be made")


def test_data_is_made_once(cache):
    value = {"a": [1, 0.1 + 0.2, None], "b": "é"}
    assert cache.data("scores", KEY, lambda: value) == value
    assert cache.data("scores", dict(reversed(KEY.items())), refuse) == value
    assert cache.data("scores", KEY | {"seed": 1}, lambda: 2) == 2
    assert cache.data("chance", KEY, lambda: 3) == 3


def test_arrays_are_made_once_and_keep_their_types(cache):
    arrays = {"maps": np.arange(6, dtype=np.float32).reshape(2, 3), "kept": np.array([True, False])}
    cache.arrays("maps", KEY, lambda: arrays)
    stored = cache.arrays("maps", KEY, refuse)
    assert list(stored) == list(arrays)
    for name, array in arrays.items():
        assert stored[name].dtype == array.dtype and np.array_equal(stored[name], array)


def test_a_measurement_in_parts_resumes_and_leaves_only_the_whole(cache):
    parts, made = [slice(0, 3), slice(3, 6), slice(6, 7)], []

    def compute(part):
        if part.start == 6 and len(made) == 2:
            raise KeyboardInterrupt
        made.append(part)
        return {"numbers": np.arange(part.start, part.stop)}

    def join(arrays):
        return {"numbers": np.concatenate([part["numbers"] for part in arrays])}

    with pytest.raises(KeyboardInterrupt):
        cache.arrays_in_parts("maps", KEY, parts, compute, join)
    made.append(None)
    whole = cache.arrays_in_parts("maps", KEY, parts, compute, join)
    assert whole["numbers"].tolist() == list(range(7)) and made == [*parts[:2], None, parts[2]]
    assert len(list(cache.folder.iterdir())) == 1
    assert cache.arrays("maps", KEY, refuse)["numbers"].tolist() == list(range(7))
    other = [slice(0, 4), slice(4, 7)]
    assert cache.arrays_in_parts("maps", KEY | {"seed": 1}, other, compute, join)["numbers"].tolist() == list(range(7))


def test_a_damaged_file_is_reported(cache):
    cache.data("scores", KEY, lambda: [1, 2, 3])
    cache.arrays("maps", KEY, lambda: {"maps": np.arange(100)})
    for path in cache.folder.iterdir():
        content = path.read_bytes()
        measure = cache.data if path.suffix == ".json" else cache.arrays
        name = path.name.partition("-")[0]
        for damaged in (content[: len(content) // 2], b"", content.replace(b"\x05", b"\x06").replace(b"2", b"4")):
            path.write_bytes(damaged)
            with pytest.raises(CacheError, match=path.name):
                measure(name, KEY, refuse)


def test_nothing_is_stored_of_a_measurement_that_fails(cache):
    with pytest.raises(ZeroDivisionError):
        cache.data("scores", KEY, lambda: 1 / 0)
    assert cache.data("scores", KEY, lambda: 1) == 1


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot be written"):
        MeasurementCache(tmp_path / "file" / "below").data("scores", KEY, lambda: 1)
