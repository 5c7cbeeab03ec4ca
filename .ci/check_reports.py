"""Check that the committed reports of all profiles belong to the committed code: `dvc status` finds no changed stage.

Files that git ignores are left out, because a fresh clone does not have them.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHOWN = 5  # files of each stage in the message


def main() -> int:
    pipelines = [f"{lock.parent.relative_to(ROOT)}/dvc.yaml" for lock in sorted(ROOT.glob("profiles/*/dvc.lock"))]
    command = ["dvc", "status", "--json", "dvc.yaml", *pipelines]  # profiles without a lock were not run
    status = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    stages = {stage: changed_files(entries) for stage, entries in json.loads(status.stdout).items()}
    changed = {stage: files for stage, files in stages.items() if files}
    for stage, files in changed.items():
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        print(f"{stage}: {', '.join(files[:SHOWN])}{more}", file=sys.stderr)
    if changed:
        print("The reports do not belong to the code. Run `make reproduce` and commit the results.", file=sys.stderr)
        return 1
    print("The reports belong to the code.")
    return 0


def changed_files(entries: list[str | dict[str, Any]]) -> list[str]:
    """What changed in a stage, from its entries in `dvc status --json`."""
    changed = []
    for entry in entries:
        if isinstance(entry, str):  # such as "changed command"
            changed.append(entry)
            continue
        for files in entry.values():  # of "changed deps" and "changed outs"
            for path, state in files.items():
                absent = state in ("deleted", "not in cache")
                if not (absent and is_ignored(path)):
                    changed.append(f"{path} ({state})")
    return changed


def is_ignored(path: str) -> bool:
    """Whether git ignores this path."""
    return subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
