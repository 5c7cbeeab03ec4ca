"""The pipeline names all that its stages run."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from helpers import ROOT

from vtprune.methods import methods
from vtstudy.evaluation.import_graph import module_files, sources

PACKAGE = ROOT / "src/vtprune"
# A stage with `foreach` has what it runs under `do`.
STAGES = {
    name: stage.get("do", stage) for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
TABLES = [name for name in STAGES if name.startswith("table")]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


def _named_methods(stage: dict, files: set[Path]) -> set[Path]:
    """The files of the methods that a stage names in strings: in its sources, or in its parameters."""
    strings = set(re.split(r"[\s,]+", stage["cmd"])) | {
        node.value
        for file in files
        if file.parent.name in ("experiments", "cost")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
    }
    keys = [key for key in stage.get("params", ()) if isinstance(key, str) and key.startswith("figures.")]
    for settings in (PARAMS["figures"][key.partition(".")[2]] for key in keys):
        strings |= {name for value in settings.values() if isinstance(value, list) for name in value}
    return {
        PACKAGE / "pruning" / f"{cls.__module__.rpartition('.')[2]}.py"
        for name, cls in methods().items()
        if name in strings
    }


def _runs(stage: dict) -> set[Path]:
    words = stage["cmd"].split()
    module = words[words.index("-m") + 1]
    main = PACKAGE.parent.joinpath(*module.split("."), "__main__.py")
    found = sources(module_files(module, PACKAGE) + [main] * main.is_file(), PACKAGE)
    return sources([*found, *_named_methods(stage, found)], PACKAGE)


def _depends(stage: dict, file: Path) -> bool:
    named = [ROOT / dep for dep in stage["deps"]]
    return any(file == dep or dep in file.parents for dep in named)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_every_source_file_that_it_runs(name):
    runs = _runs(STAGES[name])
    assert len(runs) > 2
    missing = [f for f in runs if not _depends(STAGES[name], f)]
    assert not missing, f"stage {name} runs files that are not among its deps: {sorted(map(str, missing))}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_no_method_that_it_does_not_run(name):
    """So that changing a method's file re-runs what uses it, and nothing else."""
    superfluous = {f for f in (PACKAGE / "pruning").glob("*.py") if _depends(STAGES[name], f)} - _runs(STAGES[name])
    assert not superfluous, f"stage {name} does not run {sorted(map(str, superfluous))}"


def test_changing_fitprune_re_runs_table_5_and_what_is_made_of_it():
    """The issue's own words, on the pipeline as DVC reads it."""
    file = PACKAGE / "pruning/fitprune.py"
    assert [name for name, stage in STAGES.items() if _depends(stage, file)] == ["table5"]


def test_the_registry_only_imports():
    """No stage depends on it: a method more is no reason to run anything again."""
    body = ast.parse((PACKAGE / "pruning/__init__.py").read_text()).body
    assert all(isinstance(node, ast.ImportFrom | ast.Assign | ast.AugAssign | ast.Expr) for node in body)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_depends_on_the_checkpoint_and_data_that_params_name(name):
    """Their paths are not written twice, and every setting that may change a result is among the parameters."""
    stage = STAGES[name]
    one, each = "${evaluation.models.llava-7b.checkpoint}", "${item.checkpoint}"
    assert "${evaluation.data}" in stage["deps"] and {one, each} & set(stage["deps"])
    model = "${key}" if each in stage["deps"] else "llava-7b"
    assert f"--model {model}" in stage["cmd"]
    assert set(stage["params"]) == {
        "profile",
        f"evaluation.models.{model}",
        *(f"evaluation.{key}" for key in PARAMS["evaluation"] if key != "models"),
    }


def test_results_are_collected_from_what_the_experiments_write():
    words = STAGES["results"]["cmd"].split()
    named = words[words.index("vtstudy.experiments.collect") + 1 :]
    assert {*named, *(name.replace(".csv", ".json") for name in named)} <= set(STAGES["results"]["deps"])
    with Repo(ROOT) as repo:
        written = {out.def_path for stage in repo.index.stages for out in stage.outs if stage.name != "timings"}
    # An experiment writes its scores and, beside them, the facts of its run.
    assert set(named) == {
        path for path in written if path.endswith(".csv") and path.replace(".csv", ".json") in written
    }


def test_every_notebook_is_executed_and_none_holds_outputs():
    named = {Path(dep) for dep in STAGES["notebooks"]["deps"] if dep.endswith(".ipynb")}
    assert named == {f.relative_to(ROOT) for f in (ROOT / "notebooks").glob("*.ipynb")} and len(named) >= 5
    reading_order = (ROOT / "notebooks/README.md").read_text()
    for path in named:
        cells = json.loads((ROOT / path).read_text())["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path
        assert f"({path.name})" in reading_order and f"notebooks/{path.stem}.html)" in reading_order


def test_the_lock_file_names_no_host():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(lines) > 50
    assert not [line for line in lines if "://" in line or "@" in line.split(";")[0] or line.startswith("-")]
