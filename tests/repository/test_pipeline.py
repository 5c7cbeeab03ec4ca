"""The pipeline in dvc.yaml: its stages run every experiment, and depend on packages and on all of their settings."""

import json
import re
from pathlib import Path

import pytest
import typer.main
import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage
from helpers import ROOT

from vtstudy.cli import app
from vtstudy.config import Evaluation, load
from vtstudy.experiments.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

CONFIG = load(ROOT / "params.yaml")
SCORES = "reports/miniature/results/scores"


@pytest.fixture(scope="module")
def stages() -> dict[str, PipelineStage]:
    """The stages by name, with all templates resolved."""
    with Repo(ROOT) as repo:
        return {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}


def deps_of(stage: PipelineStage) -> set[str]:
    """The paths that a stage depends on."""
    return {dep.def_path for dep in stage.deps if not hasattr(dep, "params")}


def params_of(stage: PipelineStage) -> set[str]:
    """The keys of params.yaml that a stage depends on."""
    return {key for dep in stage.deps if hasattr(dep, "params") for key in dep.params}


def outs_of(stage: PipelineStage) -> set[str]:
    """The paths that a stage writes."""
    return {out.def_path for out in stage.outs}


def test_stages_depend_on_packages_not_on_source_files():
    text = (ROOT / "dvc.yaml").read_text()
    assert not re.findall(r"[\w/]+\.py\b", text)
    assert len(text.splitlines()) <= 260


def test_the_lock_names_no_stage_that_is_gone(stages):
    """DVC keeps such entries, and reads and writes all of them after each stage."""
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    assert locked and set(locked) <= set(stages)


def test_every_stage_runs_a_command_that_there_is(stages):
    commands = typer.main.get_command(app).commands
    for stage in stages.values():
        program, command, *_ = stage.cmd.split()
        assert program == "vtstudy" and command in commands, stage.cmd


def test_every_experiment_is_run_on_every_one_of_its_models(stages):
    stems = [entry.file_stem(CONFIG, model) for entry in EXPERIMENTS.values() for model in entry.models(CONFIG)]
    expected = {f"{SCORES}/{stem}{suffix}" for stem in stems for suffix in (".csv", ".json")}
    written = {path for stage in stages.values() for path in outs_of(stage) if path.startswith(SCORES)}
    assert written == expected
    assert SCORES in deps_of(stages["results"])


def test_every_model_is_answered_before_its_tables(stages):
    for key, model in CONFIG.models.items():
        assert outs_of(stages[f"answers@{key}"]) == {f"data/answered/miniature/{key}.csv"}
        for stage in (stages[f"answers@{key}"], stages[f"main_table@{key}"]):
            assert {model.checkpoint, CONFIG.evaluation.data, "src/vtprune", "src/vtstudy"} <= deps_of(stage)
            assert {"profile", "evaluation", f"models.{key}"} <= params_of(stage)
        assert f"data/answered/miniature/{key}.csv" in deps_of(stages[f"main_table@{key}"])
    assert "experiments" in params_of(stages["answers@llava-7b"])


@pytest.mark.parametrize("kind", ["table", "spectral", "figure"])
def test_the_other_experiments_depend_on_all_their_settings(stages, kind):
    for name, stage in stages.items():
        if name.partition("@")[0] == kind:
            experiment = name.partition("@")[2]
            assert {"profile", "evaluation", "models.llava-7b"} <= params_of(stage)
            if EXPERIMENTS[experiment].section(CONFIG) is not None:
                assert f"experiments.{experiment}" in params_of(stage)
            assert {CONFIG.models["llava-7b"].checkpoint, CONFIG.evaluation.data} <= deps_of(stage)


def test_the_explorer_is_made_after_the_answers_that_it_shows(stages):
    stage = stages["explorer"]
    assert {f"{SCORES}/methods.csv", CONFIG.models["llava-7b"].checkpoint, CONFIG.evaluation.data} <= deps_of(stage)
    wanted = {"profile", "evaluation", "experiments.methods", "experiments.explorer", "models.llava-7b"}
    assert wanted <= params_of(stage)
    assert outs_of(stage) == {"reports/miniature/results/explorer"}
    assert "reports/miniature/results" in deps_of(stages["report"])
    assert "reports/miniature/explorer" in outs_of(stages["report"])


def test_all_settings_of_an_evaluation_are_in_one_section():
    """So that the stages, which depend on this section, depend on all of them."""
    assert set(CONFIG.evaluation.model_fields_set) <= set(Evaluation.model_fields)
    assert set(CONFIG.model_fields_set) == {
        "profile",
        "models",
        "evaluation",
        "experiments",
        "spectra",
        "timing",
        "world",
        "training",
        "derived",
        "report",
    }


def test_stored_answers_are_a_cache_and_not_an_output(stages):
    paths = {path for stage in stages.values() for path in outs_of(stage) | deps_of(stage)}
    assert not [path for path in paths if path.startswith("data/answers")]
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"/data/answers", "/data/answered"} <= set(ignored)


def test_every_notebook_is_listed_and_holds_no_outputs(stages):
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert "notebooks" in deps_of(stages["notebooks"]) and notebooks
    reading_order = (ROOT / "notebooks/README.md").read_text()
    for path in notebooks:
        cells = json.loads(path.read_text())["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path
        assert f"({path.name})" in reading_order and f"notebooks/{path.stem}.html)" in reading_order


def test_the_lock_file_names_no_host():
    lines = Path(ROOT / "requirements.lock").read_text().splitlines()
    assert len(lines) > 50
    assert not [line for line in lines if "://" in line or "@" in line.split(";")[0] or line.startswith("-")]
