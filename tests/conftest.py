"""Settings of the whole test run."""

import os
from pathlib import Path

import pytest

from vtlaunch import available_cpus, configure_threads

# Before the first test module imports torch. More threads do not help models as small as those of the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
configure_threads()

# No test uses the network or an account, whatever the user's shell says. A test with a stand-in for the Hub or the
# judge names it itself.
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ[name] = "1"
for name in ("HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "OPENAI_API_URL", "API_TYPE"):
    os.environ.pop(name, None)


WHOLLY_SLOW = "pytestmark = pytest.mark.slow"
WITHOUT_SLOW = ("not slow", "not slow and not exhaustive")
"""What `-m` says where slow tests are left out."""


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be absent
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes for `--numprocesses auto`; each imports torch and holds about one gigabyte."""
    return min(available_cpus(), 4)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file whose tests are all slow, where slow tests are left out: imports take seconds."""
    if collection_path.suffix != ".py" or config.getoption("markexpr") not in WITHOUT_SLOW:
        return None
    return True if WHOLLY_SLOW in collection_path.read_text(encoding="utf-8").splitlines() else None
