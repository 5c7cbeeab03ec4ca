"""Spectral budgets of an image by every route, for the shapes of real models.

    python benchmarks/spectra.py [--device cuda] [--rounds 7] [--shapes 576x1024 2880x4096] [--json FILE]

The three routes of `SpectralBudget` return a token count that is certain. The rows "rank t" return the first t
energies and nothing more: the randomised spectrum without its retries, `torch.svd_lowrank` and
scikit-learn's `randomized_svd`. The column "error" shows their errors (in the share of the energy that the
first t hold, and in the budget that follows). scikit-learn runs on the CPU alone and is left out where
it is not installed. Ratios compare with the full SVD, round by round, of interleaved calls. "cost" is the paper's
complexity, O(n d min(n, d)) or O(n d t + t^2 d), as a share of the full SVD's.

`--json` writes the times and describes the machine. The stage `spectra_latency` reads files of GPUs in
`reports/recorded/`; it times the routes itself on the CPU.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from printing import markdown_table, milliseconds, progress_bar, ratio

from vtprune.cost.timing import interleaved
from vtprune.ops import spectrum
from vtprune.ops.spectrum import ranks_at
from vtstudy.experiments.svd_routes import SHAPES, budget_calls, cost, leading_call, matrix


def candidates(x: torch.Tensor, energy: float, rank: int, oversampling: int, iterations: int) -> tuple[dict, dict]:
    """Return the timed calls by name: those that return a budget, and those that return the first `rank` energies."""
    budget = budget_calls(x, energy, rank, oversampling, iterations)
    total = x.square().sum()

    def lowrank() -> torch.Tensor:
        torch.manual_seed(0)
        values = torch.svd_lowrank(x[0], q=rank + oversampling, niter=iterations)[1]
        return values.square()[:rank] / total

    leading = {
        "randomised, rank t": leading_call(x, rank, oversampling, iterations),
        "torch.svd_lowrank, rank t": lowrank,
    }
    if x.device.type == "cpu" and importlib.util.find_spec("sklearn"):
        from sklearn.utils.extmath import randomized_svd

        array = x[0].numpy()

        def sklearn() -> torch.Tensor:
            found = randomized_svd(array, rank, n_oversamples=oversampling, n_iter=iterations, random_state=0)[1]
            return torch.from_numpy(found).square() / total

        leading["sklearn randomized_svd, rank t"] = sklearn
    return budget, leading


def measure(shape: str, options: argparse.Namespace, device: torch.device) -> list[dict]:
    tokens, width = map(int, shape.split("x"))
    x = matrix(tokens, width, device)
    t, full = options.rank, cost(tokens, width, None)
    budget, leading = candidates(x, options.energy, t, options.oversampling, options.iterations)
    exact = spectrum(x, route="svd").shares[0]
    wanted = ranks_at(exact[None], options.energy).item()
    calls = budget | leading
    progress = progress_bar(shape, len(calls) * (1 + options.rounds))
    seconds = interleaved(calls, options.rounds, device, progress=progress)
    rows = []
    for name, took in seconds.items():
        row = {"shape": shape, "what": name, "seconds": took, "ratio": ratio(seconds["svd"], took)}
        if name in budget:
            ranks, used = (part.item() for part in budget[name]())
            share = cost(tokens, width, used) / full
            row |= {"tokens": ranks, "exact": wanted, "settled_at": used, "error": abs(ranks - wanted)}
        else:
            shares = leading[name]().to(exact)
            share = cost(tokens, width, t) / full
            reached = shares.sum() >= options.energy
            error = (exact[:t].sum() - shares.sum()).item()
            row |= {
                "tokens": ranks_at(shares[None], options.energy).item() if reached else None,
                "exact": wanted,
                "settled_at": t,
                "error": error,
            }
        rows.append(row | {"cost": share})
    return rows


def cells_of(row: dict) -> list[str]:
    """Return the cells of one line of the table."""
    tokens = f"over {row['settled_at']}" if row["tokens"] is None else str(row["tokens"])
    error = str(row["error"]) if isinstance(row["error"], int) else f"{row['error']:.1e} of the energy"
    return [
        row["shape"],
        row["what"],
        milliseconds(row["seconds"]),
        row["ratio"],
        f"{row['cost']:.3f}",
        str(row["settled_at"]),
        f"{tokens} of {row['exact']}",
        error,
    ]


def provenance(device: torch.device) -> dict:
    """Return the machine, the versions and the commit of the times."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()

    packages = ("torch", "scikit-learn", "numpy")
    return {
        "commit": git("rev-parse", "--short=12", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "cuda": torch.version.cuda}
        | {
            name: version(name)
            for name in packages
            if importlib.util.find_spec(name.replace("scikit-learn", "sklearn"))
        },
    }


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="tokens x width")
    parser.add_argument("--energy", type=float, default=0.9)
    parser.add_argument("--rank", type=int, default=64, help="target rank t")
    parser.add_argument("--oversampling", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=2, help="power iterations")
    parser.add_argument("--json", type=Path, help="write the times here, with their provenance")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = [row for shape in options.shapes for row in measure(shape, options, device)]
    settings = {name: getattr(options, name) for name in ("rounds", "energy", "rank", "oversampling", "iterations")}
    print(
        f"device {device.type}, {torch.get_num_threads()} threads, "
        + ", ".join(f"{k} {v}" for k, v in settings.items())
        + "\n"
    )
    header = ["shape", "what", "ms", "svd / this [quartiles]", "cost", "settled at", "budget", "error"]
    markdown_table(header, [cells_of(row) for row in rows])
    if device.type == "cpu" and not importlib.util.find_spec("sklearn"):
        print("\nscikit-learn is not installed, so its randomized_svd is left out.")
    if options.json:
        for row in rows:
            row["median_ms"] = 1000 * statistics.median(row["seconds"])
        found = {"benchmark": "spectra", "settings": settings, "provenance": provenance(device), "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
