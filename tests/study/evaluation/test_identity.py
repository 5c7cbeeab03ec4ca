"""A method's stored predictions stay valid until code changes that they come from."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import vtprune
from vtprune.methods import Count, FastV, NoPruning, SpectralBudget
from vtprune.stages import Budget
from vtstudy.evaluation.cache_key import _modules, code_digest, software
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.import_graph import _imports as sources_of_imports

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


def test_a_budget_in_a_budget_is_part_of_the_code():
    @dataclass(frozen=True)
    class Capped(Count):
        inner: Budget = SpectralBudget(0.9)

    assert "vtprune.methods.spectral_budget" in _modules(FastV(Capped(3)))
    assert "vtprune.methods.spectral_budget" not in _modules(FastV(Count(3)))


OWN = """
{imported}
class Mine(AdaptPrune):
    pass
"""


@pytest.mark.parametrize(
    "imported",
    [
        "from vtprune import AdaptPrune",
        "from vtprune.methods import AdaptPrune",
        "from vtprune.methods import *",
        "from vtprune.methods.adaptprune import AdaptPrune",
        "import vtprune\nAdaptPrune = vtprune.AdaptPrune",
        "from vtprune import pruning\nAdaptPrune = pruning.AdaptPrune",
        "from vtprune.api import AdaptPrune",
        "from beside import AdaptPrune",
        "import beside\nAdaptPrune = beside.AdaptPrune",
    ],
)
@pytest.mark.parametrize(
    ("changed", "affected"), [("pruning/nms.py", True), ("pruning/base.py", True), ("evaluation/store.py", False)]
)
def test_a_method_of_ones_own_is_made_of_what_it_imports(root, tmp_path, imported, changed, affected):
    (tmp_path / "beside.py").write_text("from vtprune import AdaptPrune\n")
    (tmp_path / "mine.py").write_text(OWN.format(imported=imported))
    before = digest(root, str(tmp_path / "mine.py"))
    with (root / changed).open("a") as file:
        file.write("# changed\n")
    assert (digest(root, str(tmp_path / "mine.py")) != before) == affected


def test_a_method_of_ones_own_is_told_apart_by_its_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_base.py").write_text("from vtprune.methods.fastv import FastV\nclass Base(FastV):\n    pass\n")
    (tmp_path / "my_method.py").write_text("from my_base import Base\nclass Mine(Base):\n    pass\n")
    from my_method import Mine

    assert _modules(Mine(0.1)) > {"my_base", "my_method", "vtprune.methods.fastv"}
    assert software(Mine(0.1))["code"] != software(FastV(0.1))["code"]
    monkeypatch.delattr(sys.modules["my_method"], "__file__")
    with pytest.raises(EvaluationError, match="module my_method has no file"):
        software(Mine(0.1))
