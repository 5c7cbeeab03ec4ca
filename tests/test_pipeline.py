"""The pipeline names all that its stages run, and the committed reports belong to the committed code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def _run(*command: str) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ignored(path: str) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_every_source_file_that_it_imports(name):
    stage = STAGES[name]
    module = stage["cmd"].split()[stage["cmd"].split().index("-m") + 1]
    code = f"import json, runpy, sys; sys.argv = ['x', '--help']\ntry: runpy.run_module({module!r}, run_name='vtprune_stage')\nfinally: print(json.dumps([m.__file__ for n, m in list(sys.modules.items()) if n.split('.')[0] == 'vtprune' and m.__file__]))"
    imported = json.loads(_run(sys.executable, "-c", code).splitlines()[-1])
    named = [ROOT / dep for dep in stage["deps"]]
    missing = [f for f in imported if not any(Path(f) == n or n in Path(f).parents for n in named)]
    assert not missing, f"stage {name} runs files that are not among its deps: {missing}"
    entry = ROOT / "src" / Path(*module.split("."))
    assert any(n in (entry.with_suffix(".py"), entry) for n in named)


def test_the_committed_reports_belong_to_the_committed_code():
    """`dvc status` finds nothing changed, but for files that git does not hold (a fresh clone lacks them)."""
    changed = []
    for stage, entries in json.loads(_run("dvc", "status", "--json")).items():
        for entry in entries:
            if not isinstance(entry, dict):
                changed.append((stage, entry))
                continue
            for what, paths in entry.items():
                found = paths.items() if isinstance(paths, dict) else [(str(paths), "changed")]
                changed += [(stage, what, path, how) for path, how in found if not (how == "deleted" and _ignored(path))]
    assert not changed, f"run `make reproduce` and commit what it writes; changed: {changed}"


def test_the_lock_file_names_no_host():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(lines) > 50
    assert not [line for line in lines if "://" in line or "@" in line.split(";")[0] or line.startswith("-")]
