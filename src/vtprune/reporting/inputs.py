"""Read what the report is made from, and say in one sentence what is wrong with it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from .relations import MODELS, UNPRUNED, answers_to

RESULT_COLUMNS = ("experiment", "model", "method", "keep", "benchmark", "metric", "value", "n", "ci_low", "ci_high")
PUBLISHED_COLUMNS = ("table", "model", "row", "column", "value")
DIFFERENCE = "difference:"


class ReportError(Exception):
    """The report cannot be made; the message is one sentence for the reader."""


@dataclass(frozen=True)
class Measure:
    """One row of results.csv. ``low`` and ``high`` are NaN where a value has no interval (chance)."""

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
        return Measure(self.experiment, self.model, self.method, self.keep, self.benchmark, self.metric,
                       -self.value, self.n, -self.high, -self.low)


class Results:
    """results.csv, looked up by name. Of several metrics of one cell the first in the file is the reported one."""

    def __init__(self, measures: list[Measure]):
        self.measures = measures
        self._index: dict[tuple, list[Measure]] = {}
        for m in measures:
            kind = m.metric.startswith(DIFFERENCE)
            self._index.setdefault((kind, m.experiment, m.model, m.method, m.benchmark), []).append(m)

    def model_for(self, published: str) -> str | None:
        """Our model that answers to one of the paper's, preferring the paper's own checkpoint."""
        names = {m.model for m in self.measures if answers_to(published, m.model)}
        return min(names, key=lambda name: (name.startswith("miniature"), name), default=None)

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
        return list(dict.fromkeys(
            of(m) for m in self.measures
            if (m.experiment, m.model, m.metric.startswith(DIFFERENCE)) == (experiment, model, differences)))

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(m.model for m in self.measures))

    @property
    def experiments(self) -> list[str]:
        return list(dict.fromkeys(m.experiment for m in self.measures))


@dataclass(frozen=True)
class Inputs:
    results: Results
    provenance: dict
    tolerances: dict[str, float]
    interval: float  # in percent, as params.yaml declares it
    published: pd.DataFrame
    claims: dict

    @property
    def profile(self) -> str:
        return self.provenance["profile"]


def load(results: Path, provenance: Path, params: Path, published: Path) -> Inputs:
    """Read all inputs. ``published`` is the folder with adaptprune.csv and claims.yaml."""
    report = mapping(params).get("report")
    if not isinstance(report, dict) or "default" not in (report.get("tolerances") or {}):
        raise ReportError(f"{params} has no 'report.tolerances.default', the tolerance for absolute scores.")
    info = mapping(provenance)
    if not isinstance(info.get("profile"), str):
        raise ReportError(f"{provenance} does not say which 'profile' was run.")
    return Inputs(
        results=load_results(results), provenance=info,
        tolerances={str(k): float(v) for k, v in report["tolerances"].items()},
        interval=float(report.get("interval", 95)),
        published=load_published(published / "adaptprune.csv"), claims=mapping(published / "claims.yaml"))


def load_results(path: Path) -> Results:
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
    found = Results([
        Measure(r.experiment, r.model, r.method, keep[i], r.benchmark, r.metric, value[i],
                None if math.isnan(n[i]) else int(n[i]), low[i], high[i])
        for i, r in enumerate(frame.itertuples(index=False))])
    if not any(found.model_for(model) for model in MODELS):
        raise ReportError(f"{path} holds no model that stands for one of the paper's (found: "
                          f"{', '.join(found.models)}); add it to vtprune.reporting.relations.")
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
