"""Times of the ways ("routes") to compute a spectral budget, by tokens, width and rank, and for the papers' shapes.

Writes `spectra_latency/latency.csv`. Rows of the source `measured` are of this machine's CPU. Rows of the source
`recorded` are of a GPU, from the files that `benchmarks/spectra.py --json` wrote to `reports/recorded/`. Times differ
from run to run, so no other result depends on them. They are stored with other measurements: the file holds the times
of the first run on this machine with this code. Routes take turns, and are compared round by round.
"""

import json
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vtprune.cost.timing import interleaved, quartiles, ratios
from vtprune.errors import UserError
from vtstudy.evaluation.cache_key import meaning
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.provenance import machine_facts, versions
from vtstudy.experiments.svd_routes import SHAPES, budget_calls, cost, leading_call, matrix

NAME = "spectra_latency"
ENERGY, RANK, OVERSAMPLING, ITERATIONS = 0.9, 64, 8, 2
BASE = "576x1024"
SWEEPS = {  # what varies, about LLaVA-1.5's tower: (shape, target rank)
    "tokens": [(f"{n}x1024", RANK) for n in (144, 288, 576, 1152)],
    "width": [(f"576x{d}", RANK) for d in (256, 512, 1024, 2048, 4096)],
    "rank": [(BASE, t) for t in (16, 32, 64, 128, 256)],
    "shapes": [(shape, RANK) for shape in SHAPES],
}
SLOW = 3e9  # multiplications of a full SVD that would take seconds: it is left out
ROUNDS, SECONDS = 5, 6.0  # measured rounds of a shape at most, and how long until no further one begins
LEADING = "randomised, rank t"

Times = list[dict[str, Any]]
"""What `time_routes` measures of each route, as JSON data."""


def time_routes(shape: str, rank: int, rounds: int = ROUNDS) -> Times:
    """Time all routes on one matrix on the CPU.

    Returns:
        Of each route its name, the seconds of each round, and the budget with the rank that settled it. The leading
        shares alone give no budget.
    """
    tokens, width = map(int, shape.split("x"))
    x = matrix(tokens, width, torch.device("cpu"))
    calls: dict[str, Callable[[], Any]] = budget_calls(x, ENERGY, rank, OVERSAMPLING, ITERATIONS)
    if cost(tokens, width, None) > SLOW:
        del calls["svd"]
    # These calls also warm up.
    budgets = {name: [int(part) for part in call()] for name, call in calls.items()}
    calls[LEADING] = leading_call(x, rank, OVERSAMPLING, ITERATIONS)
    seconds = interleaved(calls, rounds, x.device, warmup=0, limit_seconds=SECONDS)
    return [{"route": name, "seconds": seconds[name], "budget": budgets.get(name, [None, rank])} for name in calls]


def measured_rows(shape: str, rank: int, times: Times) -> Iterator[dict[str, object]]:
    """A row for each route of `time_routes`."""
    gram = next(route["seconds"] for route in times if route["route"] == "gram")
    for route in times:
        kept, settled = route["budget"]
        yield _row(shape, route["route"], "measured", platform.machine(), rank, route["seconds"], gram, kept, settled)


def _row(
    shape: str,
    route: str,
    source: str,
    device: str,
    rank: int,
    seconds: list[float],
    gram: list[float],
    kept: int | None,
    settled: int,
) -> dict[str, object]:
    tokens, width = map(int, shape.split("x"))
    low, median, high = quartiles([1000 * value for value in seconds])
    needed = cost(tokens, width, settled if "randomised" in route else None)
    return {
        "source": source,
        "device": device,
        "shape": shape,
        "tokens": tokens,
        "width": width,
        "rank": rank,
        "route": route,
        "median_ms": f"{median:.4g}",
        "quartile_low_ms": f"{low:.4g}",
        "quartile_high_ms": f"{high:.4g}",
        "rounds": len(seconds),
        "times_gram": f"{ratios(seconds, gram).median:.4g}",
        "cost": f"{needed:.4g}",
        "cost_of_svd": f"{needed / cost(tokens, width, None):.4g}",
        "budget": kept,
        "settled_at": settled,
    }


def recorded(folder: Path) -> Iterator[dict[str, object]]:
    """Rows of a GPU's recorded times; none if the folder has no such files.

    Raises:
        UserError: if a file in the folder is not JSON.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is not JSON, so the times in it cannot be read") from error
        if (
            not isinstance(found, dict)
            or found.get("benchmark") != "spectra"
            or not found["provenance"]["versions"].get("cuda")
        ):
            continue  # of another benchmark, or of a CPU
        gram = {row["shape"]: row["seconds"] for row in found["rows"] if row["what"] == "gram"}
        for row in found["rows"]:
            route, rank = row["what"], found["settings"]["rank"]
            if route in ("svd", "gram", "randomised", LEADING):
                yield _row(
                    row["shape"],
                    route,
                    "recorded",
                    found["provenance"]["device"],
                    rank,
                    row["seconds"],
                    gram[row["shape"]],
                    None if route == LEADING else row["tokens"],
                    row["settled_at"],
                )


def measure_latency(
    results: Path, recorded_times: Path, cache: Path, *, rounds: int = ROUNDS, fresh: bool = False
) -> Path:
    """Time the routes, add the recorded times, and write `spectra_latency/latency.csv`; returns its path.

    Args:
        results: folder of the results.
        recorded_times: folder of a GPU's recorded times.
        cache: folder of the stored answers; the times are stored there too.
        rounds: measured rounds of a shape, at most; at least 2.
        fresh: whether to measure again if there are stored times.
    """
    key = {
        "machine": machine_facts(),
        "versions": versions(("torch",)),
        "code": meaning(("vtstudy.experiments.svd_routes", "vtprune.cost.timing")),
        "settings": [ENERGY, OVERSAMPLING, ITERATIONS, SLOW, SECONDS, rounds],
    }
    measurements = MeasurementCache(cache / "measurements")
    points = list(dict.fromkeys(point for sweep in SWEEPS.values() for point in sweep))
    rows: list[dict[str, object]] = []
    for shape, rank in tqdm(points, desc=NAME, unit="shape", dynamic_ncols=True):
        times = measurements.data(
            "svd-latency",
            key | {"shape": shape, "rank": rank},
            partial(time_routes, shape, rank, rounds),
            fresh=fresh,
        )
        rows += measured_rows(shape, rank, times)
    return write_csv(results / NAME / "latency.csv", [*rows, *recorded(recorded_times)])
