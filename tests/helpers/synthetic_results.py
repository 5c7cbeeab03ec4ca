"""Results that no model made, written as the experiments write theirs.

The main tables have a chosen gain of AdaptPrune over FastV, E-AdaPrune's experiments a chosen gain of spectral over
fixed budgets.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers import ROOT
from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.results_table import COLUMNS, DIFFERENCE, MEAN, PERCENT

PUBLISHED = ROOT / "data" / "published"
MODEL = "miniature-llava"
HUB_MODEL = "llava-hf/llava-1.5-7b-hf"
REVISION = "b234b804b114d9e37bb655e11cbbb5f5e971b7a9"
ABLATION = ["nocaps", "flickr30k", "gqa", "okvqa", "docvqa", "textvqa", "pope", "mmbench"]
MAIN_PAIRS = [
    "adaptprune - fastv",
    "adaptprune - random",
    "fastv - random",
    "fastv - baseline",
    "adaptprune - adaptprune_as_written",
    "fastv - vtw",
]
ABLATION_PAIRS = ["(b) - (a)", "(c) - (b)", "(d) - (c)", "(c) - (a)", "(d) - (a)", "(d) - (b)"]
HOSTS, KEEPS, TAUS = ("fastv", "pyramiddrop", "visionzip"), (0.25, 0.1), (0.9, 0.98)
SPECTRAL_BENCHMARKS = ("pope", "mme")
BUDGETS = (0.5, 0.25, 0.1, 0.05)
SCORES = {"adaptprune": [95, 85, 70, 60], "fastv": [75, 70, 69.5, 62], "fitprune": [90, 88, 80, 50]}
"""Of a few methods at each budget."""

Row = dict[str, Any]


def row(
    experiment: str,
    method: str,
    keep: float | str,
    benchmark: str,
    metric: str,
    value: float,
    half: float = 1.0,
    n: int = 40,
    model: str = MODEL,
) -> Row:
    """One row of results.csv; `half` is half the width of its interval."""
    low, middle, high = (round(number, 4) for number in (value - half, value, value + half))
    return dict(zip(COLUMNS, (experiment, model, method, keep, benchmark, metric, middle, n, low, high), strict=True))


def rows(gain: float = 5.0, half: float = 1.5, model: str = MODEL, spread: bool = False) -> list[Row]:
    """The main table and the ablation.

    Args:
        gain: AdaptPrune above FastV, in percent of the unpruned score.
        half: half the width of an interval, in percent.
        model: ours.
        spread: whether the gain differs between benchmarks.
    """
    methods = {
        "baseline": 100.0,
        "blind": 40.0,
        "fastv": 80.0,
        "adaptprune": 80.0 + gain,
        "adaptprune_as_written": 80.0 + gain / 2,
        "random": 82.0,
        "vtw": 10.0,
    }
    steps = {"(a)": 80.0, "(b)": 80.0 + gain / 3, "(c)": 80.0 + gain / 2, "(d)": 80.0 + gain}
    table = []
    for experiment, levels, benchmarks, pairs in (
        ("table1", methods, ADAPTPRUNE, MAIN_PAIRS),
        ("table4", steps, ABLATION, ABLATION_PAIRS),
    ):
        for place, benchmark in enumerate([*benchmarks, MEAN]):
            scale = {"mme": 15.0, MEAN: 1.0}.get(benchmark, 0.75)
            metric = PERCENT if benchmark == MEAN else "score"
            wobble = (place % 5 - 2) * 2.0 if spread and benchmark != MEAN else 0.0
            values = {
                method: level + (wobble * (number % 3) if method not in ("baseline", "blind") else 0)
                for number, (method, level) in enumerate(levels.items())
            }
            for method, value in values.items():
                keep = 1.0 if method in ("baseline", "blind") else 0.1
                table.append(row(experiment, method, keep, benchmark, metric, scale * value, scale * half, 300, model))
            for pair in pairs:
                a, b = pair.split(" - ")
                lead = scale * (values[a] - values[b])
                unit = DIFFERENCE + metric
                table.append(row(experiment, pair, 0.1, benchmark, unit, lead, scale * half, 300, model))
            if experiment == "table1" and benchmark != MEAN:
                chance = row(experiment, "chance", "", benchmark, metric, scale * 25.0, model=model)
                table.append(chance | {"ci_low": "", "ci_high": "", "n": ""})
    return table


def changed(table: list[Row], method: str, benchmark: str, **values: float) -> list[Row]:
    """The rows, with other values in those of a method and a benchmark of Table 1."""
    place = ("table1", method, benchmark)
    return [
        entry | values if (entry["experiment"], entry["method"], entry["benchmark"]) == place else entry
        for entry in table
    ]


def figure_rows() -> list[Row]:
    """The experiments of Figures 1, 2, 3 and 5."""
    table = []
    for keep in (0.5, 0.1):
        for name, value in (("fastv", 60.0), ("adaptprune", 35.5), ("random", 100 * keep)):
            table.append(row("figure1", f"{name} overlap", keep, "nocaps", "position_overlap", value))
            for metric in ("neighbour_similarity", "neighbour_key_similarity", "adjacency"):
                table.append(row("figure3", f"{name} {metric}", keep, "nocaps", metric, value / 100, 0.01))
            table.append(row("figure5", name, keep, "nocaps", "nocaps_CIDEr", value))
            table.append(row("figure5", name, keep, MEAN, PERCENT, value))
        for metric in ("neighbour_similarity", "adjacency"):
            pair = f"fastv {metric} - adaptprune {metric}"
            table.append(row("figure3", pair, keep, "nocaps", DIFFERENCE + metric, 0.25, 0.05))
        table.append(row("figure5", "adaptprune - fastv", keep, MEAN, DIFFERENCE + PERCENT, -24.5))
    table.append(row("figure5", "baseline", 1.0, "nocaps", "nocaps_CIDEr", 90.0))
    table.append(row("figure5", "baseline", 1.0, MEAN, PERCENT, 100.0, 0.0))
    table.append(row("figure2", "benchmarks alike", 1.0, "nocaps ~ textvqa", "pearson", 0.31, 0.1))
    table.append(row("figure2", "benchmarks alike", 1.0, MEAN, "pearson", 0.31, 0.1))
    table.append(row("figure2", "last quarter", 1.0, "nocaps", "share_of_image_attention", 0.42, 0.1))
    return table


def method_rows(scores: dict[str, list[float]], experiment: str = "methods", half: float = 1.0) -> list[Row]:
    """The experiment with several methods: each method's mean at each budget, and its difference from AdaptPrune."""
    table = [row(experiment, "baseline", 1.0, "pope", "pope_accuracy", 80.0, n=60)]
    for method, values in scores.items():
        for budget, value in zip(BUDGETS, values, strict=True):
            table.append(row(experiment, method, budget, "pope", "pope_accuracy", 0.8 * value, half, 60))
            table.append(row(experiment, method, budget, MEAN, PERCENT, value, half))
            if method != "adaptprune":
                lead = value - scores["adaptprune"][BUDGETS.index(budget)]
                pair = f"{method} - adaptprune"
                table.append(row(experiment, pair, budget, MEAN, DIFFERENCE + PERCENT, lead, half))
    return table


def layer_rows(
    fastv: dict[int, float],
    lead: float = 10.0,
    half: float = 1.0,
    keeps: Sequence[float] = (0.5, 0.1),
    model: str = MODEL,
) -> list[Row]:
    """The sweep over layers.

    Args:
        fastv: by layer, its mean percent of the unpruned score at every keep ratio.
        lead: of AdaptPrune over FastV, in percentage points; random selection has FastV's score.
        half: half the width of an interval.
        keeps: the keep ratios.
        model: ours.
    """
    table = [row("layers", "baseline", 1.0, MEAN, PERCENT, 100.0, 0.0, model=model)]
    for keep in keeps:
        for layer, value in fastv.items():
            for method, score in {"fastv": value, "adaptprune": value + lead, "random": value}.items():
                table.append(row("layers", f"{method} K={layer}", keep, MEAN, PERCENT, score, half, model=model))
            for first, second, gap in (
                ("adaptprune", "fastv", lead),
                ("adaptprune", "random", lead),
                ("fastv", "random", 0),
            ):
                pair = f"{first} K={layer} - {second} K={layer}"
                table.append(row("layers", pair, keep, MEAN, DIFFERENCE + PERCENT, gap, half, model=model))
    return table


def spectral_rows(gain: float, half: float = 1.0) -> list[Row]:
    """E-AdaPrune's experiments; `gain` is spectral minus fixed, in percentage points."""
    points: list[tuple[str, str, float | str, float]] = [
        (experiment, "baseline", 1, 100) for experiment in ("eadaprune", "energy", "sensitivity")
    ]
    for keep in KEEPS:
        for host in HOSTS:
            points.append(("eadaprune", host, keep, 60))
            points.append(("eadaprune", f"{host}_spectral", keep, 60 + gain))
            points.append(("eadaprune", f"{host}_spectral - {host}", keep, gain))
    points += [("energy", f"fastv tau={tau:g}", "", 100 * tau - 30) for tau in TAUS]
    points += [
        ("sensitivity", "fastv", 0.1, 60),
        ("sensitivity", "fastv_spectral", 0.1, 60 + gain),
        ("sensitivity", "fastv vision", 0.1, 60),
        ("sensitivity", "fastv_spectral - fastv", 0.1, gain),
        ("sensitivity", "fastv vision - fastv_spectral", 0.1, -gain),
        ("sensitivity", "fastv projected k<=28 - fastv_spectral", 0.1, 0.0),
    ]
    table = []
    for benchmark in (*SPECTRAL_BENCHMARKS, MEAN):
        metric = PERCENT if benchmark == MEAN else "score"
        for experiment, method, keep, value in points:
            unit = DIFFERENCE + metric if " - " in method else metric
            table.append(row(experiment, method, keep, benchmark, unit, value, half))
    return table


def write(
    folder: Path, table: list[Row], profile: str = "miniature", columns: Sequence[str] = COLUMNS, **others: Any
) -> dict[str, Path]:
    """Write the input files into `folder`; returns the arguments of `build_report`."""
    with open(folder / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return write_others(folder, profile, **others)


def write_others(
    folder: Path, profile: str = "miniature", checkpoints: dict[str, str] | None = None, **more: Any
) -> dict[str, Path]:
    """Write the input files besides results.csv; returns the arguments of `build_report`.

    Args:
        folder: where they are written.
        profile: the name of the profile.
        checkpoints: by the papers' model, a folder of a model that was trained here, or the Hub id of one that was
            fetched.
        more: other facts of provenance.json.
    """
    own = profile == "miniature"
    checkpoints = checkpoints or {"LLaVA-1.5-7B": f"data/checkpoints/{MODEL}" if own else HUB_MODEL}
    facts = {
        "profile": profile,
        "commit": "0123abc",
        "dirty": False,
        "seconds": 612.4,
        "answers": 3600,
        "prompts_shown": 120,
        "checkpoint": f"/home/someone/models/{MODEL if own else 'llava-7b'}",
        "models": model_facts(checkpoints),
        "parameters": {"keep": 0.1, "seed": 7, "fixed": 0.9},
        "versions": {"torch": "2.11"},
        "machine": {"cpus": 2, "gpu": None},
    } | more
    (folder / "provenance.json").write_text(json.dumps(facts))
    limited = {"experiments": {"eadaprune": {"limit": 20}}} if own else {}
    write_params(folder / "params.yaml", checkpoints, **limited)
    return {"reports": folder, "params": folder / "params.yaml", "published": PUBLISHED, "out": folder / "out"}


def model_facts(checkpoints: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What provenance.json says of the models; `checkpoints` as in `write_others`."""
    return {
        key: {"model": Path(checkpoint).name, "source": None}
        if "miniature" in checkpoint
        else {"model": checkpoint, "source": {"id": checkpoint, "commit": REVISION}}
        for key, checkpoint in checkpoints.items()
    }


def write_params(path: Path, checkpoints: dict[str, str], **sections: Any) -> None:
    """Write a params.yaml with the checkpoint that is run for each of the paper's models, under the model's name."""
    models = {paper: {"paper": paper, "checkpoint": checkpoint} for paper, checkpoint in checkpoints.items()}
    report = {"tolerances": {"default": 1.0, "mme": 20, "questions": 2, "average_gain": 0.3}}
    path.write_text(json.dumps({"report": report, "models": models} | sections))
