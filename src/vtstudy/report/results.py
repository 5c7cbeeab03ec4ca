"""Our measurements: results.csv as one frame, looked up by the names of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.checkpoints import checkpoint_name
from vtstudy.report.errors import ReportError
from vtstudy.results_table import COLUMNS, DIFFERENCE, KEYS, UNPRUNED, read_results

HIGHER, LOWER, OPEN = "higher", "lower", "undecided"


@dataclass(frozen=True)
class Measurement:
    """One row of results.csv, or of another table of results (`experiment` is that file's name then).

    Attributes:
        keep: fraction of the image tokens that is kept; NaN where a row has none.
        value: in the metric's unit.
        n: number of questions; None if it is not known.
        low: lower end of the interval; NaN where a value has no interval (chance).
        high: upper end.
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

    @property
    def side(self) -> str:
        """On which side of zero the interval lies: `HIGHER`, `LOWER` or `OPEN` (also without an interval)."""
        if self.has_interval and self.low > 0:
            return HIGHER
        if self.has_interval and self.high < 0:
            return LOWER
        return OPEN

    def text(self, digits: int = 1, *, sign: bool = False) -> str:
        """The value with its interval in parentheses, with as many decimals as show on which side of zero it lies.

        Args:
            digits: least number of decimals.
            sign: whether positive numbers have a plus sign.
        """
        return formatting.estimate(self.value, self.low, self.high, sign, digits)

    def negated(self) -> Measurement:
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    def scaled(self, factor: float) -> Measurement:
        return replace(self, value=factor * self.value, low=factor * self.low, high=factor * self.high)

    def minus(self, other: Measurement) -> Measurement:
        """The difference of two unpaired measurements; its wide interval spans all differences of their ends."""
        return replace(self, value=self.value - other.value, low=self.low - other.high, high=self.high - other.low)

    def over(self, other: Measurement) -> Measurement:
        """The ratio to a positive measurement; its interval spans all ratios of their ends."""
        return replace(self, value=self.value / other.value, low=self.low / other.high, high=self.high / other.low)


def row_names(measurement: Measurement | None, prefix: str = "") -> dict[str, str | float]:
    """The names that find a measurement's row in results.csv, each after `prefix`; empty texts for None."""
    if measurement is None:
        return {prefix + name: "" for name in KEYS}
    return {prefix + name: getattr(measurement, name) for name in KEYS}


def rounded(value: float) -> float | str:
    """A number as the CSV files have it, with four decimals; "" for NaN."""
    return "" if math.isnan(value) else round(value, 4)


class Results:
    """The rows of results.csv, and which models stand for the paper's.

    Of several metrics of one benchmark, the first in the file is the reported one.

    Args:
        frame: as `vtstudy.results_table.read_results` gives it.
        checkpoints: by the paper's model, the name of the one that is run for it, or its checkpoint.
    """

    def __init__(self, frame: pd.DataFrame, checkpoints: Mapping[str, str]):
        self.frame = frame.reset_index(drop=True).assign(difference=frame["metric"].str.startswith(DIFFERENCE))
        self._columns = {name: frame[name].tolist() for name in COLUMNS}  # plain floats, not numpy's
        self._checkpoints = dict(checkpoints)
        keys = ["difference", "experiment", "model", "method", "benchmark"]
        self._places = self.frame.groupby(keys, sort=False).indices
        # Sets that keep the order of the file.
        self._experiments: dict[str, dict[str, None]] = {}
        self._methods: dict[tuple[str, str, bool], dict[str, None]] = {}
        self._benchmarks: dict[tuple[str, str, bool], dict[str, None]] = {}
        for row in self.frame[keys].drop_duplicates().itertuples(index=False):
            key = (row.experiment, row.model, row.difference)
            self._experiments.setdefault(row.model, {})[row.experiment] = None
            self._methods.setdefault(key, {})[row.method] = None
            self._benchmarks.setdefault(key, {})[row.benchmark] = None

    @property
    def models(self) -> list[str]:
        return list(self._experiments)

    @property
    def experiments(self) -> list[str]:
        return list(self.frame["experiment"].unique())

    def experiments_of(self, model: str) -> list[str]:
        return list(self._experiments.get(model, ()))

    def model_for(self, paper_model: str) -> str | None:
        """Our model that stands for one of the paper's; None if none was run."""
        checkpoint = self._checkpoints.get(paper_model)
        if checkpoint is None:
            return None
        if checkpoint in self.models:
            return checkpoint
        return next((name for name in self.models if checkpoint_name(name) == checkpoint_name(checkpoint)), None)

    def methods(self, experiment: str, model: str) -> list[str]:
        return list(self._methods.get((experiment, model, False), ()))

    def pairs(self, experiment: str, model: str) -> list[str]:
        """The compared pairs, "A - B" each."""
        return list(self._methods.get((experiment, model, True), ()))

    def benchmarks(self, experiment: str, model: str) -> list[str]:
        return list(self._benchmarks.get((experiment, model, False), ()))

    def keeps(self, experiment: str, model: str, method: str) -> list[float]:
        """The keep ratios at which a method or a pair was run, largest first."""
        frame = self.frame
        rows = frame[(frame["experiment"] == experiment) & (frame["model"] == model) & (frame["method"] == method)]
        return sorted(map(float, rows["keep"].dropna().unique()), reverse=True)

    def score(
        self, experiment: str, model: str, method: str, benchmark: str, keep: float | None = None
    ) -> Measurement | None:
        """A method's score; None if it was not measured. Without `keep`, the first in the file."""
        keep = None if method in UNPRUNED else keep
        return self._find((False, experiment, model, method, benchmark), keep)

    def difference(
        self, experiment: str, model: str, pair: str, benchmark: str, keep: float | None = None
    ) -> Measurement | None:
        """The paired difference "A - B"; where only "B - A" is in the file, its negative."""
        direct = self._find((True, experiment, model, pair, benchmark), keep)
        if direct is not None:
            return direct
        a, _, b = pair.partition(" - ")
        turned = self._find((True, experiment, model, f"{b} - {a}", benchmark), keep)
        return turned.negated() if turned else None

    def series(
        self, experiment: str, model: str, method: str, benchmark: str, metric: str | None = None
    ) -> list[Measurement]:
        """The measurements of a method or a pair at each keep ratio, largest ratio first."""
        frame = self.frame
        rows = frame[
            (frame["experiment"] == experiment)
            & (frame["model"] == model)
            & (frame["method"] == method)
            & (frame["benchmark"] == benchmark)
        ]
        if metric is not None:
            rows = rows[rows["metric"] == metric]
        return [self._at(place) for place in rows.sort_values("keep", ascending=False, kind="stable").index]

    def measurements(self, experiment: str, model: str, method: str) -> list[Measurement]:
        """All rows of a method or a pair, in file order."""
        frame = self.frame
        rows = frame[(frame["experiment"] == experiment) & (frame["model"] == model) & (frame["method"] == method)]
        return [self._at(place) for place in rows.index]

    def unpruned(self, experiment: str, model: str, benchmark: str) -> float | None:
        """The unpruned model's score; the ablation shares the one of Table 1."""
        for name in (experiment, "table1"):
            found = self.score(name, model, "baseline", benchmark)
            if found:
                return found.value
        return None

    def _find(self, key: tuple[bool, str, str, str, str], keep: float | None) -> Measurement | None:
        for place in self._places.get(key, ()):
            row_keep = self._columns["keep"][place]
            if keep is None or math.isnan(row_keep) or math.isclose(row_keep, keep):
                return self._at(place)
        return None

    def _at(self, place: int) -> Measurement:
        """The measurement of a row, by its number in the file."""
        row = {name: column[place] for name, column in self._columns.items()}
        return Measurement(
            **{name: row[name] for name in (*KEYS, "value")},
            n=None if math.isnan(row["n"]) else int(row["n"]),
            low=row["ci_low"],
            high=row["ci_high"],
        )


def load_results(path: Path, checkpoints: Mapping[str, str]) -> Results:
    """Read and check results.csv; `checkpoints` as in `Results`.

    Raises:
        TableError: if the file is missing or wrong.
        ReportError: if none of its models stands for one of the paper's.
    """
    results = Results(read_results(path), checkpoints)
    if not any(results.model_for(model) for model in checkpoints):
        raise ReportError(
            f"{path} holds no model that stands for one of the paper's (found: {', '.join(results.models)}); "
            "name its checkpoint under 'models' in params.yaml."
        )
    return results
