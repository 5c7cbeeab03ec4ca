"""Read everything that the report is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from vtstudy.report.errors import ReportError
from vtstudy.report.published import load_published
from vtstudy.report.results import Results, load_results
from vtstudy.results_table import read_table

Mapping = dict[str, Any]
"""What a YAML or JSON file holds."""
COST_TABLES = ("conventions.csv", "cost.csv", "timings.csv", "spectra_latency/latency.csv")
"""Results other than scores, in the folder of the experiments' files. Claims read them by name."""


@dataclass(frozen=True)
class Folders:
    """Where the report finds its inputs.

    Attributes:
        reports: holds results.csv, provenance.json and `results/`, the experiments' other files.
        published: holds the papers' printed values and claims.
        params: the file params.yaml.
    """

    reports: Path = Path("reports/miniature")
    published: Path = Path("data/published")
    params: Path = Path("params.yaml")

    @property
    def results(self) -> Path:
        return self.reports / "results.csv"

    @property
    def provenance(self) -> Path:
        return self.reports / "provenance.json"

    @property
    def data(self) -> Path:
        """Folder of the experiments' files: `figure1/` and so on, and the tables of costs."""
        return self.reports / "results"


@dataclass(frozen=True)
class Inputs:
    """What the report is made from.

    Attributes:
        folders: where it was read.
        results: our measurements.
        provenance: what was run, when and on what.
        tolerances: by benchmark key and `default`: how far a score may be from the printed one.
        interval: level of the intervals in percent.
        published: the printed values of the first paper.
        claims: the claims of the first paper, as claims.yaml has them.
        models: the paper's models, and the checkpoint that is run for each.
        tables: results other than scores, by file name.
    """

    folders: Folders
    results: Results
    provenance: Mapping
    tolerances: dict[str, float]
    interval: float
    published: pd.DataFrame
    claims: Mapping
    models: dict[str, str]
    tables: dict[str, pd.DataFrame]

    @property
    def profile(self) -> str:
        return self.provenance["profile"]


def load(folders: Folders) -> Inputs:
    """Read and check all inputs.

    Raises:
        UserError: if one is missing or wrong.
    """
    settings = read_mapping(folders.params)
    report = settings.get("report")
    if not isinstance(report, dict) or "default" not in (report.get("tolerances") or {}):
        raise ReportError(f"{folders.params} has no 'report.tolerances.default', the tolerance for absolute scores.")
    provenance = read_mapping(folders.provenance)
    if not isinstance(provenance.get("profile"), str):
        raise ReportError(f"{folders.provenance} does not say which 'profile' was run.")
    models = _models(folders.params, settings)
    return Inputs(
        folders=folders,
        results=load_results(folders.results, models),
        provenance=provenance,
        tolerances={str(name): float(value) for name, value in report["tolerances"].items()},
        interval=float(report.get("interval", 95)),
        published=load_published(folders.published / "adaptprune.csv"),
        claims=read_mapping(folders.published / "claims.yaml"),
        models=models,
        tables=_tables(folders.data / name for name in COST_TABLES),
    )


def read_mapping(path: Path) -> Mapping:
    """A JSON or YAML file that holds a mapping.

    Raises:
        ReportError: for anything else.
    """
    if not path.is_file():
        raise ReportError(f"{path} does not exist.")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ReportError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    if not isinstance(data, dict):
        raise ReportError(f"{path} does not hold a mapping.")
    return data


def _models(path: Path, settings: Mapping) -> dict[str, str]:
    """`models` of params.yaml: the checkpoint that is run for each of the paper's models."""
    entries = settings.get("models") or {}
    try:
        return {entry["paper"]: str(entry["checkpoint"]) for entry in entries.values()}
    except (AttributeError, TypeError, KeyError) as error:
        raise ReportError(f"{path}: each of 'models' must have a 'paper' and a 'checkpoint'.") from error


def _tables(paths: Iterable[Path]) -> dict[str, pd.DataFrame]:
    """The tables that exist; an absent one was not made."""
    return {path.name: read_table(path) for path in paths if path.is_file()}
