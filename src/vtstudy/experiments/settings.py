"""What an experiment reads from params.yaml, and what its command line may change."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vtstudy.evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Settings:
    """The section ``evaluation`` of params.yaml for one of its models, with the experiment's own of ``figures``;
    and where things are written.

    Attributes:
        profile: miniature, lite or paper.
        checkpoint: a folder or a Hub id; ``evaluation.models`` has one for each model.
        data: the folder of the data sets; None for the Hub's.
        batch_size: questions at a time.
        keep: fraction of the image tokens that stay, in (0, 1].
        keeps: several such fractions in place of one; empty for the one.
        limit: only so many questions of each benchmark, or by benchmark (others: ``default``); None for all.
            A model of ``evaluation.models`` may have one of its own.
        max_new_tokens: at most so many, whatever a task says; None for the tasks' own.
        resamples, seed: of the bootstrap.
        device, dtype: None for a GPU if there is one, and the checkpoint's own precision.
        store: folder of predictions.
        reuse: another folder of predictions, which is only read; None for no other.
        out: folder of the results.
        name: of the files there, without suffix; None for the experiment's name.
    """

    profile: str = "miniature"
    checkpoint: str = "data/checkpoints/miniature-llava"
    data: str | None = None
    batch_size: int = 32
    keep: float = 0.1
    keeps: tuple[float, ...] = ()
    limit: int | dict[str, int | None] | None = None
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
    parser = argparse.ArgumentParser(prog=f"python -m vtstudy.experiments.{name}", description=f"Run {name}.")
    parser.add_argument("--params", default="params.yaml", help="read its keys profile, evaluation and figures")
    parser.add_argument("--model", help="one of evaluation.models in params.yaml (default: its first)")
    for field in fields(kind):
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(
            option, type=_reader(field.type), default=None, help=f"in place of {field.name} in params.yaml"
        )
    given = vars(parser.parse_args(argv))
    settings = read(Path(given.pop("params")), name, kind, given.pop("model"))
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def read(path: Path, name: str = "", kind: type[Any] = Settings, model: str | None = None) -> Any:
    """Settings from a params.yaml.

    Args:
        name: of the experiment.
        kind: which settings it has.
        model: whose checkpoint; None for the first of ``evaluation.models``.

    Raises:
        EvaluationError: if there is no such file or model, or a key is not known.
    """
    params = load(path)
    evaluation = dict(params["evaluation"])
    models = evaluation.pop("models")
    model = model or next(iter(models))
    if model not in models:
        raise EvaluationError(f"{path}: 'evaluation.models' has no {model}; it has {', '.join(models)}")
    own = (params.get("figures") or {}).get(name) or {}
    common = {field.name for field in fields(Settings)} - {"profile", "checkpoint", "name"}
    known = {field.name for field in fields(kind)} - {"profile", "checkpoint", "name"}
    for section, keys, allowed in (("evaluation", evaluation, common), (f"figures.{name}", own, known)):
        unknown = [key for key in keys if key not in allowed]
        if unknown:
            raise EvaluationError(
                f"{path}: '{section}.{unknown[0]}' is not known; known are {', '.join(sorted(allowed))}"
            )
    chosen = {key: value for key, value in models[model].items() if key != "paper"}
    values = {"profile": params["profile"], **evaluation, **chosen, **own}
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def load(path: Path) -> dict[str, Any]:
    """A params.yaml as plain data, with ``profile``, ``evaluation.models`` and all limits as they should be.

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
    for name, entry in models.items():
        if not isinstance(entry, dict) or set(entry) - {"limit"} != {"checkpoint", "paper"}:
            raise EvaluationError(
                f"{path}: 'evaluation.models.{name}' must have the keys checkpoint and paper, may have limit, and no others"
            )
        _check_limit(path, f"evaluation.models.{name}.limit", entry.get("limit"))
    _check_limit(path, "evaluation.limit", params["evaluation"].get("limit"))
    return params


def _check_limit(path: Path, key: str, limit: Any) -> None:
    """Numbers of questions; whether a benchmark of that name exists is asked where the limit is used."""
    for number in limit.values() if isinstance(limit, dict) else [limit]:
        if number is not None and not (type(number) is int and number >= 1):
            raise EvaluationError(
                f"{path}: '{key}' must be a number of questions, at least 1, or such numbers by benchmark, not {number!r}"
            )


def _reader(kind: Any) -> Callable[[str], Any]:
    """What reads a field of that type off the command line; several values have commas between."""
    name = str(kind)
    if name.startswith("tuple"):
        one = float if "float" in name else str
        return lambda text: tuple(one(part) for part in text.split(","))
    return {"int": int, "float": float}.get(getattr(kind, "__name__", name).split(" ")[0], str)
