"""Read everything that the report is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from vtstudy.report.checkpoints import RunModel
from vtstudy.report.errors import ReportError
from vtstudy.report.published import PrintedNumbers, load_published
from vtstudy.report.results import Results, load_results
from vtstudy.report.tolerances import Tolerances
from vtstudy.results_table import read_table

Mapping = dict[str, Any]
"""What a YAML or JSON file holds."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time, where libyaml is there
COST_TABLES = ("conventions.csv", "cost.csv", "method_costs.csv", "timings.csv", "spectra_latency/latency.csv")
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
        tolerances: how far a score may be from the printed one.
        interval: level of the intervals in percent.
        published: the printed values of the first paper.
        claims: the claims of the first paper, as claims.yaml has them.
        models: by name of the papers' model, the checkpoint that is run in its place.
        settings: the file of parameters of the run.
        left_out: by benchmark that is not run, the reason.
        tables: results other than scores, by file name.
    """

    folders: Folders
    results: Results
    provenance: Mapping
    tolerances: Tolerances
    interval: float
    published: pd.DataFrame
    claims: Mapping
    models: dict[str, RunModel]
    settings: Mapping
    left_out: dict[str, str]
    tables: dict[str, pd.DataFrame]

    @property
    def profile(self) -> str:
        return self.provenance["profile"]

    @cached_property
    def printed(self) -> PrintedNumbers:
        """The printed values of the first paper, by what they measure."""
        return PrintedNumbers(self.published)

    def is_papers(self, model: str) -> bool:
        """Whether the paper's own checkpoint is run in the place of a model of the papers."""
        return model in self.models and self.models[model].is_papers

    def is_miniature(self, model: str) -> bool:
        """Whether a model that this repository trained is run in the place of a model of the papers."""
        return model in self.models and self.models[model].is_miniature

    def title(self, model: str) -> str:
        """What readers call that which is run in the place of one of the papers' models."""
        return self.models[model].title if model in self.models else model

    def named(self, model: str) -> str:
        """The same inside a sentence: "the stand-in for LLaVA-1.5-7B"."""
        title = self.title(model)
        return title if title == model else f"the {title}"

    def run_models(self) -> list[RunModel]:
        """The models that have results."""
        return [model for model in self.models.values() if self.results.model_for(model.paper)]


def load(folders: Folders) -> Inputs:
    """Read and check all inputs.

    Raises:
        UserError: if one is missing or wrong.
    """
    settings = read_mapping(folders.params)
    report = settings.get("report") or {}
    tolerances = Tolerances.read(report.get("tolerances") or {}, str(folders.params))
    provenance = read_mapping(folders.provenance)
    if not isinstance(provenance.get("profile"), str):
        raise ReportError(f"{folders.provenance} does not say which 'profile' was run.")
    models = _models(folders.params, settings, provenance)
    names = {model.paper: model.name or model.checkpoint for model in models.values()}
    return Inputs(
        folders=folders,
        results=load_results(folders.results, names),
        provenance=provenance,
        tolerances=tolerances,
        interval=float(report.get("interval", 95)),
        published=load_published(folders.published / "adaptprune.csv"),
        claims=read_mapping(folders.published / "claims.yaml"),
        models=models,
        settings=settings,
        left_out=_left_out(provenance),
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
        data = json.loads(text) if path.suffix == ".json" else yaml.load(text, _LOADER)
    except (ValueError, yaml.YAMLError) as error:
        raise ReportError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    if not isinstance(data, dict):
        raise ReportError(f"{path} does not hold a mapping.")
    return data


def _models(path: Path, settings: Mapping, provenance: Mapping) -> dict[str, RunModel]:
    """`models` of params.yaml, with what provenance.json says of them; of several for one model the first counts."""
    facts = provenance.get("models") or {}
    models: dict[str, RunModel] = {}
    try:
        for key, entry in (settings.get("models") or {}).items():
            model = RunModel.of(entry["paper"], str(entry["checkpoint"]), facts.get(key) or {})
            models.setdefault(model.paper, model)
    except (AttributeError, TypeError, KeyError) as error:
        raise ReportError(f"{path}: each of 'models' must have a 'paper' and a 'checkpoint'.") from error
    return models


def _left_out(provenance: Mapping) -> dict[str, str]:
    """By benchmark that some run left out, the reason; provenance.json has them by run."""
    reasons: dict[str, str] = {}
    for of_run in (provenance.get("left_out") or {}).values():
        reasons |= of_run
    return reasons


def _tables(paths: Iterable[Path]) -> dict[str, pd.DataFrame]:
    """The tables that exist; an absent one was not made."""
    return {path.name: read_table(path) for path in paths if path.is_file()}
