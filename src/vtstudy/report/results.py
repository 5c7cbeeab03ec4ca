"""Read what the report is made from, and say in one sentence what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import yaml

from vtstudy.report.labels import UNPRUNED, base

RESULT_COLUMNS = ("experiment", "model", "method", "keep", "benchmark", "metric", "value", "n", "ci_low", "ci_high")
PUBLISHED_COLUMNS = ("table", "model", "row", "column", "value")
DIFFERENCE = "difference:"


class ReportError(Exception):
    """The report cannot be made; the message is one sentence for the reader."""


@dataclass(frozen=True)
class Measure:
    """One row of results.csv, or of another table of results (then ``experiment`` is that file's name).

    ``low`` and ``high`` are NaN where a value has no interval (chance).
    """

    experiment: str
    model: str
    method: str
    keep: float
    benchmark: str
    metric: str
    value: float
    n: int | None
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        return not (math.isnan(self.low) or math.isnan(self.high))

    def negated(self) -> Measure:
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    def minus(self, other: Measure) -> Measure:
        """The difference of two that were not paired: its interval reaches from end to end of theirs, so it is wide."""
        return replace(self, value=self.value - other.value, low=self.low - other.high, high=self.high - other.low)

    def over(self, other: Measure) -> Measure:
        """The ratio to a positive one, its interval from end to end as well."""
        return replace(self, value=self.value / other.value, low=self.low / other.high, high=self.high / other.low)


def source(measure: Measure | None, prefix: str = "") -> dict[str, str | float]:
    """The names by which its row is found in results.csv, each after the prefix; empty where nothing was measured."""
    names = ("experiment", "model", "method", "keep", "benchmark", "metric")
    return {prefix + name: "" if measure is None else getattr(measure, name) for name in names}


class Results:
    """results.csv, looked up by name. Of several metrics of one cell the first in the file is the reported one.

    Args:
        measures: its rows.
        models: the checkpoint that is run for each of the paper's models.
    """

    def __init__(self, measures: list[Measure], models: Mapping[str, str]):
        self.measures = measures
        self._stand_ins = {paper: base(checkpoint) for paper, checkpoint in models.items()}
        self._index: dict[tuple, list[Measure]] = {}
        for m in measures:
            kind = m.metric.startswith(DIFFERENCE)
            self._index.setdefault((kind, m.experiment, m.model, m.method, m.benchmark), []).append(m)

    def model_for(self, published: str) -> str | None:
        """Our model that stands for one of the paper's; None where none was run."""
        return next((name for name in self.models if base(name) == self._stand_ins.get(published)), None)

    def keeps(self, experiment: str, model: str, term: str) -> list[float]:
        """The keep ratios at which a method or a pair was run, largest first."""
        return sorted(
            {
                m.keep
                for m in self.measures
                if (m.experiment, m.model, m.method) == (experiment, model, term) and not math.isnan(m.keep)
            },
            reverse=True,
        )

    def cell(self, experiment: str, model: str, method: str, benchmark: str, keep: float | None = None):
        keep = None if method in UNPRUNED else keep
        return self._find((False, experiment, model, method, benchmark), keep)

    def difference(self, experiment: str, model: str, pair: str, benchmark: str, keep: float | None = None):
        """The paired difference "A - B"; where only "B - A" stands in the file, its negative."""
        found = self._find((True, experiment, model, pair, benchmark), keep)
        if found is None:
            a, _, b = pair.partition(" - ")
            found = self._find((True, experiment, model, f"{b} - {a}", benchmark), keep)
            found = found.negated() if found else None
        return found

    def _find(self, key: tuple, keep: float | None) -> Measure | None:
        for m in self._index.get(key, ()):
            if keep is None or math.isnan(m.keep) or math.isclose(m.keep, keep):
                return m
        return None

    def methods(self, experiment: str, model: str) -> list[str]:
        return self._names(lambda m: m.method, experiment, model, False)

    def pairs(self, experiment: str, model: str) -> list[str]:
        return self._names(lambda m: m.method, experiment, model, True)

    def benchmarks(self, experiment: str, model: str) -> list[str]:
        return self._names(lambda m: m.benchmark, experiment, model, False)

    def _names(self, of, experiment: str, model: str, differences: bool) -> list[str]:
        return list(
            dict.fromkeys(
                of(m)
                for m in self.measures
                if (m.experiment, m.model, m.metric.startswith(DIFFERENCE)) == (experiment, model, differences)
            )
        )

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(m.model for m in self.measures))

    @property
    def experiments(self) -> list[str]:
        return list(dict.fromkeys(m.experiment for m in self.measures))

    def experiments_of(self, model: str) -> list[str]:
        return list(dict.fromkeys(m.experiment for m in self.measures if m.model == model))


@dataclass(frozen=True)
class Inputs:
    results: Results
    provenance: dict
    tolerances: dict[str, float]
    interval: float  # in percent, as params.yaml declares it
    published: pd.DataFrame
    claims: dict
    models: dict[str, str]  # the paper's model: the checkpoint that is run for it
    tables: dict[str, pd.DataFrame]  # other results than scores, by the file's name

    @property
    def profile(self) -> str:
        return self.provenance["profile"]


def load(results: Path, provenance: Path, params: Path, published: Path, tables: Sequence[Path] = ()) -> Inputs:
    """Read all inputs.

    Args:
        published: the folder with adaptprune.csv and claims.yaml.
        tables: CSVs of other results than scores; claims of the kind ``measure`` read them by name.

    Raises:
        ReportError: if one is missing or wrong.
    """
    settings = mapping(params)
    report = settings.get("report")
    if not isinstance(report, dict) or "default" not in (report.get("tolerances") or {}):
        raise ReportError(f"{params} has no 'report.tolerances.default', the tolerance for absolute scores.")
    info = mapping(provenance)
    if not isinstance(info.get("profile"), str):
        raise ReportError(f"{provenance} does not say which 'profile' was run.")
    models = _models(params, settings)
    return Inputs(
        results=load_results(results, models),
        provenance=info,
        tolerances={str(k): float(v) for k, v in report["tolerances"].items()},
        interval=float(report.get("interval", 95)),
        published=load_published(published / "adaptprune.csv"),
        claims=mapping(published / "claims.yaml"),
        models=models,
        tables={path.name: table(path, ()) for path in map(Path, tables)},
    )


def _models(path: Path, params: dict) -> dict[str, str]:
    """``models`` of params.yaml: the checkpoint that is run for each of the paper's models."""
    entries = params.get("models") or {}
    try:
        return {entry["paper"]: str(entry["checkpoint"]) for entry in entries.values()}
    except (AttributeError, TypeError, KeyError) as error:
        raise ReportError(f"{path}: each of 'models' must have a 'paper' and a 'checkpoint'.") from error


def load_results(path: Path, models: Mapping[str, str]) -> Results:
    """Read results.csv; ``models`` as in :class:`Results`."""
    frame = table(path, RESULT_COLUMNS)
    if frame.empty:
        raise ReportError(f"{path} holds no results.")
    numbers = {}
    for name in ("keep", "value", "n", "ci_low", "ci_high"):
        numbers[name] = pd.to_numeric(frame[name], errors="coerce")
        bad = numbers[name].isna() & (frame[name].str.strip() != "")
        if bad.any() or (name == "value" and numbers[name].isna().any()):
            line = int((bad | numbers[name].isna()).idxmax()) + 2
            raise ReportError(f"{path}, line {line}: '{name}' is not a number.")
    keys = ["experiment", "model", "method", "keep", "benchmark", "metric"]
    if frame.duplicated(keys).any():
        line = int(frame.duplicated(keys).idxmax()) + 2
        raise ReportError(f"{path}, line {line} repeats the {', '.join(keys)} of an earlier line.")
    # Plain floats: numpy's would spoil arithmetic on text and the writing of CSV.
    keep, value, n, low, high = ([float(v) for v in numbers[name]] for name in numbers)
    found = Results(
        [
            Measure(
                r.experiment,
                r.model,
                r.method,
                keep[i],
                r.benchmark,
                r.metric,
                value[i],
                None if math.isnan(n[i]) else int(n[i]),
                low[i],
                high[i],
            )
            for i, r in enumerate(frame.itertuples(index=False))
        ],
        models,
    )
    if not any(found.model_for(model) for model in models):
        raise ReportError(
            f"{path} holds no model that stands for one of the paper's (found: "
            f"{', '.join(found.models)}); name its checkpoint in models of params.yaml."
        )
    return found


def load_published(path: Path) -> pd.DataFrame:
    """The printed cells; ``value`` stays the printed string, ``number`` is NaN where it is not a plain number."""
    frame = table(path, PUBLISHED_COLUMNS)
    frame["table"] = frame["table"].astype(int)
    frame["number"] = pd.to_numeric(frame["value"], errors="coerce")
    return frame


def table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file as text; ``ReportError`` if it is not there or lacks a column."""
    _exists(path)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ReportError(f"{path} is not a readable CSV file ({str(error).splitlines()[0]}).") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ReportError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    return frame


def mapping(path: Path) -> dict:
    """A JSON or YAML file that holds a mapping; ``ReportError`` for anything else."""
    _exists(path)
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ReportError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    if not isinstance(data, dict):
        raise ReportError(f"{path} does not hold a mapping.")
    return data


def _exists(path: Path) -> None:
    if not path.is_file():
        raise ReportError(f"{path} does not exist.")
