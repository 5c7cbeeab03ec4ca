"""What an experiment reads from params.yaml, and what its command line may change."""

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vtprune.evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Settings:
    """The section ``evaluation`` of params.yaml, and where things are written.

    Attributes:
        profile: miniature, lite or paper.
        checkpoint: a folder or a Hub id.
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
    """

    profile: str = "miniature"
    checkpoint: str = "data/checkpoints/miniature-llava"
    data: str | None = "data/miniature"
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

    @property
    def model(self) -> str:
        """The model's name in the results: a folder's name, or the Hub id."""
        folder = Path(self.checkpoint)
        return folder.resolve().name if folder.is_dir() else self.checkpoint


def parse(name: str, argv: list[str] | None = None) -> Settings:
    """Settings of an experiment: params.yaml, then the command line.

    Raises:
        EvaluationError: if params.yaml cannot be used.
    """
    parser = argparse.ArgumentParser(prog=f"python -m vtprune.experiments.{name}", description=f"Run {name}.")
    parser.add_argument("--params", default="params.yaml", help="read its keys profile and evaluation")
    for field in fields(Settings):
        kind = {"int": int, "float": float}.get(str(getattr(field.type, "__name__", field.type)).split(" ")[0], str)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=kind, default=None, help=f"in place of {field.name} in params.yaml")
    given = vars(parser.parse_args(argv))
    settings = read(Path(given.pop("params")))
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def read(path: Path) -> Settings:
    """Settings from a params.yaml.

    Raises:
        EvaluationError: if there is none, or a key is not known.
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
    known = {field.name for field in fields(Settings)}
    unknown = [key for key in params["evaluation"] if key not in known]
    if unknown:
        raise EvaluationError(f"{path}: 'evaluation.{unknown[0]}' is not known; known are {', '.join(sorted(known))}")
    return Settings(**{"profile": params.get("profile", Settings.profile), **params["evaluation"]})
