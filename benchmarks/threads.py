"""How long `vtstudy evaluate` takes where it gets fewer CPUs than the machine has.

    python benchmarks/threads.py [--rounds 3] [--torch-default]

AdaptPrune answers 400 questions of GQA on the miniature. The table compares:

- alone, beside a busy process of another session (the scheduler shares CPUs by session), and with one thread;
- on one CPU (`taskset`) and under a CPU quota of one CPU (a cgroup; needs root), to be compared with one thread.

`--torch-default` adds the runs without vtprune's settings. Beside a busy process, such a run takes up to ten times as
long. The machine must be quiet otherwise.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COMMAND = [sys.executable, "-m", "vtstudy"]
COMMAND_WITH_TORCH_DEFAULT = [sys.executable, "-c", "import sys; from vtstudy.cli import main; sys.exit(main())"]
SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="data/checkpoints/miniature-llava")
    parser.add_argument("--data", default="data/miniature", help="folder of the data sets")
    parser.add_argument("--limit", type=int, default=400, help="questions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch-default", action="store_true", help="also run without vtprune's settings")
    options = parser.parse_args()

    arguments = ["evaluate", "--checkpoint", options.checkpoint, "--data", options.data]
    arguments += ["--method", "adaptprune", "--keep", "0.1", "--benchmarks", "gqa", "--limit", str(options.limit)]
    names = ["alone", "beside a busy process", "one thread", "on one CPU", "quota of one CPU"]
    if options.torch_default:
        names += [f"{name}, torch's default" for name in names if name != "one thread"]

    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            try:
                seconds[name].append(run(name, arguments))
            except PermissionError as error:
                print(f"{name}: not permitted ({error})", file=sys.stderr)
    for name, times in seconds.items():
        if times:
            reference = "alone" if "busy" in name else "one thread"
            times_as_long = statistics.median(times) / statistics.median(seconds[reference])
            print(f"{name:40}{statistics.median(times):8.1f} s{times_as_long:8.2f} times as long as {reference}")


def run(name: str, arguments: list[str]) -> float:
    """Run the command in an empty answer cache, in the situation that `name` describes; returns its seconds."""
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    if name == "one thread":
        environment["OMP_NUM_THREADS"] = "1"
    command = COMMAND_WITH_TORCH_DEFAULT if "default" in name else COMMAND
    with contextlib.ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        if "busy" in name:
            stack.enter_context(busy_process())
        if "on one CPU" in name:
            command = ["taskset", "-c", "0", *command]
        if "quota" in name:
            processes = stack.enter_context(cgroup_with_one_cpu())
            command = ["sh", "-c", f'echo $$ > {processes} && exec "$@"', "sh", *command]
        start = time.perf_counter()
        subprocess.run([*command, *arguments, "--cache", cache], env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """A process of another session that keeps one CPU busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def cgroup_with_one_cpu() -> Iterator[Path]:
    """A new cgroup with a quota of one CPU; gives the file that takes the ids of its processes."""
    if Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").is_file():  # v1
        group = Path("/sys/fs/cgroup/cpu") / f"vtprune-{os.getpid()}"
        limits = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
    else:
        group = Path("/sys/fs/cgroup") / f"vtprune-{os.getpid()}"
        limits = {"cpu.max": "100000 100000"}
    group.mkdir()
    try:
        for file_name, value in limits.items():
            (group / file_name).write_text(value)
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


if __name__ == "__main__":
    main()
