"""A copy of this repository, whose commands find the local stand-in for the Hub."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
# The copy trains nothing and has reports of its own.
LEFT_OUT = ("data/checkpoints/", "reports/miniature/", "tests/")


class CommandError(Exception):
    """A command of the copy failed; the text is the end of what it said."""


@dataclass(frozen=True)
class Finished:
    """A command that has run.

    Attributes:
        output: what it wrote, to both streams.
        seconds: how long it took.
        gigabytes: the largest memory of one of its processes.
    """

    output: str
    seconds: float
    gigabytes: float


class Project:
    """The repository's files in a folder of their own, as a git repository.

    Args:
        folder: where the copy goes; it must not exist.
        variables: of the environment, such as those of a `LocalHub`.
        left_out: beginnings of the paths that are not copied.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], left_out: tuple[str, ...] = LEFT_OUT) -> None:
        self.folder = folder
        absent = ("OPENAI_API_KEY", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "MAKEFLAGS", "MAKELEVEL")
        self.environment = {name: value for name, value in os.environ.items() if name not in absent}
        self.environment |= {
            "PATH": os.pathsep.join((str(Path(sys.prefix) / "bin"), os.environ["PATH"])),
            "PYTHONPATH": str(folder / "src"),
            "DVC_NO_ANALYTICS": "1",
            **variables,
        }
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in filter(None, names):
            source, target = REPOSITORY / name, folder / name
            if source.is_file() and not name.startswith(left_out):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        for command in ("git init -q", "git add -A", "git -c user.name=x -c user.email=x@x commit -qm copy"):
            self.run(*command.split())

    def change(self, profile: str, edit: Callable[[dict[str, Any]], None]) -> None:
        """Change the parameters of a profile."""
        path = self.folder / "profiles" / profile / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        edit(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def reproduce(self, profile: str) -> Finished:
        """`make reproduce PROFILE=<profile>` with the packages of the running interpreter in place of `.venv`."""
        prefix = sys.prefix
        return self.run("make", f"--old-file={prefix}/.ready", f"VENV={prefix}", "reproduce", f"PROFILE={profile}")

    def run(self, *command: str, **variables: str) -> Finished:
        """Run a command in the copy.

        Raises:
            CommandError: if it fails.
        """
        begin = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise CommandError(f"{' '.join(command)} ended with {process.returncode}\n{output[-6000:]}")
        return Finished(output, time.monotonic() - begin, usage.ru_maxrss / 1e6)
