"""The launcher sets threads from the CPUs that the process may use, before torch is imported."""

import os
import subprocess
import sys

import pytest

import vtlaunch

pytestmark = pytest.mark.slow

V2_MOUNT = "35 31 0:31 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw"
V1_MOUNTS = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
)


@pytest.fixture
def eight_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


def make_root(folder, cgroup, mountinfo, files):
    """Write a fake `/proc` and `/sys`; `files` maps a path below `/sys/fs/cgroup` to its text."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(cgroup + "\n")
    (folder / "proc/self/mountinfo").write_text(mountinfo + "\n")
    for path, text in files.items():
        file = folder / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [("max 100000", 8), ("100000 100000", 1), ("350000 100000", 3), ("20000 100000", 1), ("1600000 100000", 8)],
)
def test_a_v2_quota_is_rounded_down_to_at_least_one(tmp_path, eight_cpus, cpu_max, expected):
    root = make_root(tmp_path, "0::/job", V2_MOUNT, {"job/cpu.max": cpu_max})
    assert vtlaunch.available_cpus(root) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("200000", 2), ("50000", 1)])
def test_a_v1_quota_limits_the_cpus(tmp_path, eight_cpus, quota, expected):
    files = {"cpu,cpuacct/job/cpu.cfs_quota_us": quota, "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}
    root = make_root(tmp_path, "9:memory:/other\n3:cpu,cpuacct:/job\n0::/", V1_MOUNTS, files)
    assert vtlaunch.available_cpus(root) == expected


@pytest.mark.parametrize(("outer", "inner"), [("200000 100000", "600000 100000"), ("max 100000", "200000 100000")])
def test_the_tightest_of_nested_groups_counts(tmp_path, eight_cpus, outer, inner):
    files = {"slice/cpu.max": outer, "slice/job/task/cpu.max": inner}
    root = make_root(tmp_path, "0::/slice/job/task", V2_MOUNT, files)
    assert vtlaunch.available_cpus(root) == 2


@pytest.mark.parametrize("group", ["/docker/abc", "/", "/../other"])
def test_a_container_sees_the_quota_of_its_mounted_group(tmp_path, eight_cpus, group):
    mount = V2_MOUNT.replace(" / /sys", " /docker/abc /sys")
    root = make_root(tmp_path, f"0::{group}", mount, {"cpu.max": "300000 100000"})
    assert vtlaunch.available_cpus(root) == 3


def test_the_affinity_counts_where_there_is_no_cgroup(tmp_path, eight_cpus):
    assert vtlaunch.available_cpus(tmp_path) == 8


def test_an_unreadable_quota_is_ignored(tmp_path, eight_cpus):
    root = make_root(tmp_path, "0::/job", V2_MOUNT, {"job/cpu.max": "a lot"})
    assert vtlaunch.available_cpus(root) == 8


@pytest.fixture
def eight_gigabytes(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 2**12, "SC_PHYS_PAGES": 2**21}[name])


@pytest.mark.parametrize(
    ("limit", "expected"), [("max", 2**33), (str(2**31), 2**31), (str(2**40), 2**33), ("?", 2**33)]
)
def test_a_v2_limit_bounds_the_memory(tmp_path, eight_gigabytes, limit, expected):
    root = make_root(tmp_path, "0::/slice/job", V2_MOUNT, {"slice/memory.max": limit, "slice/job/memory.max": "max"})
    assert vtlaunch.total_memory(root) == expected


@pytest.mark.parametrize(("limit", "expected"), [(2**31, 2**31), (9223372036854771712, 2**33)])
def test_a_v1_limit_bounds_the_memory(tmp_path, eight_gigabytes, limit, expected):
    files = {"memory/job/memory.limit_in_bytes": str(limit), "cpu,cpuacct/other/memory.limit_in_bytes": "1"}
    root = make_root(tmp_path, "9:memory:/job\n3:cpu,cpuacct:/other\n0::/", V1_MOUNTS, files)
    assert vtlaunch.total_memory(root) == expected


def test_the_machine_counts_where_there_is_no_cgroup(tmp_path, eight_gigabytes):
    assert vtlaunch.total_memory(tmp_path) == 2**33


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "8"}),
        ({"OMP_NUM_THREADS": "5"}, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "5"}),
        ({"MKL_NUM_THREADS": "5"}, {"OMP_WAIT_POLICY": "PASSIVE", "MKL_NUM_THREADS": "5"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "8"}),
    ],
)
def test_settings_of_the_user_stay(monkeypatch, environment, expected):
    monkeypatch.setattr(vtlaunch, "available_cpus", lambda: 8)
    vtlaunch.configure_threads(environment)
    assert environment == expected


def test_the_launcher_imports_the_standard_library_alone():
    """A module that loads torch would read the settings before they are made."""
    code = "import sys, vtlaunch; print([n for n in ('torch', 'numpy', 'vtprune', 'vtstudy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torch_takes_the_number_of_threads(tmp_path):
    code = "import vtlaunch; vtlaunch.configure_threads(); import torch; print(torch.get_num_threads())"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) == vtlaunch.available_cpus()
