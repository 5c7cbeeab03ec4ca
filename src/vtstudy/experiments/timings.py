"""Table 3's times on the machine at hand: the miniature's measured costs, as ratios to the unpruned model.

Writes ``timings.csv`` and ``timings.json`` (milliseconds and the machine). Times differ from run to
run, so no other result depends on them; ratios are taken round by round and given with quartiles.
"""

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vtstudy.experiments.files import write, write_csv
from vtstudy.experiments.provenance import machine_facts, versions

KEEP = 0.1
SPEEDUPS = ("prefill", "decode", "end_to_end")
SHARES = ("scoring", "selection")


def rows_of(model: str, batch: int, seconds: dict[str, dict[str, list[float]]]) -> Iterator[dict[str, Any]]:
    """One row per method and quantity, from :attr:`vtprune.cost.measure.Measured.seconds`.

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


def measure_timings(folder: Path, checkpoint: Path, batches: Sequence[int] = (1, 8), rounds: int = 7) -> Path:
    """Time every method on a checkpoint, and write `timings.csv` and `timings.json`; returns the former's path.

    Args:
        folder: where the files are written.
        checkpoint: folder of the checkpoint.
        batches: numbers of prompts in a batch.
        rounds: measured rounds, after one of warm-up; at least 2.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    from vtprune.cost.measure import Plan, measure, variants

    model = AutoModelForImageTextToText.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
    ).eval()
    name = checkpoint.resolve().name
    rows, milliseconds = [], {}
    for batch in batches:
        plan = Plan(batch=batch, rounds=rounds, loop_rounds=rounds, text_tokens=32)
        measured = measure(model, variants(KEEP, torch.device("cpu")), plan, progress=_show)
        rows += rows_of(name, batch, measured.seconds)
        milliseconds[batch] = {
            method: {phase: round(1000 * statistics.median(times), 3) for phase, times in phases.items()}
            for method, phases in measured.seconds.items()
        }
    _show("")
    facts = {
        "model": name,
        "dtype": "float32",
        "keep": KEEP,
        "machine": machine_facts() | {"versions": versions(("torch", "transformers"))},
        "median_milliseconds": milliseconds,
    }
    write(folder / "timings.json", json.dumps(facts, indent=2) + "\n")
    return write_csv(folder / "timings.csv", rows)


def _show(text: str) -> None:
    """Replace the line on the terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
