"""Results of a run of the papers' own checkpoints, which no model made: every table, figure and budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers import synthetic_results as synthetic
from helpers.synthetic_data import dump
from vtstudy import benchmarks
from vtstudy.evaluation.scoring import Scores, parts_of
from vtstudy.experiments.adaptprune_tables import TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8
from vtstudy.experiments.results import rows_of
from vtstudy.report.checkpoints import PAPER_CHECKPOINTS as CHECKPOINTS
from vtstudy.results_table import DIFFERENCE, MEAN, PERCENT

__all__ = ["CHECKPOINTS", "GAIN", "KEEPS", "UNPRUNED", "rows", "write_costs", "write_spectral"]

MODEL = CHECKPOINTS["LLaVA-1.5-7B"]
KEEPS = (0.3334, 0.2223, 0.1112)
TARGETS = (*KEEPS, 0.1)
HOSTS = ("fastv", "adaptprune", "pyramiddrop", "visionzip")
EADAPRUNE = ("pope_f1", "textvqa_ocr", "mme", "mmvet", "mmbench_cn", "gqa", "seedbench", "mmbench", "scienceqa")
UNPRUNED, FIXED, GAIN = 62.0, 60.0, 0.6
"""Scores of E-AdaPrune's experiment: the unpruned model's, with a fixed budget, and what a spectral one adds."""
CATEGORIES = {
    "mmbench": [leaf for leaves in benchmarks.MMBENCH_CATEGORIES.values() for leaf in leaves],
    "mme": list(benchmarks.MME_PERCEPTION),
    "mme_cognition": list(benchmarks.MME_COGNITION),
}


def scores(benchmark: str, level: float, seed: int, each: int = 8) -> Scores:
    """Scores of so many units, in each category where the benchmark has categories."""
    names = CATEGORIES.get(benchmark, [""])
    units = tuple(f"{name}|{i}" for name in names for i in range(each))
    values = np.random.default_rng(seed).normal(level, 5, len(units))
    of_mme = benchmark.startswith("mme_") or benchmark == "mme"
    strata = np.repeat(np.arange(len(names)), each) if of_mme else np.zeros(len(units), dtype=int)
    return Scores(benchmark, "score", 0.0, len(units), units, values, strata, np.arange(len(units)))


def table_rows(experiment, model: str, each: int = 8) -> list[dict[str, Any]]:
    """An experiment's rows, as its own code makes them."""
    names = [*experiment.benchmarks, *(["mme_cognition"] if "mme" in experiment.benchmarks else [])]
    found: list[dict[str, Any]] = []
    for keep in experiment.keeps or (0.1,):
        cells: dict[str, dict[str, Scores]] = {}
        for number, name in enumerate(experiment.variants):
            cells[name] = {b: scores(b, 80 - 3 * number, number, each) for b in names}
            if experiment.parts:
                cells[name] |= {k: part for whole in list(cells[name].values()) for k, part in parts_of(whole).items()}
        chance = dict.fromkeys(cells["baseline"], 30.0) if experiment.chance else {}
        new = rows_of(experiment, model, keep, cells, chance, resamples=20, seed=0)
        found += [row for row in new if row not in found]
    return found


def rows() -> list[dict[str, Any]]:
    """All tables of all models, the figures of LLaVA-1.5-7B, and E-AdaPrune's comparison on its three backbones."""
    table = []
    for experiment in (TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8):
        for paper in experiment.papers:
            table += table_rows(experiment, CHECKPOINTS[paper])
    table += _figure_rows()
    for paper in ("LLaVA-1.5-7B", "LLaVA-1.5-13B", "LLaVA-NeXT-8B"):
        table += _spectral_rows(CHECKPOINTS[paper])
    return table


def _row(
    experiment: str, method: str, keep: float, benchmark: str, metric: str, value: float, half: float = 0.2
) -> dict[str, Any]:
    return synthetic.row(experiment, method, keep, benchmark, metric, value, half, 1000, MODEL)


def _figure_rows() -> list[dict[str, Any]]:
    table = []
    for keep in (0.5, 0.1):
        for method in ("fastv", "adaptprune", "random"):
            for name in ("nocaps", "textvqa", "vqav2"):
                table.append(_row("figure1", f"{method} overlap", keep, name, "position_overlap", 50))
            for name in ("nocaps", "vqav2", "textvqa", "docvqa"):
                for metric in ("neighbour_similarity", "neighbour_key_similarity", "adjacency"):
                    table.append(_row("figure3", f"{method} {metric}", keep, name, metric, 60, 0.01))
            table.append(_row("figure5", method, keep, "nocaps", "nocaps_CIDEr", 70))
            table.append(_row("figure5", method, keep, MEAN, PERCENT, 97))
        for name in ("nocaps", "vqav2", "textvqa", "docvqa"):
            for metric in ("neighbour_similarity", "adjacency"):
                pair = f"fastv {metric} - adaptprune {metric}"
                table.append(_row("figure3", pair, keep, name, DIFFERENCE + metric, 0.25, 0.05))
        table.append(_row("figure5", "adaptprune - fastv", keep, MEAN, DIFFERENCE + PERCENT, 2.0))
    table.append(_row("figure5", "baseline", 1.0, "nocaps", "nocaps_CIDEr", 90.0))
    table.append(_row("figure5", "baseline", 1.0, MEAN, PERCENT, 100.0, 0.0))
    for pair in ("nocaps ~ textvqa", "vqav2 ~ mmbench", MEAN):
        table.append(_row("figure2", "benchmarks alike", 1.0, pair, "pearson", 0.95, 0.01))
    for name in ("nocaps", "textvqa", "vqav2", "mmbench"):
        table.append(_row("figure2", "layers alike", 1.0, name, "pearson", 0.7, 0.1))
        table.append(_row("figure2", "last quarter", 1.0, name, "share_of_image_attention", 0.42, 0.1))
    return table


def _spectral_rows(model: str) -> list[dict[str, Any]]:
    table = []
    for benchmark in (*EADAPRUNE, MEAN):
        metric = PERCENT if benchmark == MEAN else "score"
        table.append(_row("eadaprune", "baseline", 1.0, benchmark, metric, UNPRUNED))
        for keep in KEEPS:
            for host in HOSTS:
                table.append(_row("eadaprune", host, keep, benchmark, metric, FIXED))
                table.append(_row("eadaprune", f"{host}_spectral", keep, benchmark, metric, FIXED + GAIN))
                pair = f"{host}_spectral - {host}"
                table.append(_row("eadaprune", pair, keep, benchmark, DIFFERENCE + metric, GAIN))
    return [row | {"model": model} for row in table]


def write_spectral(folder: Path) -> None:
    """E-AdaPrune's files in place of the miniature's: photographs have no known content."""
    spectra = folder / "spectra"
    (spectra / "correlation.csv").unlink()
    budgets, decay = (pd.read_csv(spectra / f"{name}.csv") for name in ("budgets", "decay"))
    matched = {f"projected_{target:g}": budgets["projected_0.1"] for target in TARGETS}
    budgets[["benchmark", "image_id"]].assign(**matched).to_csv(spectra / "budgets.csv", index=False)
    decay[decay["group"] == "all"].to_csv(spectra / "decay.csv", index=False)
    for name in ("energy", "sensitivity"):
        for path in (folder / name).glob("*.csv"):
            path.unlink()
    dump(
        folder / "eadaprune/tokens.csv",
        [
            {
                "method": host + kind,
                "keep": keep,
                "energy": 0.9,
                "benchmark": benchmark,
                "n": 1000,
                "tokens": 576 * keep,
            }
            | {"tokens_by_layer": 576 * (1 + keep) / 2}
            for host in HOSTS
            for kind in ("", "_spectral")
            for keep in KEEPS
            for benchmark in (*EADAPRUNE, MEAN)
        ],
    )
    calibration = {"features": "projected", "centre": False, "power": 2, "k_min": 1, "k_max": "", "energy": 0.9}
    dump(
        spectra / "calibration.csv",
        [calibration | {"target": part, "tokens": 576 * part, "calibrated_mean": 576 * part} for part in TARGETS],
    )


def write_costs(folder: Path) -> None:
    """Table 3's ratios, of a device that says how much memory was used."""
    speedups = {"fastv": (1.6, 1.5, 1.7), "adaptprune": (1.5, 1.4, 1.6)}
    table = []
    for method, times in speedups.items():
        for quantity, values in (("speedup_end_to_end", times), ("memory_ratio", (1.25, 1.25, 1.25))):
            middle, low, high = values
            names = {"model": MODEL, "method": method, "keep": 0.1, "batch": 1, "quantity": quantity}
            table.append(names | {"median": middle, "quartile_low": low, "quartile_high": high, "rounds": 7})
    dump(folder / "timings.csv", table)
    from vtstudy.experiments.costs import write_costs as write

    write(folder)
