"""What an experiment reads from params.yaml, and what its command line may change."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vtprune.evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Settings:
    """The section ``evaluation`` of params.yaml, with the experiment's own of ``figures``; and where things are written.

    Attributes:
        profile: miniature, lite or paper.
        checkpoint: a folder or a Hub id.
        data: the folder of the data sets; None for the Hub's.
        batch_size: questions at a time.
        keep: fraction of the image tokens that stay, in (0, 1].
        keeps: several such fractions in place of one; empty for the one.
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
    keeps: tuple[float, ...] = ()
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


@dataclass(frozen=True)
class FigureSettings(Settings):
    """Of a figure's experiment.

    Attributes:
        benchmarks: whose questions are shown to the model.
    """

    benchmarks: tuple[str, ...] = ()


def parse(name: str, argv: list[str] | None = None, kind: type[Any] = Settings) -> Any:
    """Settings of an experiment: params.yaml, then the command line.

    Args:
        name: of the experiment; the section ``figures.<name>`` of params.yaml goes before ``evaluation``.
        kind: which settings it has.

    Raises:
        EvaluationError: if params.yaml cannot be used.
    """
    parser = argparse.ArgumentParser(prog=f"python -m vtprune.experiments.{name}", description=f"Run {name}.")
    parser.add_argument("--params", default="params.yaml", help="read its keys profile, evaluation and figures")
    for field in fields(kind):
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=_reader(field.type), default=None, help=f"in place of {field.name} in params.yaml")
    given = vars(parser.parse_args(argv))
    settings = read(Path(given.pop("params")), name, kind)
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def read(path: Path, name: str = "", kind: type[Any] = Settings) -> Any:
    """Settings from a params.yaml.

    Args:
        name: of the experiment.
        kind: which settings it has.

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
    own = (params.get("figures") or {}).get(name) or {}
    common = {field.name for field in fields(Settings)}
    known = {field.name for field in fields(kind)}
    for section, keys, allowed in (("evaluation", params["evaluation"], common), (f"figures.{name}", own, known)):
        unknown = [key for key in keys if key not in allowed]
        if unknown:
            raise EvaluationError(f"{path}: '{section}.{unknown[0]}' is not known; known are {', '.join(sorted(allowed))}")
    values = {"profile": params.get("profile", Settings.profile), **params["evaluation"], **own}
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def _reader(kind: Any) -> Callable[[str], Any]:
    """What reads a field of that type off the command line; several values have commas between."""
    name = str(kind)
    if name.startswith("tuple"):
        one = float if "float" in name else str
        return lambda text: tuple(one(part) for part in text.split(","))
    return {"int": int, "float": float}.get(getattr(kind, "__name__", name).split(" ")[0], str)
