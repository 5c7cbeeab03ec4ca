"""The pipelines of the profiles: as the generator writes them, read by DVC, with the stages of the miniature."""

import shutil
from pathlib import Path

import pytest
import typer.main
import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage
from helpers import ROOT

from vtstudy.cli import app
from vtstudy.config import ConfigError, load
from vtstudy.pipeline import PipelineError, write_pipelines

pytestmark = pytest.mark.slow

PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/params.yaml"))
FETCHED = [name for name in PROFILES if load(ROOT / f"profiles/{name}/params.yaml").world is None]


@pytest.fixture(scope="module")
def stages() -> dict[str, PipelineStage]:
    """The stages of all pipelines by address, with all templates resolved."""
    with Repo(ROOT) as repo:
        return {stage.addressing: stage for stage in repo.index.stages}


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the files that the generator reads."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for name in PROFILES:
        (tmp_path / "profiles" / name).mkdir(parents=True)
        shutil.copy(ROOT / f"profiles/{name}/params.yaml", tmp_path / f"profiles/{name}")
    return tmp_path


def test_the_profiles_are_those_of_the_documents():
    assert set(PROFILES) == {"quick", "lite", "paper"}
    assert set(FETCHED) == {"lite", "paper"}


def test_the_committed_pipelines_are_what_the_generator_writes(copy):
    written = write_pipelines(copy)
    assert {path.relative_to(copy).as_posix() for path in written} == {
        "profiles/dvc.yaml",
        *(f"profiles/{name}/dvc.yaml" for name in PROFILES),
    }
    for path in written:
        assert path.read_text() == (ROOT / path.relative_to(copy)).read_text()


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_the_stages_of_the_miniature(name):
    """Only those that make models and data differ."""
    miniature = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    stages = yaml.safe_load((ROOT / f"profiles/{name}/dvc.yaml").read_text())["stages"]
    first = {"world"} if name not in FETCHED else {"fetch_data"}
    assert set(stages) == set(miniature) - {"world", "train", "train_derived"} | first


def test_every_stage_reads_the_parameters_of_its_profile(stages):
    commands = set(typer.main.get_command(app).commands)
    for address, stage in stages.items():
        path, _, _ = address.rpartition(":")
        if not path or path == "profiles/dvc.yaml":
            continue
        name = Path(path).parent.name
        program, command, *_ = stage.cmd.split()
        assert program == "vtstudy" and command in commands
        assert stage.cmd.endswith(f" --params profiles/{name}/params.yaml") and "README" not in stage.cmd
        assert Path(stage.wdir) == ROOT
        files = {dep.def_path for dep in stage.deps if hasattr(dep, "params")}
        assert files == {f"profiles/{name}/params.yaml"}
        written = {out.def_path for out in stage.outs}
        assert all(name in Path(out).parts for out in written), (address, written)


@pytest.mark.parametrize("name", FETCHED)
def test_every_model_is_fetched_by_one_stage(stages, name):
    config = load(ROOT / f"profiles/{name}/params.yaml")
    fetching = {
        out.def_path: stage for address, stage in stages.items() if "fetch_model" in address for out in stage.outs
    }
    for key, model in config.models.items():
        assert model.source is not None and model.checkpoint in fetching
        deps = {dep.def_path for dep in stages[f"profiles/{name}/dvc.yaml:answers@{key}"].deps}
        assert {model.checkpoint, config.evaluation.data} <= deps


def test_two_profiles_cannot_fetch_different_models_into_one_folder(copy):
    path = copy / "profiles/lite/params.yaml"
    path.write_text(path.read_text().replace("llava-hf/llava-1.5-7b-hf, revision: main", "a/b, revision: main"))
    with pytest.raises(PipelineError, match=r"data/models/llava-1\.5-7b"):
        write_pipelines(copy)


@pytest.mark.parametrize("name", ["other", "../lite"])
def test_a_profile_bears_the_name_of_its_folder(copy, name):
    path = copy / "profiles/lite/params.yaml"
    path.write_text(path.read_text().replace("profile: lite", f"profile: {name}"))
    with pytest.raises((PipelineError, ConfigError), match="profile"):
        write_pipelines(copy)
