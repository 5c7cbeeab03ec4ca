"""The recipe in CONTRIBUTING.md works: followed word by word in a copy of the sources."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

pytestmark = pytest.mark.slow


def test_following_the_recipe_adds_a_method(tmp_path):
    page = (ROOT / "CONTRIBUTING.md").read_text().split("## Adding a method\n")[1].split("\n## ")[0]
    method, registry_line, test_line = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = re.search(r"\*\*1\. The file\*\*, `src/(.*?)`", page)[1]
    registry = re.search(r"\*\*2\. The registry line\*\*, in `src/(.*?)`", page)[1]

    shutil.copytree(ROOT / "src", tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / file).write_text(method)
    with_line = re.sub(r"(?m)^from ", registry_line + "from ", (tmp_path / registry).read_text(), count=1)
    (tmp_path / registry).write_text(with_line.replace("__all__ = [", '__all__ = [\n    "CentreTokens",', 1))
    linted = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--config",
        ROOT / "pyproject.toml",
        "--extend-ignore",
        "I001,RUF022",
    ]
    assert subprocess.run([*linted, tmp_path / file, tmp_path / registry], check=False).returncode == 0
    code = f"""
import vtprune
from vtprune.cli import main
from vtprune.methods import CentreTokens, get_method
assert {str(tmp_path)!r} in vtprune.__file__
assert [{test_line.strip()}] == [CentreTokens(0.3)]
main(["methods"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)\bcentre\b.*Keep the tokens nearest the centre of their image\.", done.stdout)
