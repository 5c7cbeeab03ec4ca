"""Table 3's times on this machine: the costs of the methods on one model, as ratios to the unpruned model.

For every other method of the library, the time of scoring and choosing is measured, too.

Times differ from run to run, so no other result depends on them. They are stored with other measurements: the files
hold the times of the first run on this machine with this code. The ratios are taken round by round.
"""

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vtprune.cost.measure import Plan, measure, measure_choosing, variants
from vtprune.cost.timing import ratios
from vtprune.methods import get_method, methods
from vtstudy.checkpoint_source import model_name
from vtstudy.evaluation.cache_key import ANSWERING, checkpoint_digest, defining_modules, meaning
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.experiments.files import write, write_csv
from vtstudy.experiments.provenance import machine_facts, versions

KEEP = 0.1
SPEEDUPS = ("prefill", "decode", "end_to_end")
SHARES = ("scoring", "selection")
PEAK = "peak_bytes"
"""Stands among the phases: the most memory that a GPU held during an answer, in bytes."""
SOFTWARE = ("torch", "transformers")

Seconds = Mapping[str, Mapping[str, Sequence[float]]]
"""By method and phase the seconds of each round, as in `vtprune.cost.measure.Measured.seconds`; on a GPU also PEAK."""


def measure_timings(
    folder: Path,
    checkpoint: Path,
    cache: Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    batches: Sequence[int] = (1, 8),
    rounds: int = 7,
    fresh: bool = False,
) -> Path:
    """Time the methods on a checkpoint, and write `timings.csv` and `timings.json`; returns the former's path.

    Args:
        folder: where the files are written.
        checkpoint: folder of the checkpoint.
        cache: folder of the stored answers; the times are stored there too.
        device: where the model runs; by default a GPU if there is one, else the CPU.
        dtype: precision of the weights; by default float32.
        batches: numbers of prompts in a batch.
        rounds: measured rounds, after one of warm-up; at least 2.
        fresh: whether to measure again if there are stored times.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or "float32"
    named = variants(KEEP, place)
    machine = machine_facts() | {"versions": versions(SOFTWARE)}
    if place.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(place)
    code = {"vtprune.cost.measure", *ANSWERING}.union(*map(defining_modules, named.values()))
    key = {
        "machine": machine,
        "checkpoint": checkpoint_digest(checkpoint),
        "methods": {method_name: method.signature() for method_name, method in named.items()},
        "code": meaning(code),
        "rounds": rounds,
    }
    if (place.type, dtype) != ("cpu", "float32"):  # keys of times that were stored before have neither
        key |= {"device": place.type, "dtype": dtype}
    choosing = _choosing(checkpoint, cache, key, rounds, place, dtype, fresh=fresh)
    name = model_name(checkpoint)
    rows: list[dict[str, object]] = []
    milliseconds = {}
    for batch in batches:
        seconds = MeasurementCache(cache / "measurements").data(
            "timings",
            key | {"batch": batch},
            partial(_measured, checkpoint, batch, rounds, place, dtype),
            fresh=fresh,
        )
        seconds = {method: seconds[method] for method in named if method in seconds}  # in the order of the methods
        rows += rows_of(name, batch, seconds)
        milliseconds[batch] = {
            method: {
                phase: round(1000 * statistics.median(times), 3) for phase, times in phases.items() if phase != PEAK
            }
            for method, phases in seconds.items()
        }
    facts = {
        "model": name,
        "dtype": dtype,
        "keep": KEEP,
        "machine": machine,
        "median_milliseconds": milliseconds,
        "choosing_milliseconds": choosing,
    }
    write(folder / "timings.json", json.dumps(facts, indent=2) + "\n")
    return write_csv(folder / "timings.csv", rows)


def _choosing(
    checkpoint: Path,
    cache: Path,
    key: Mapping[str, Any],
    rounds: int,
    device: torch.device,
    dtype: str,
    *,
    fresh: bool,
) -> dict[str, float]:
    """By method with a budget, the median milliseconds of scoring and choosing for one prompt."""
    candidates = {name: get_method(name, keep=KEEP) for name, cls in methods().items() if cls.takes_keep()}
    code = {"vtprune.cost.measure", *ANSWERING}.union(*map(defining_modules, candidates.values()))
    signatures = {name: method.signature() for name, method in candidates.items()}
    seconds = MeasurementCache(cache / "measurements").data(
        "choosing",
        {**key, "methods": signatures, "code": meaning(code)},
        lambda: measure_choosing(_model(checkpoint, device, dtype), candidates, _plan(1, rounds)),
        fresh=fresh,
    )
    return {name: round(1000 * statistics.median(seconds[name]), 3) for name in candidates}


def _measured(checkpoint: Path, batch: int, rounds: int, device: torch.device, dtype: str) -> Seconds:
    measured = measure(_model(checkpoint, device, dtype), variants(KEEP, device), _plan(batch, rounds), progress=_show)
    _show("")
    for method, held in measured.peak_bytes.items():
        measured.seconds[method][PEAK] = [held] * rounds  # the highest of all rounds
    return measured.seconds


def _model(checkpoint: Path, device: torch.device, dtype: str) -> Any:
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(
        checkpoint, dtype=getattr(torch, dtype), attn_implementation="sdpa", local_files_only=True
    )
    return model.to(device).eval()  # type: ignore[arg-type]  # transformers' stub takes no device


def _plan(batch: int, rounds: int) -> Plan:
    return Plan(batch=batch, rounds=rounds, loop_rounds=rounds, text_tokens=32)


def rows_of(model: str, batch: int, seconds: Seconds) -> Iterator[dict[str, object]]:
    """A row for each method and quantity.

    `speedup_*` is the time of the unpruned model over the time of the method: above 1, the method is faster.
    `*_per_prefill` is the time of scoring or selection as a share of the unpruned prefill. `memory_ratio`, on a GPU
    alone, is the peak memory of the unpruned model over that of the method.
    """
    unpruned = seconds["none"]
    for method, phases in seconds.items():
        if method == "none":
            continue
        quantities = {f"speedup_{phase}": ratios(unpruned[phase], phases[phase]) for phase in SPEEDUPS}
        quantities |= {f"{phase}_per_prefill": ratios(phases[phase], unpruned["prefill"]) for phase in SHARES}
        if PEAK in phases:
            quantities["memory_ratio"] = ratios(unpruned[PEAK], phases[PEAK])
        for quantity, quartiles in quantities.items():
            yield {
                "model": model,
                "method": method,
                "keep": None if method == "vtw" else KEEP,
                "batch": batch,
                "quantity": quantity,
                "median": f"{quartiles.median:.4f}",
                "quartile_low": f"{quartiles.low:.4f}",
                "quartile_high": f"{quartiles.high:.4f}",
                "rounds": len(unpruned["prefill"]),
            }


def _show(text: str) -> None:
    """Replace the line on the terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
