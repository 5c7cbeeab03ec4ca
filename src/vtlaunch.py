"""The commands `vtprune` and `vtstudy`: set the number of threads, then start the command line.

This module imports the standard library alone. The OpenMP library inside torch reads its settings when torch is
imported, so they have to be set before that. There is no `python -m vtprune`, because Python would import the package,
and torch with it, before any of our code runs.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path, PurePosixPath

THREADS = "OMP_NUM_THREADS"
"""The environment variable that says how many threads torch uses."""


def vtprune() -> int:
    """Run the command `vtprune`; returns its exit code."""
    configure_threads()
    from vtprune.cli import main  # imports torch

    return main()


def vtstudy() -> int:
    """Run the command `vtstudy`; returns its exit code."""
    configure_threads()
    from vtstudy.cli import main  # imports torch

    return main()


def configure_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Give OpenMP one thread for each CPU that this process may use, and let idle threads sleep.

    By default, idle OpenMP threads busy-wait. Where another process takes one of the CPUs, the threads that compute
    then wait for those that spin, and an evaluation takes up to ten times as long. Settings of the user stay as they
    are. Call this function before torch is imported; child processes inherit the settings.

    Args:
        environment: the environment variables to read and to change.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not {THREADS, "MKL_NUM_THREADS"} & environment.keys():
        environment[THREADS] = str(available_cpus())


def available_cpus(root: Path = Path("/")) -> int:
    """Count the CPUs that this process may use: its CPU affinity, or the CPU quota of its cgroups where that is less.

    Quotas are rounded down to whole CPUs, but to at least one.

    Args:
        root: the folder that holds `proc` and `sys`. Tests pass another one.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    try:
        quotas = [quota for folder in _cgroup_folders(root, "cpu") if (quota := _quota(folder)) is not None]
    except (OSError, ValueError):  # not Linux, or the files look different: then there is no quota that we could know
        quotas = []
    return max(1, int(min([cpus, *quotas])))


def total_memory(root: Path = Path("/")) -> int | None:
    """The memory that this process may use, in bytes: the machine's, or the limit of its cgroups where that is less.

    Args:
        root: as for `available_cpus`.

    Returns:
        None if the system does not tell.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        limits = [limit for folder in _cgroup_folders(root, "memory") if (limit := _memory_limit(folder)) is not None]
    except (OSError, ValueError):  # as above
        limits = []
    return min([memory, *limits])


def can_start_processes() -> bool:
    """Whether Python can start further processes: they import the main module's file again.

    A program that comes from a pipe has none.
    """
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is None or Path(file).is_file()


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroups, and of all groups above them, in cgroup v1 and v2.

    Args:
        controller: what the groups limit: `cpu` or `memory`.
    """
    mounts = _cgroup_mounts(root, controller)
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        hierarchy, controllers, group_text = line.split(":", 2)
        if hierarchy == "0":
            kind = "cgroup2"
        elif controller in controllers.split(","):
            kind = "cgroup"
        else:
            continue
        if kind not in mounts:
            continue
        mount_point, mounted_group = mounts[kind]
        group = PurePosixPath(group_text)
        if group.is_relative_to(mounted_group) and ".." not in group.parts:
            group_inside = group.relative_to(mounted_group)
        else:  # a container in which only its own group is mounted
            group_inside = PurePosixPath()
        for folder in [group_inside, *group_inside.parents]:
            yield root / mount_point.relative_to("/") / folder


def _cgroup_mounts(root: Path, controller: str) -> dict[str, tuple[PurePosixPath, PurePosixPath]]:
    """For `cgroup` (v1, this controller) and `cgroup2`: the mount point, and the group that is mounted there."""
    mounts = {}
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        mount, _, file_system = line.partition(" - ")
        mounted_group, mount_point = mount.split(" ")[3:5]
        kind, _, options = file_system.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and controller in options.split(",")):
            mounts[kind] = PurePosixPath(mount_point), PurePosixPath(mounted_group)
    return mounts


def _quota(folder: Path) -> float | None:
    """The CPU quota of one cgroup in CPUs; None if it has none."""
    if (folder / "cpu.max").is_file():  # v2: "150000 100000", or "max 100000"
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if (folder / "cpu.cfs_quota_us").is_file():  # v1: -1 means no quota
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        period_microseconds = int((folder / "cpu.cfs_period_us").read_text())
        return None if microseconds <= 0 else microseconds / period_microseconds
    return None


def _memory_limit(folder: Path) -> int | None:
    """The memory limit of one cgroup in bytes; None if it has none."""
    if (folder / "memory.max").is_file():  # v2: bytes, or "max"
        limit = (folder / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit)
    if (folder / "memory.limit_in_bytes").is_file():  # v1: more than any machine has means no limit
        return int((folder / "memory.limit_in_bytes").read_text())
    return None
