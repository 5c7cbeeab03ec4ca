"""A method's stored predictions stay valid until code changes that they come from."""

import shutil
from pathlib import Path

import pytest

import vtprune
from vtprune.evaluation.errors import EvaluationError
from vtprune.evaluation.identity import code_digest, software
from vtprune.evaluation.sources import _imports as sources_of_imports
from vtprune.pruning import FastV, NoPruning, SpectralBudget

PACKAGE = Path(vtprune.__file__).parent


def digest(root: Path, *files: str) -> str:
    code_digest.cache_clear()
    sources_of_imports.cache_clear()
    return code_digest(frozenset(root / "pruning" / file for file in files), root)


@pytest.fixture
def root(tmp_path):
    return Path(shutil.copytree(PACKAGE, tmp_path / "vtprune", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        ("pruning/fitprune.py", {"fitprune.py"}),
        ("pruning/nms.py", {"adaptprune.py"}),
        ("pruning/fused.py", {"adaptprune.py"}),  # imported inside a function
        ("pruning/random.py", {"random3x3.py"}),
        ("pruning/spectra.py", {"spectral.py"}),
        ("pruning/__init__.py", set()),
        ("evaluation/store.py", set()),
        ("pruning/base.py", {"adaptprune.py", "fitprune.py", "random3x3.py", "spectral.py"}),
        ("models/attach.py", {"adaptprune.py", "fitprune.py", "random3x3.py", "spectral.py"}),
        ("evaluation/generation.py", {"adaptprune.py", "fitprune.py", "random3x3.py", "spectral.py"}),
    ],
)
def test_a_changed_file_changes_what_runs_it(root, changed, affected):
    files = ("adaptprune.py", "fitprune.py", "random3x3.py", "spectral.py")
    before = {file: digest(root, file) for file in files}
    with (root / changed).open("a") as file:
        file.write("# changed\n")
    assert {file for file in files if digest(root, file) != before[file]} == affected


def test_a_budget_is_part_of_the_code_and_another_method_is_not():
    codes = [software(method)["code"] for method in (FastV(0.1), FastV(SpectralBudget(0.9)), NoPruning())]
    assert len(set(codes)) == 3
    assert software(FastV(0.1)) == software(FastV(0.2))


def test_a_method_of_ones_own_is_told_apart_by_its_file(tmp_path, monkeypatch):
    code = "from vtprune.pruning.fastv import FastV\nclass Mine(FastV):\n    pass\n"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_method.py").write_text(code)
    from my_method import Mine

    assert software(Mine(0.1))["code"] != software(FastV(0.1))["code"]
    Mine.__module__ = "builtin_like"
    monkeypatch.setitem(__import__("sys").modules, "builtin_like", type(vtprune)("builtin_like"))
    with pytest.raises(EvaluationError, match="has no file"):
        software(Mine(0.1))
