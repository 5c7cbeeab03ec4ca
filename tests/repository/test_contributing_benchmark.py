"""CONTRIBUTING.md's section about benchmarks works: followed word by word in a copy of the sources."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

# Writes small data sets of the world's benchmarks; more questions of the new one.
WORLD = """
from pathlib import Path
from vtstudy.world.datasets import make_all
from vtstudy.world.questions import TRAINED
assert "realworldqa" not in TRAINED
make_all(Path("data/miniature"), {"default": 1, "realworldqa": 40}, seed=1)
"""


def add_to(file: Path, table: str, function: str | None, entry: str) -> None:
    """Put a function above a table, and an entry at the table's end."""
    text = file.read_text()
    start = re.search(rf"(?m)^{table}\b", text).start()
    end = text.index("\n}\n", start) + 1
    above = "" if function is None else f"{function}\n\n"
    file.write_text(text[:start] + above + text[start:end] + entry + text[end:])


@pytest.mark.exhaustive
def test_following_the_recipe_adds_a_benchmark(tmp_path):
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Adding a benchmark\n")[1].split("\n## ")[0]
    files = re.findall(r"(?m)^\*\*\d\. [^*]*\*\*, in `(.*?)`", section)
    benchmark, row, columns, function, source = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    command = re.search(r"(?m)^vtstudy (evaluate .*)$", section)[1].split()

    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    add_to(tmp_path / files[0], "BENCHMARKS", None, benchmark)
    add_to(tmp_path / files[1], "TABLES", row, columns)
    add_to(tmp_path / files[2], "SOURCES", function, source)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/checkpoints").symlink_to(ROOT / "data/checkpoints")

    def run(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    run("-c", WORLD)
    row_of_score = re.search(r"realworldqa\D*?exact_match\D+([\d.]+)", run("-m", "vtstudy", *command))
    assert float(row_of_score[1]) > 50  # the miniature answers, although it was not trained on these questions
    run("-m", "pytest", "tests/study/world", "-k", "realworldqa or prompts_and_images")
