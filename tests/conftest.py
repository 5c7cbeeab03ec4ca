"""Settings of the whole test run."""

import os

import pytest

from vtlaunch import available_cpus, configure_threads

# Before the first test module imports torch. More threads do not help models as small as those of the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
configure_threads()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be absent
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes for `--numprocesses auto`; each imports torch and holds about one gigabyte."""
    return min(available_cpus(), 4)
