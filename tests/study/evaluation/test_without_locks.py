"""A data set whose cache lies on a disk without locks is refused in one sentence that says what to set."""

import errno

import pytest

from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.lmms_tasks import LmmsTasks


def test_a_cache_without_locks_is_named(monkeypatch):
    def locking(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(LmmsTasks, "_load", locking)
    with pytest.raises(EvaluationError, match="No locks available.*HF_HOME") as raised:
        LmmsTasks(None).task("pope")
    assert "\n" not in str(raised.value)
