"""Stored results stay valid until code changes its meaning that they come from."""

import importlib
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vtprune.methods import Count, FastV, NoPruning, SpectralBudget
from vtprune.stages import Budget
from vtstudy.evaluation.cache_key import ANSWERING, defining_modules, meaning, method_key
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.import_graph import PACKAGES, SOURCES

pytestmark = pytest.mark.slow

METHODS = ("adaptprune", "fitprune", "random3x3", "spectral_budget")
FAMILY = ["vtprune.attach.families.llava"]
RANKINGS = {"adaptprune", "fitprune", "random3x3"}


def copied(folder: Path) -> Path:
    """A copy of the sources."""
    for package in PACKAGES:
        shutil.copytree(SOURCES / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new, 1))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def affected(sources: Path) -> set[str]:
    """The methods whose code does something else in the copy."""

    def code(name: str, folder: Path) -> str:
        return meaning([f"vtprune.methods.{name}", *ANSWERING, *FAMILY], folder)

    return {name for name in METHODS if code(name, sources) != code(name, SOURCES)}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("vtprune/methods/fitprune.py", {"fitprune"}),
        ("vtprune/ops/nms.py", {"adaptprune"}),
        ("vtprune/ops/nms_triton.py", {"adaptprune"}),  # it is imported inside a function
        ("vtprune/methods/random.py", {"random3x3"}),
        ("vtprune/ops/spectrum.py", {"spectral_budget"}),
        ("vtprune/methods/base.py", RANKINGS),
        ("vtprune/attach/attachment.py", set(METHODS)),
        ("vtprune/attach/inference.py", set(METHODS)),
        ("vtprune/attach/families/llava.py", set(METHODS)),
        ("vtprune/attach/families/internvl.py", set()),  # answers of LLaVA do not depend on it
        ("vtprune/attach/families/__init__.py", set()),
        ("vtprune/__init__.py", set()),
        ("vtprune/methods/__init__.py", set()),
        ("vtstudy/evaluation/answer_cache.py", set()),
    ],
)
def test_a_changed_file_affects_the_methods_that_use_it(tmp_path, file, expected):
    sources = copied(tmp_path)
    append(sources / file, "\nCHANGED = 1\n")
    assert affected(sources) == expected


def test_comments_docstrings_annotations_and_error_texts_do_not_count(tmp_path):
    sources = copied(tmp_path)
    path = sources / "vtprune/methods/fitprune.py"
    lines = path.read_text().splitlines()
    index = next(number for number, line in enumerate(lines) if "def select(" in line)
    lines[index] = "    def select(self, features, counts):"
    lines[index + 1 : index + 1] = ['        """A new docstring."""', "        # a new comment", ""]
    lines[index + 4] = lines[index + 4].replace("features.received()", "cast(Any, features).received()")
    assert "cast" in lines[index + 4]
    lines.insert(next(number for number, line in enumerate(lines) if line.startswith("from vtprune")), TYPING)
    path.write_text('"""A new module docstring."""\n' + "\n".join(lines) + "\n")
    append(sources / "vtprune/methods/base.py", "\n\n# a comment\n")
    append(sources / "vtprune/errors.py", "\n\nclass OtherError(UserError):\n    pass\n")
    edit(sources / "vtprune/stages.py", "must lie between", "has to lie between")
    assert affected(sources) == set()


def test_a_changed_constant_affects_its_method_alone(tmp_path):
    sources = copied(tmp_path)
    edit(sources / "vtprune/methods/fitprune.py", "from_text * from_image,", "from_text * from_image * 2,")
    assert affected(sources) == {"fitprune"}


TYPING = "from typing import TYPE_CHECKING, Any, cast\nif TYPE_CHECKING:\n    from vtprune.ops.spectrum import spectrum"
USER_METHOD = """
{imports}
class Mine(AdaptPrune):
    pass
"""


@pytest.mark.parametrize(
    "imports",
    [
        "from vtprune import AdaptPrune",
        "from vtprune.methods import AdaptPrune",
        "from vtprune.methods import *",
        "from vtprune.methods.adaptprune import AdaptPrune",
        "import vtprune\nAdaptPrune = vtprune.AdaptPrune",
        "from beside import AdaptPrune",
        "import beside\nAdaptPrune = beside.AdaptPrune",
    ],
)
def test_a_method_of_a_user_is_made_of_what_it_imports(tmp_path, monkeypatch, imports):
    user = tmp_path / "user"
    user.mkdir()
    (user / "beside.py").write_text("from vtprune import AdaptPrune\n")
    name = tmp_path.name  # the meaning of a module is computed once in a process
    (user / f"{name}.py").write_text(USER_METHOD.format(imports=imports))
    monkeypatch.syspath_prepend(user)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    importlib.import_module(name)
    before = meaning([name])
    cached, nms = copied(tmp_path / "cached"), copied(tmp_path / "nms")
    append(cached / "vtstudy/evaluation/answer_cache.py", "\nCHANGED = 1\n")
    append(nms / "vtprune/ops/nms.py", "\nCHANGED = 1\n")
    assert meaning([name], cached) == before != meaning([name], nms)


def test_a_user_method_in_a_package_follows_its_own_package(tmp_path, monkeypatch):
    digests = []
    for number, values in enumerate(({"constants": 1, "other": 1}, {"constants": 1, "other": 2}, {"constants": 2})):
        package = tmp_path / str(number) / "my_package"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from my_package.method import Mine\n")
        for name, value in values.items():
            (package / f"{name}.py").write_text(f"LAYER = {value}\n")
        (package / "method.py").write_text(
            "from vtprune import FastV\nfrom .constants import LAYER\nclass Mine(FastV):\n    layer = LAYER\n"
        )
        sources = copied(tmp_path / f"sources-{number}")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(package.parent)
            for module in ("my_package", "my_package.method", "my_package.constants"):
                patch.delitem(sys.modules, module, raising=False)
            importlib.import_module("my_package.method")
            digests.append(meaning(["my_package.method"], sources))
    assert digests[0] == digests[1] != digests[2]


def test_the_budget_is_part_of_the_code_and_parameters_are_not():
    methods = (FastV(0.1), FastV(SpectralBudget(0.9)), NoPruning())
    assert len({method_key(method, FAMILY)["software"]["code"] for method in methods}) == 3
    assert method_key(FastV(0.1), FAMILY)["software"] == method_key(FastV(0.2), FAMILY)["software"]
    assert method_key(FastV(0.1), FAMILY)["method"] != method_key(FastV(0.2), FAMILY)["method"]


def test_a_budget_in_a_budget_is_part_of_the_code():
    @dataclass(frozen=True)
    class Capped(Count):
        inner: Budget = field(default_factory=lambda: SpectralBudget(0.9))

    assert "vtprune.methods.spectral_budget" in defining_modules(FastV(Capped(3)))
    assert "vtprune.methods.spectral_budget" not in defining_modules(FastV(Count(3)))


def test_a_method_without_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_base.py").write_text("from vtprune.methods.fastv import FastV\nclass Base(FastV):\n    pass\n")
    (tmp_path / "my_method.py").write_text("from my_base import Base\nclass Mine(Base):\n    pass\n")
    from my_method import Mine

    assert defining_modules(Mine(0.1)) > {"my_base", "my_method", "vtprune.methods.fastv"}
    assert method_key(Mine(0.1), FAMILY)["software"] != method_key(FastV(0.1), FAMILY)["software"]
    nameless = type("Nameless", (FastV,), {"__module__": "__nowhere__"})
    with pytest.raises(EvaluationError, match="__nowhere__"):
        method_key(nameless(0.1), FAMILY)
