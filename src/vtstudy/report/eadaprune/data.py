"""The data of E-AdaPrune's experiments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vtstudy.report.inputs import Inputs
from vtstudy.report.results import Measurement
from vtstudy.report.table_links import KEEP
from vtstudy.results_table import MEAN, TableError, read_table, read_text_table

SPECTRAL = "_spectral"
"""Ends the name of a method that has spectral budgets; the host's name stands before it."""
FILES = {
    "budgets": ("spectra/budgets.csv", ("benchmark",)),
    "decay": ("spectra/decay.csv", ("features", "centre", "group", "k", "q25", "median", "q75")),
    "correlation": (
        "spectra/correlation.csv",
        ("features", "centre", "power", "target", "benchmark", "measure", "n", "spearman", "ci_low", "ci_high"),
    ),
    "agreement": (
        "spectra/agreement.csv",
        ("features", "target", "benchmark", "n", "same", "percent", "furthest", "at_first_rank"),
    ),
    "calibration": (
        "spectra/calibration.csv",
        ("features", "centre", "power", "target", "tokens", "energy", "calibrated_mean"),
    ),
    "examples": ("spectra/examples/examples.csv", ("end", "picture", "benchmark", "tokens")),
    "matched": ("eadaprune/tokens.csv", ("method", "keep", "energy", "benchmark", "n", "tokens", "tokens_by_layer")),
    "words": (
        "eadaprune/words.csv",
        (
            "side",
            "benchmark",
            "host",
            "keep",
            "question",
            "picture",
            "height",
            "width",
            "fixed_answer",
            "spectral_answer",
            "fixed_kept",
            "spectral_kept",
        ),
    ),
    "sweep": ("energy/tokens.csv", ("method", "energy", "benchmark", "n", "tokens", "tokens_by_layer")),
    "variants": (
        "sensitivity/variants.csv",
        ("method", "features", "centre", "power", "k_min", "k_max", "tokens", "spearman", "ci_low", "ci_high"),
    ),
    "latency": (
        "spectra_latency/latency.csv",
        (
            "source",
            "device",
            "shape",
            "tokens",
            "width",
            "rank",
            "route",
            "median_ms",
            "quartile_low_ms",
            "quartile_high_ms",
            "times_gram",
            "cost",
            "cost_of_svd",
            "settled_at",
        ),
    ),
}
"""Name of a table: its file below the folder of the experiments' files, and its columns."""


@dataclass(frozen=True)
class SpectralData:
    """The tables of E-AdaPrune's experiments, and the scores.

    Attributes:
        inputs: all that the report is made from.
        model: ours, as results.csv names it; None if it was not run.
        tables: by name of `FILES`; a table that is absent was not run.
    """

    inputs: Inputs
    model: str | None
    tables: dict[str, pd.DataFrame]

    @classmethod
    def read(cls, inputs: Inputs, model: str | None) -> SpectralData:
        """Read the tables that exist.

        Raises:
            TableError: if a file lacks a column or holds no rows.
        """
        tables = {}
        for name, (file, columns) in FILES.items():
            path = inputs.folders.data / file
            if path.is_file():
                # Answers and masks are text, even where they look like numbers.
                tables[name] = (read_text_table if name == "words" else read_table)(path, columns)
                if tables[name].empty:
                    raise TableError(f"{path} holds no data.")
        return cls(inputs, model, tables)

    @property
    def hosts(self) -> list[str]:
        """Methods that were run with both kinds of budget."""
        pairs = self.inputs.results.pairs("eadaprune", self.model) if self.model else []
        return [pair.partition(" - ")[2] for pair in pairs]

    @property
    def keeps(self) -> list[float]:
        """The matched budgets as fractions of the image tokens, largest first."""
        if not self.model or not self.hosts:
            return []
        return self.inputs.results.keeps("eadaprune", self.model, self.hosts[0])

    @property
    def benchmarks(self) -> list[str]:
        """On which fixed and spectral budgets were compared, without the mean."""
        if not self.model:
            return []
        return [name for name in self.inputs.results.benchmarks("eadaprune", self.model) if name != MEAN]

    def score(self, experiment: str, method: str, benchmark: str, keep: float | None = None) -> Measurement | None:
        """Our model's score."""
        return self.inputs.results.score(experiment, self.model, method, benchmark, keep) if self.model else None

    def gain(self, host: str, benchmark: str, keep: float) -> Measurement | None:
        """Spectral minus fixed budgets, paired."""
        return self.difference("eadaprune", f"{host}{SPECTRAL} - {host}", benchmark, keep)

    def difference(self, experiment: str, pair: str, benchmark: str, keep: float | None = None) -> Measurement | None:
        """A paired difference of our model's scores."""
        return self.inputs.results.difference(experiment, self.model, pair, benchmark, keep) if self.model else None

    def tokens(self, method: str, keep: float, benchmark: str = MEAN) -> tuple[float, float]:
        """Average number of image tokens: after the last pruning, and over all decoder layers."""
        rows = self.tables["matched"]
        chosen = (rows["method"] == method) & np.isclose(rows["keep"], keep) & (rows["benchmark"] == benchmark)
        row = rows[chosen].iloc[0]
        return float(row["tokens"]), float(row["tokens_by_layer"])

    def counted(self, method: str, keep: float, benchmark: str) -> bool:
        """Whether the image tokens left by a method were counted on a benchmark."""
        rows = self.tables["matched"]
        return bool(
            ((rows["method"] == method) & np.isclose(rows["keep"], keep) & (rows["benchmark"] == benchmark)).any()
        )

    @property
    def target(self) -> float:
        """The calibrated fixed budget that is nearest to the ratio of the paper's tables, as a fraction."""
        targets = self.tables["calibration"]["target"]
        return float(targets.loc[(targets - KEEP).abs().idxmin()])

    @property
    def budgets(self) -> str:
        """The column of the table `budgets` with the budgets that are matched to `target`."""
        return f"projected_{self.target:g}"

    def of_assumed(self, name: str) -> pd.DataFrame:
        """The rows of a table that are about the assumed features, centring and power, if it has such columns."""
        rows = self.tables[name]
        chosen = rows["features"] == "projected"
        if "centre" in rows:
            chosen &= ~rows["centre"].astype(bool)
        if "power" in rows:
            chosen &= rows["power"] == 2
        return rows[chosen]
