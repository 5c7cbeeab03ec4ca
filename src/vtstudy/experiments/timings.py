"""Table 3's times on the machine at hand: the miniature's measured costs, as ratios to the unpruned model.

Writes ``timings.csv`` and ``timings.json`` (milliseconds and the machine). Times differ from run to
run, so no other result depends on them; ratios are taken round by round and given with quartiles.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vtstudy.experiments.files import write, write_csv

KEEP = 0.1
SPEEDUPS = ("prefill", "decode", "end_to_end")
SHARES = ("scoring", "selection")


def rows_of(model: str, batch: int, seconds: dict[str, dict[str, list[float]]]) -> Iterator[dict[str, Any]]:
    """One row per method and quantity, from :attr:`vtprune.cost.timing.Measured.seconds`.

    ``speedup_*`` is the baseline's time over the method's (above 1 the method is faster);
    ``*_per_prefill`` what scoring or selecting takes, as a part of the unpruned prefill.
    """
    whole = seconds["none"]
    for method, own in seconds.items():
        if method == "none":
            continue
        ratios = {f"speedup_{phase}": _ratios(whole[phase], own[phase]) for phase in SPEEDUPS}
        ratios |= {f"{phase}_per_prefill": _ratios(own[phase], whole["prefill"]) for phase in SHARES}
        for quantity, each in ratios.items():
            low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
            yield {
                "model": model,
                "method": method,
                "keep": None if method == "vtw" else KEEP,
                "batch": batch,
                "quantity": quantity,
                "median": f"{middle:.4f}",
                "quartile_low": f"{low:.4f}",
                "quartile_high": f"{high:.4f}",
                "rounds": len(each),
            }


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vtstudy.experiments.timings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", default="data/checkpoints/miniature-llava", help="folder")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="prompts at a time")
    parser.add_argument("--rounds", type=int, default=7, help="measured, after one of warm-up; at least 2")
    parser.add_argument("--out", type=Path, default=Path("reports/results"), help="folder of timings.csv and .json")
    options = parser.parse_args(argv)
    if options.rounds < 2 or min(options.batches) < 1:
        parser.error("--rounds must be at least 2 and --batches at least 1")

    import torch
    from transformers import AutoModelForImageTextToText

    from vtprune.cost.timing import Plan, measure, variants

    name = Path(options.checkpoint).resolve().name
    model = AutoModelForImageTextToText.from_pretrained(
        options.checkpoint, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
    ).eval()
    rows, milliseconds = [], {}
    for batch in options.batches:
        plan = Plan(batch=batch, rounds=options.rounds, loop_rounds=options.rounds, text_tokens=32)
        found = measure(model, variants(KEEP, torch.device("cpu")), plan, progress=_tell)
        rows += rows_of(name, batch, found.seconds)
        milliseconds[batch] = {
            method: {phase: round(1000 * statistics.median(each), 3) for phase, each in phases.items()}
            for method, phases in found.seconds.items()
        }
    _tell("")
    print(write_csv(options.out / "timings.csv", rows))
    machine = {
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "transformers": version("transformers"),
        },
    }
    facts = {"model": name, "dtype": "float32", "keep": KEEP, "machine": machine, "median_milliseconds": milliseconds}
    write(options.out / "timings.json", json.dumps(facts, indent=2) + "\n")
    return 0


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
