"""The pipelines of the profiles, written from the one in dvc.yaml.

`dvc.yaml` and `params.yaml` are the pipeline of the miniature. Every folder `profiles/<name>/` with a `params.yaml`
gets a `dvc.yaml` with the same stages, which read that file and write under that profile's name. Only the first stages
differ: models and data are fetched in place of being trained and rendered. The stages that fetch models are in
`profiles/dvc.yaml`, because several profiles have the same models, and DVC allows one stage for each output.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vtprune.errors import UserError
from vtstudy.config import Config, Model, load

FOLDER = "profiles"
TRAINING = ("train", "train_derived")
WORLD = "world"
FILLS_README = " --readme README.md"
"""The part of a command that fills the table in the README, which shows the miniature's results alone."""

Stage = dict[str, Any]


class PipelineError(UserError):
    """A pipeline that cannot be written."""


def write_pipelines(root: Path) -> list[Path]:
    """Write the pipelines of all profiles below a folder; returns their files. The same input gives the same bytes.

    Args:
        root: the folder of dvc.yaml and `profiles/`.

    Raises:
        PipelineError: if dvc.yaml cannot be read, or two profiles fetch different models into one folder.
        ConfigError: if the parameters of a profile are wrong, or its name is not that of its folder.
    """
    source = _read(root / "dvc.yaml")
    profiles = {path.parent.name: load(path) for path in sorted((root / FOLDER).glob("*/params.yaml"))}
    for name, config in profiles.items():
        if config.profile != name:
            raise PipelineError(
                f"{FOLDER}/{name}/params.yaml must have 'profile: {name}', as its folder, not {config.profile!r}"
            )
    texts = {root / FOLDER / name / "dvc.yaml": _profile(source, name, config) for name, config in profiles.items()}
    texts[root / FOLDER / "dvc.yaml"] = _models(profiles)
    for path, stages in texts.items():
        path.write_text(_text(stages), encoding="utf-8")
    return list(texts)


def _read(path: Path) -> dict[str, Stage]:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, TypeError, KeyError, yaml.YAMLError) as error:
        raise PipelineError(f"{path} must be the pipeline of the miniature, with 'stages'") from error


def _text(stages: Mapping[str, Stage]) -> str:
    body = yaml.safe_dump({"stages": dict(stages)}, sort_keys=False, width=120, allow_unicode=True)
    return f"# Written by `vtstudy pipeline` from dvc.yaml and params.yaml of the profiles; do not edit.\n{body}"


def _profile(source: Mapping[str, Stage], name: str, config: Config) -> dict[str, Stage]:
    """The stages of a profile."""
    params = f"{FOLDER}/{name}/params.yaml"
    stages: dict[str, Stage] = {} if config.world is not None else {"fetch_data": _fetch_data(params)}
    for stage_name, stage in source.items():
        if stage_name in TRAINING or (stage_name == WORLD and config.world is None):
            continue  # the stand-ins are those of the top-level pipeline
        if "foreach" in stage:
            each = stage["foreach"]
            if each == "${models}" and "${item.table}" in stage["do"]["cmd"]:  # not of models that no table prints
                each = {key: _entry(model) for key, model in config.models.items() if model.table is not None}
            stages[stage_name] = {"foreach": each, "do": _of_profile(stage["do"], params)}
        else:
            stages[stage_name] = _of_profile(stage, params)
    section = config.experiments.eadaprune
    of_others = [_checkpoint(key) for key in (section.backbones if section is not None else ())]
    first = _checkpoint(config.model_key())
    deps = stages["spectra"]["deps"]
    stages["spectra"]["deps"] = [dep for dep in deps if dep == first or not dep.startswith("${models.")] + of_others
    return stages


def _checkpoint(model: str) -> str:
    """A model's checkpoint, as dvc.yaml names it."""
    return f"${{models.{model}.checkpoint}}"


def _entry(model: Model) -> dict[str, str | None]:
    return {"table": model.table, "checkpoint": model.checkpoint}


def _of_profile(stage: Stage, params: str) -> Stage:
    """A stage that runs in the top folder with another file of parameters."""
    changed: Stage = {}
    for key, value in stage.items():
        if key == "cmd":
            changed[key] = f"{value.removesuffix(FILLS_README)} --params {params}"
            changed["wdir"] = "../.."
        elif key == "params":
            changed[key] = [{params: list(value)}]
        else:
            changed[key] = list(value) if isinstance(value, list) else value
    return changed


def _fetch_data(params: str) -> Stage:
    wanted = ["evaluation", "experiments", "models", "spectra", "downloads"]
    return {
        "desc": "The questions that the profile asks, from the data sets on the Hugging Face Hub",
        "cmd": f"vtstudy fetch data --params {params}",
        "wdir": "../..",
        "params": [{params: wanted}],
        "outs": [{"${evaluation.data}": {"cache": False, "persist": True}}],
    }


def _models(profiles: Mapping[str, Config]) -> dict[str, Stage]:
    """A stage for each model that is fetched."""
    stages: dict[str, Stage] = {}
    sources: dict[str, Any] = {}
    for name, config in profiles.items():
        for key, model in config.models.items():
            if model.source is None:
                continue
            if sources.setdefault(model.checkpoint, model.source) != model.source:
                raise PipelineError(
                    f"{FOLDER}/{name}/params.yaml fetches {model.source.id} at {model.source.revision} into "
                    f"{model.checkpoint}, and another profile fetches something else into it: name another folder"
                )
            stages.setdefault(
                f"fetch_model_{Path(model.checkpoint).name}",
                {
                    "desc": f"The checkpoint {model.source.id} from the Hugging Face Hub",
                    "cmd": f"vtstudy fetch model {key} --params {FOLDER}/{name}/params.yaml",
                    "wdir": "..",
                    "params": [{f"{FOLDER}/{name}/params.yaml": [f"models.{key}.source"]}],
                    "outs": [{model.checkpoint: {"cache": False, "persist": True}}],
                },
            )
    return stages
