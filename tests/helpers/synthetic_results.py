"""Results that no model made: a chosen gain of AdaptPrune over FastV, written as the experiments write theirs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from helpers import ROOT

PUBLISHED = ROOT / "data" / "published"
BENCHMARKS = [
    "nocaps",
    "flickr30k",
    "vqav2",
    "gqa",
    "okvqa",
    "vizwiz",
    "textvqa",
    "chartqa",
    "docvqa",
    "pope",
    "mme",
    "mmbench",
]
ABLATION = ["nocaps", "flickr30k", "gqa", "okvqa", "docvqa", "textvqa", "pope", "mmbench"]
COLUMNS = ["experiment", "model", "method", "keep", "benchmark", "metric", "value", "n", "ci_low", "ci_high"]
PAIRS1 = [
    "adaptprune - fastv",
    "adaptprune - random",
    "fastv - random",
    "fastv - baseline",
    "adaptprune - adaptprune_as_written",
    "fastv - vtw",
]
PAIRS4 = ["(b) - (a)", "(c) - (b)", "(d) - (c)", "(c) - (a)", "(d) - (a)", "(d) - (b)"]


def rows(gain: float = 5.0, half: float = 1.5, model: str = "miniature-llava", spread: bool = False) -> list[dict]:
    """``gain``: AdaptPrune above FastV in percent of the unpruned score; ``half``: half an interval, in percent."""
    levels = {
        "baseline": 100.0,
        "blind": 40.0,
        "fastv": 80.0,
        "adaptprune": 80.0 + gain,
        "adaptprune_as_written": 80.0 + gain / 2,
        "random": 82.0,
        "vtw": 10.0,
    }
    steps = {"(a)": 80.0, "(b)": 80.0 + gain / 3, "(c)": 80.0 + gain / 2, "(d)": 80.0 + gain}
    found = []

    def add(experiment, method, benchmark, metric, value, scale, keep=0.1, width=half):
        low, middle, high = (round(v * scale, 4) for v in (value - width, value, value + width))
        found.append(dict(zip(COLUMNS, (experiment, model, method, keep, benchmark, metric, middle, 300, low, high))))

    for experiment, values, benchmarks, pairs in (
        ("table1", levels, BENCHMARKS, PAIRS1),
        ("table4", steps, ABLATION, PAIRS4),
    ):
        for k, benchmark in enumerate([*benchmarks, "mean"]):
            scale = {"mme": 15.0, "mean": 1.0}.get(benchmark, 0.75)
            metric = "percent_of_baseline" if benchmark == "mean" else "score"
            wobble = (k % 5 - 2) * 2.0 if spread and benchmark != "mean" else 0.0
            shifted = {
                m: v + (wobble * (i % 3) if m not in ("baseline", "blind") else 0)
                for i, (m, v) in enumerate(values.items())
            }
            for method, value in shifted.items():
                keep = 1.0 if method in ("baseline", "blind") else 0.1
                add(experiment, method, benchmark, metric, value, scale, keep)
            for pair in pairs:
                a, b = pair.split(" - ")
                add(experiment, pair, benchmark, f"difference:{metric}", shifted[a] - shifted[b], scale)
            if experiment == "table1" and benchmark != "mean":
                add(experiment, "chance", benchmark, metric, 25.0, scale, "")
                found[-1] |= {"ci_low": "", "ci_high": "", "n": ""}
    return found


def write(folder: Path, found: list[dict], profile: str = "miniature", columns: list[str] = COLUMNS) -> dict:
    """The input files in ``folder``; returns the arguments of ``build_report``."""
    with open(folder / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    (folder / "provenance.json").write_text(
        json.dumps(
            {
                "profile": profile,
                "commit": "0123abc",
                "dirty": False,
                "seconds": 612.4,
                "answers": 3600,
                "prompts_shown": 120,
                "checkpoint": "/home/someone/models/miniature-llava",
                "parameters": {"keep": 0.1, "seed": 7},
                "versions": {"torch": "2.11"},
                "machine": {"cpus": 2, "gpu": None},
            }
        )
    )
    checkpoint = "data/checkpoints/miniature-llava" if profile == "miniature" else "llava-hf/llava-1.5-7b-hf"
    models = {"llava-7b": {"paper": "LLaVA-1.5-7B", "checkpoint": checkpoint}}
    (folder / "params.yaml").write_text(
        json.dumps({"report": {"tolerances": {"default": 1.0, "mme": 20}}, "models": models})
    )
    return {
        "results": folder / "results.csv",
        "provenance": folder / "provenance.json",
        "params": folder / "params.yaml",
        "published": PUBLISHED,
        "figures": folder / "figures",
        "out": folder / "out",
    }
