"""Settings of the whole test run."""

import os

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


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be absent
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes for `--numprocesses auto`; each imports torch and holds about one gigabyte."""
    return min(available_cpus(), 4)
