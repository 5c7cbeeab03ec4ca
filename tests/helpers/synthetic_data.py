"""The files of the figures' and of E-AdaPrune's experiments, small and made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from helpers.synthetic_results import HOSTS, KEEPS, SPECTRAL_BENCHMARKS, TAUS

EVERYWHERE = [*SPECTRAL_BENCHMARKS, "mean"]
ROUTES = ("svd", "gram", "randomised", "randomised, rank t")


def dump(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def write_figures(folder: Path) -> None:
    """Files of figure1 and figure2: a grid of 4 x 3 image tokens, two benchmarks, two layers."""
    rng = np.random.default_rng(0)
    grid = [(row, column) for row in range(4) for column in range(3)]
    benchmarks, layers = ("nocaps", "textvqa"), (0, 1)
    dump(
        folder / "figure2/attention.csv",
        [
            {"benchmark": b, "layer": layer, "row": r, "column": c, "attention": rng.random() + r}
            for b in benchmarks
            for layer in layers
            for r, c in grid
        ],
    )
    dump(
        folder / "figure2/correlation.csv",
        [
            {"layer": layer, "first": "nocaps", "second": "textvqa", "correlation": 0.3, "ci_low": 0.2, "ci_high": 0.4}
            for layer in layers
        ],
    )
    variants = [(b, m, k) for b in benchmarks for m in ("fastv", "adaptprune") for k in (0.5, 0.1)]
    dump(
        folder / "figure1/examples.csv",
        [
            {"benchmark": b, "example": e, "question": "What is it?", "picture": "one.png", "height": 4, "width": 3}
            for b in benchmarks
            for e in (0, 1)
        ],
    )
    dump(
        folder / "figure1/survivors.csv",
        [
            {"benchmark": b, "method": m, "keep": k, "example": e, "row": r, "column": c}
            for b, m, k in variants
            for e in (0, 1)
            for r, c in grid[: int(12 * k)]
        ],
    )
    dump(
        folder / "figure1/positions.csv",
        [
            {"benchmark": b, "method": m, "keep": k, "row": r, "column": c, "share": 1.0 if r == 0 else 0.1}
            for b, m, k in variants
            for r, c in grid
        ],
    )
    Image.new("RGB", (30, 40), (200, 30, 30)).save(folder / "figure1/one.png")


def write_spectral(folder: Path, recorded_ms: float | None = None) -> None:
    """Files of E-AdaPrune's experiments.

    Args:
        folder: of the experiments' files.
        recorded_ms: time of the randomised route on a GPU; None if none was recorded.
    """
    _write_tokens(folder)
    _write_spectra(folder / "spectra")
    points = [("144x1024", 64), ("576x1024", 64), ("576x1024", 16), ("576x4096", 64)]
    rows = [
        _latency_row("measured", "x86_64", shape, rank, route, 10.0 * (number + 1))
        for shape, rank in points
        for number, route in enumerate(ROUTES)
    ]
    if recorded_ms is not None:
        rows.append(_latency_row("recorded", "H100", "576x1024", 64, "randomised", recorded_ms))
    dump(folder / "spectra_latency/latency.csv", rows)


def _write_tokens(folder: Path) -> None:
    dump(
        folder / "eadaprune/tokens.csv",
        [
            {
                "method": host + kind,
                "keep": keep,
                "energy": 0.9 if kind else "",
                "benchmark": benchmark,
                "n": 20,
                "tokens": 144 * keep + (3 if kind else 0),
                "tokens_by_layer": 80,
            }
            for host in HOSTS
            for kind in ("", "_spectral")
            for keep in KEEPS
            for benchmark in EVERYWHERE
        ],
    )
    dump(
        folder / "energy/tokens.csv",
        [
            {
                "method": f"fastv tau={tau:g}",
                "energy": tau,
                "benchmark": benchmark,
                "n": 20,
                "tokens": 100 * tau - 80,
                "tokens_by_layer": 60,
            }
            for tau in TAUS
            for benchmark in EVERYWHERE
        ],
    )
    variants = (
        ("fastv_spectral", "projected", "", 1.0),
        ("fastv vision", "vision", "", 0.8),
        ("fastv projected k<=28", "projected", 28, 0.9),
    )
    dump(
        folder / "sensitivity/variants.csv",
        [
            {
                "method": method,
                "features": features,
                "centre": False,
                "power": 2,
                "k_min": 1,
                "k_max": k_max,
                "energy": 0.97,
                "n": 40,
                "tokens": 14.2,
                "sd": 3.1,
                "spearman": spearman,
                "ci_low": spearman - 0.1,
                "ci_high": spearman,
            }
            for method, features, k_max, spearman in variants
        ],
    )


def _write_spectra(folder: Path) -> None:
    content = np.random.default_rng(0).integers(1, 9, 40)
    assumed = {"features": "projected", "centre": False, "power": 2, "target": 0.1}
    dump(
        folder / "budgets.csv",
        [
            {
                "benchmark": benchmark,
                "image_id": number,
                "content": count,
                "objects": count,
                "characters": count % 4,
                "chart_parts": count % 3,
                "clutter": 0,
                "projected_0.1": count + 9,
            }
            for number, count in enumerate(content)
            for benchmark in SPECTRAL_BENCHMARKS
        ],
    )
    dump(
        folder / "decay.csv",
        [
            {
                "features": "projected",
                "centre": centre,
                "group": group,
                "k": k,
                "q25": 1 - 0.5**k,
                "median": 1 - 0.4**k,
                "q75": 1 - 0.3**k,
            }
            for centre in (False, True)
            for group in ("sparse third", "all", "dense third")
            for k in range(1, 6)
        ],
    )
    correlations = (
        ("pope", "content", 0.71),
        ("mme", "content", 0.32),
        ("all", "content", 0.55),
        ("all", "objects", 0.78),
        ("all", "characters", -0.28),
        ("all", "chart_parts", -0.16),
    )
    dump(
        folder / "correlation.csv",
        [
            assumed | {"benchmark": b, "measure": m, "n": 40, "spearman": s, "ci_low": s - 0.1, "ci_high": s + 0.1}
            for b, m, s in correlations
        ],
    )
    agreement = {"n": 3942, "same": 3940, "percent": 99.95, "furthest": 1, "at_first_rank": 1971}
    dump(folder / "agreement.csv", [{"features": "projected", "target": 0.1, "benchmark": "all"} | agreement])
    calibration = {"k_min": 1, "k_max": "", "tokens": 14, "energy": 0.97, "calibrated_mean": 14, "mean": 14.1}
    dump(folder / "calibration.csv", [assumed | calibration])
    dump(
        folder / "examples/examples.csv",
        [
            {"end": end, "picture": "one.png", "benchmark": benchmark, "image_id": "x", "tokens": tokens}
            for end, tokens in (("smallest", 7), ("largest", 23))
            for benchmark in SPECTRAL_BENCHMARKS
        ],
    )
    Image.new("RGB", (9, 9), (200, 30, 30)).save(folder / "examples/one.png")


def _latency_row(source: str, device: str, shape: str, rank: int, route: str, ms: float) -> dict[str, Any]:
    tokens, width = map(int, shape.split("x"))
    return {
        "source": source,
        "device": device,
        "shape": shape,
        "tokens": tokens,
        "width": width,
        "rank": rank,
        "route": route,
        "median_ms": ms,
        "quartile_low_ms": 0.9 * ms,
        "quartile_high_ms": 1.1 * ms,
        "rounds": 3,
        "times_gram": ms / 10,
        "cost": tokens * width * 100.0,
        "cost_of_svd": 0.5,
        "budget": 14,
        "settled_at": 64,
    }
