"""One results.csv and one provenance.json from the results of all experiments."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vtstudy.config import Config
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.files import write
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.results_table import read_results, to_csv

Facts = dict[str, Any]
"""The facts of a run, as JSON data."""


def collect(folder: Path, out: Path, config: Config) -> list[str]:
    """Write `results.csv` and `provenance.json`; returns the names of the collected files, in their order.

    Args:
        folder: holds the experiments' CSV files and, beside each, the JSON file of its facts.
        out: where the two files are written.
        config: says which experiments there are; their order is that of `EXPERIMENTS`, then that of the models.

    Raises:
        EvaluationError: if a file belongs to no experiment, its facts cannot be read, or the files differ in their
            profile, or in the checkpoint of one model.
        TableError: if a file is not a table of results.
    """
    keys = {entry.file_stem(config, model): model for entry in EXPERIMENTS.values() for model in entry.models(config)}
    paths = {path.stem: path for path in folder.glob("*.csv")}
    unknown = sorted(set(paths) - set(keys))
    if unknown:
        raise EvaluationError(f"{paths[unknown[0]]} belongs to no experiment of the parameters: delete it")
    if not paths:
        raise EvaluationError(f"{folder} holds no results: run an experiment first")
    frames: list[pd.DataFrame] = []
    facts: dict[str, Facts] = {}
    for stem in keys:
        if stem in paths:
            frames.append(read_results(paths[stem]))
            facts[stem] = _read_facts(paths[stem].with_suffix(".json"))
    write(out / "results.csv", to_csv(pd.concat(frames, ignore_index=True)))
    write(
        out / "provenance.json", json.dumps(_joined(facts) | {"models": _models(config, keys, facts)}, indent=2) + "\n"
    )
    return list(facts)


def _read_facts(path: Path) -> Facts:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read, so the facts of its run are not known") from error


def _joined(facts: Mapping[str, Facts]) -> Facts:
    """The facts of all runs: common values once, other values by run, times and counts added."""
    profiles = sorted({str(run["profile"]) for run in facts.values()})
    if len(profiles) > 1:
        raise EvaluationError(f"the experiments were run under different profiles: {', '.join(profiles)}")
    joined: Facts = {"profile": profiles[0]}
    for key in (
        "commit",
        "model",
        "checkpoint",
        "checkpoint_digest",
        "checkpoint_source",
        "data_commits",
        "versions",
        "machine",
    ):
        joined[key] = _common({name: run.get(key) for name, run in facts.items()})
    parameters = {name: run["parameters"] for name, run in facts.items() if isinstance(run.get("parameters"), dict)}
    joined["parameters"] = {
        key: _common({name: own[key] for name, own in parameters.items() if key in own})
        for key in dict.fromkeys(key for own in parameters.values() for key in own)
    }
    joined["left_out"] = {name: run["left_out"] for name, run in facts.items() if run.get("left_out")}
    joined["dirty"] = any(run.get("dirty") for run in facts.values())
    joined["seconds"] = round(sum(run["seconds"] for run in facts.values()), 1)
    for count in ("answers", "prompts_shown"):
        joined[count] = sum(run[count] for run in facts.values())
    joined["seconds_by_experiment"] = {name: run["seconds"] for name, run in facts.items()}
    return joined


def _models(config: Config, keys: Mapping[str, str], facts: Mapping[str, Facts]) -> Facts:
    """By key of a model: the paper's model, the name in results.csv, the checkpoint, and where it was fetched from.

    Args:
        config: the parameters.
        keys: by name of a result file, the key of its model.
        facts: by name of a result file.

    Raises:
        EvaluationError: if two experiments were run on different checkpoints of one model.
    """
    models: Facts = {}
    for stem, run in facts.items():
        key = keys[stem]
        entry = {
            "paper": config.models[key].paper,
            "model": run.get("model"),
            "checkpoint": run.get("checkpoint"),
            "source": run.get("checkpoint_source"),
        }
        if models.setdefault(key, entry) != entry:
            raise EvaluationError(
                f"{stem} was run on another checkpoint of the model {key} than the experiments before it "
                f"({_named(entry)}, not {_named(models[key])}): run all experiments on one"
            )
    return models


def _named(model: Facts) -> str:
    source = model["source"]
    return f"{source['id']} at {source['commit']}" if source else str(model["checkpoint"])


def _common(values: Mapping[str, object]) -> object:
    """The one value of all runs, or the value of each run."""
    first = next(iter(values.values()))
    return first if all(value == first for value in values.values()) else dict(values)
