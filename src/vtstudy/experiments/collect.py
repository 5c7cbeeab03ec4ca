"""``python -m vtstudy.experiments.collect``: one results.csv and one provenance.json out of all experiments'."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vtstudy.evaluation.errors import EvaluationError


def collect(files: Sequence[Path], out: Path) -> list[str]:
    """Write ``results.csv`` and ``provenance.json`` to ``out``; returns the runs' names, in their order.

    Args:
        files: CSVs of experiments; beside each stands the JSON of its facts.

    Raises:
        EvaluationError: if one or its facts cannot be read, or they do not belong together.
    """
    header, lines, runs = None, [], {}
    for path in files:
        try:
            first, *rest = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise EvaluationError(f"{path} cannot be read ({error.strerror}): run its experiment first") from error
        except ValueError as error:
            raise EvaluationError(f"{path} holds no results") from error
        if header not in (None, first):
            raise EvaluationError(f"{path} has other columns than {files[0].name}")
        header = first
        lines += rest
        try:
            runs[path.stem] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EvaluationError(
                f"{path.with_suffix('.json')} cannot be read, so it is not known what was run"
            ) from error
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    (out / "provenance.json").write_text(json.dumps(_joined(runs), indent=2) + "\n", encoding="utf-8")
    return list(runs)


def _joined(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The facts of all: common ones as they are, times and counts added up."""
    profiles = sorted({run["profile"] for run in runs.values()})
    if len(profiles) > 1:
        raise EvaluationError(f"the experiments were run under different profiles: {', '.join(profiles)}")
    joined: dict[str, Any] = {"profile": profiles[0]}
    for key in ("commit", "model", "checkpoint", "checkpoint_digest", "versions", "machine"):
        joined[key] = _common({name: run.get(key) for name, run in runs.items()})
    settings = [run.get("parameters") or {} for run in runs.values()]
    joined["parameters"] = {
        key: _common(
            {name: run["parameters"][key] for name, run in runs.items() if key in (run.get("parameters") or {})}
        )
        for key in dict.fromkeys(key for own in settings for key in own)
    }
    joined["dirty"] = any(run.get("dirty") for run in runs.values())
    joined["seconds"] = round(sum(run["seconds"] for run in runs.values()), 1)
    for count in ("answers", "prompts_shown"):
        joined[count] = sum(run[count] for run in runs.values())
    joined["seconds_by_experiment"] = {name: run["seconds"] for name, run in runs.items()}
    return joined


def _common(values: dict[str, Any]) -> Any:
    """The one value of all experiments, or each one's."""
    first = next(iter(values.values()))
    return first if all(value == first for value in values.values()) else values


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vtstudy.experiments.collect", description=__doc__)
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="CSV", help="results of an experiment, in the order wanted"
    )
    parser.add_argument("--out", default="reports", help="where results.csv and provenance.json are written")
    arguments = parser.parse_args(argv)
    try:
        names = collect(arguments.results, Path(arguments.out))
    except EvaluationError as error:
        print(f"vtprune collect: {error}", file=sys.stderr)
        return 2
    print(f"{Path(arguments.out) / 'results.csv'}: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
