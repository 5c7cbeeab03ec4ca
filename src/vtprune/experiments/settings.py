"""What an experiment reads from params.yaml, and what its command line may change."""

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vtprune.evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Settings:
    """The section ``evaluation`` of params.yaml for one of its models, and where things are written.

    Attributes:
        profile: miniature, lite or paper.
        checkpoint: a folder or a Hub id; ``evaluation.models`` has one for each model.
        data: the folder of the data sets; None for the Hub's.
        batch_size: questions at a time.
        keep: fraction of the image tokens that stay, in (0, 1].
        limit: only so many questions of each task; None for all.
        max_new_tokens: at most so many, whatever a task says; None for the tasks' own.
        resamples, seed: of the bootstrap.
        device, dtype: None for a GPU if there is one, and the checkpoint's own precision.
        store: folder of predictions.
        reuse: another folder of predictions, which is only read; None for no other.
        out: folder of the results.
        name: of the files there, without suffix; None for the experiment's name.
    """

    profile: str
    checkpoint: str
    data: str | None = None
    batch_size: int = 32
    keep: float = 0.1
    limit: int | None = None
    max_new_tokens: int | None = None
    resamples: int = 2000
    seed: int = 0
    device: str | None = None
    dtype: str | None = None
    store: str = "data/predictions"
    reuse: str | None = None
    out: str = "reports/results"
    name: str | None = None

    @property
    def model(self) -> str:
        """The model's name in the results: a folder's name, or the Hub id."""
        folder = Path(self.checkpoint)
        return folder.resolve().name if folder.is_dir() else self.checkpoint


def parse(name: str, argv: list[str] | None = None) -> Settings:
    """Settings of an experiment: params.yaml, then the command line.

    Raises:
        EvaluationError: if params.yaml cannot be used, or it has no such model.
    """
    parser = argparse.ArgumentParser(prog=f"python -m vtprune.experiments.{name}", description=f"Run {name}.")
    parser.add_argument("--params", default="params.yaml", help="read its keys profile and evaluation")
    parser.add_argument("--model", help="one of evaluation.models in params.yaml (default: its first)")
    for field in fields(Settings):
        kind = {"int": int, "float": float}.get(str(getattr(field.type, "__name__", field.type)).split(" ")[0], str)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=kind, default=None, help=f"in place of {field.name} in params.yaml")
    given = vars(parser.parse_args(argv))
    settings = read(Path(given.pop("params")), given.pop("model"))
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def read(path: Path, model: str | None = None) -> Settings:
    """Settings from a params.yaml, with the checkpoint of ``model`` (default: of the first one).

    Raises:
        EvaluationError: if there is no such file or model, or a key is not known.
    """
    params = load(path)
    given = dict(params["evaluation"])
    models = given.pop("models")
    name = model or next(iter(models))
    if name not in models:
        raise EvaluationError(f"{path}: 'evaluation.models' has no {name}; it has {', '.join(models)}")
    known = {field.name for field in fields(Settings)} - {"profile", "checkpoint", "name"}
    unknown = [key for key in given if key not in known]
    if unknown:
        raise EvaluationError(f"{path}: 'evaluation.{unknown[0]}' is not known; known are {', '.join(sorted(known | {'models'}))}")
    return Settings(profile=params["profile"], checkpoint=models[name]["checkpoint"], **given)


def load(path: Path) -> dict[str, Any]:
    """A params.yaml as plain data, with ``profile`` and ``evaluation.models`` as they should be.

    Raises:
        EvaluationError: if they are not.
    """
    import yaml

    try:
        params: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise EvaluationError(f"{path} is not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(params, dict) or not isinstance(params.get("evaluation"), dict):
        raise EvaluationError(f"{path} has no section 'evaluation'")
    if not isinstance(params.get("profile"), str):
        raise EvaluationError(f"{path} does not name its 'profile'")
    models = params["evaluation"].get("models")
    if not isinstance(models, dict) or not models:
        raise EvaluationError(f"{path} has no table 'evaluation.models'")
    for name, model in models.items():
        if not isinstance(model, dict) or set(model) != {"checkpoint", "paper"}:
            raise EvaluationError(f"{path}: 'evaluation.models.{name}' must have the keys checkpoint and paper, and no others")
    return params
