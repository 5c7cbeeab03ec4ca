"""What E-AdaPrune's experiments have left for its part of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vtstudy.report.results import Inputs, Measure, ReportError, table

SPECTRAL = "_spectral"
# Folder, file and its columns. What is absent was not run.
FILES = {
    "budgets": ("spectra/budgets.csv", ("benchmark", "image_id", "content", "projected_0.1")),
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
        ("features", "centre", "power", "target", "tokens", "energy", "calibrated_mean", "mean"),
    ),
    "examples": ("spectra/examples/examples.csv", ("end", "picture", "benchmark", "tokens")),
    "matched": ("eadaprune/tokens.csv", ("method", "keep", "energy", "benchmark", "n", "tokens", "tokens_by_layer")),
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


@dataclass(frozen=True)
class Spectral:
    """Tables by name (those of ``FILES`` that are there), numbers as numbers; and the scores.

    Attributes:
        folder: of the experiments' files.
        model: ours, as results.csv names it; None if it was not run.
    """

    inputs: Inputs
    model: str | None
    folder: Path
    tables: dict[str, pd.DataFrame]

    @classmethod
    def read(cls, inputs: Inputs, model: str | None, folder: Path) -> Spectral:
        """Raises ``ReportError`` if a file lacks a column, or holds no rows."""
        found = {}
        for name, (file, columns) in FILES.items():
            if (folder / file).is_file():
                frame = table(folder / file, columns)
                if frame.empty:
                    raise ReportError(f"{folder / file} holds no data.")
                found[name] = frame.apply(_numbers)
        return cls(inputs, model, folder, found)

    @property
    def hosts(self) -> list[str]:
        """Methods that were run with both budgets."""
        pairs = self.inputs.results.pairs("eadaprune", self.model) if self.model else []
        return [pair.partition(" - ")[2] for pair in pairs]

    @property
    def keeps(self) -> list[float]:
        """The matched budgets as fractions, largest first."""
        return self.inputs.results.keeps("eadaprune", self.model, self.hosts[0]) if self.hosts else []

    def gain(self, host: str, benchmark: str, keep: float) -> Measure | None:
        """Spectral minus fixed, paired."""
        return self.inputs.results.difference("eadaprune", self.model, f"{host}{SPECTRAL} - {host}", benchmark, keep)

    def tokens(self, method: str, keep: float, benchmark: str = "mean") -> tuple[float, float]:
        """Average tokens: left after pruning, and over all layers."""
        rows = self.tables["matched"]
        row = rows[
            (rows["method"] == method) & ((rows["keep"] - keep).abs() < 1e-9) & (rows["benchmark"] == benchmark)
        ].iloc[0]
        return float(row["tokens"]), float(row["tokens_by_layer"])

    def ours(self, name: str) -> pd.DataFrame:
        """Rows of a table that are of SpectralBudget's own assumptions (as far as the table tells them apart)."""
        rows = self.tables[name]
        chosen = rows["features"] == "projected"
        if "centre" in rows:
            chosen &= rows["centre"].astype(str) == "False"
        if "power" in rows:
            chosen &= rows["power"] == 2
        return rows[chosen]


def _numbers(column: pd.Series) -> pd.Series:
    """As numbers, if all of it is (empty is NaN); else as it is."""
    found = pd.to_numeric(column, errors="coerce")
    return found if (found.notna() | (column == "")).all() and found.notna().any() else column
