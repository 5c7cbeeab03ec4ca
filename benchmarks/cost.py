"""Scoring, selection, prefill, decoding, end-to-end time and peak memory, at full size with random weights.

    python benchmarks/cost.py                                # on a GPU: all five sizes, below ten minutes on an H200
    python benchmarks/cost.py --device cpu                   # the miniature's own costs, seconds
    python benchmarks/cost.py --sizes LLaVA-1.5-13B --batches 1 4 16

Every round measures each method once, after a warm-up round. A GPU is synchronised
around every phase. Attention is SDPA everywhere, also in the baseline. `adaptprune_loop` is AdaptPrune
with the loop that the paper prints, `adaptprune_fused` runs that loop as one Triton kernel.

The results are written after each size and batch. The same command on the same device, versions and commit does not
measure them again, so that a stopped run can be continued. With --minutes the script stops before it would begin a
new size too late. Nothing is downloaded. Where the machine has no git, name the commit with --commit.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the script runs without an installation
sys.path.insert(0, str(Path(__file__).parent))

import torch
from printing import markdown_table, milliseconds
from transformers import AutoModelForImageTextToText, PreTrainedModel

from vtprune.cost.measure import LOOP, PHASES, Measured, Plan, build, measure, variants, workload_of
from vtstudy.experiments.paper_models import SIZES

RECORDED = Path(__file__).parents[1] / "reports" / "recorded" / "cost.json"
MINIATURE = Path(__file__).parents[1] / "data" / "checkpoints" / "miniature-llava"
FIVE = ("LLaVA-1.5-7B", "LLaVA-1.5-13B", "LLaVA-NeXT-7B", "InternVL2-2B", "InternVL2-8B")


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    device = torch.device(options.device)
    entries = _read(options.out) if options.out else []
    begun = time.monotonic()
    for size in options.sizes:
        model = None
        for batch in options.batches:
            entry = _facts(size, batch, device, options)
            if any(_same_run(entry, other) for other in entries):
                print(f"{size}, batch {batch}: measured already", flush=True)
                continue
            if options.minutes and time.monotonic() - begun > 60 * options.minutes:
                print(f"{size}, batch {batch}: not begun, {options.minutes:g} minutes are over; run the command again")
                return 3
            print(f"{size}, batch {batch}", flush=True)
            if model is None:
                model = _load(size, device, getattr(torch, options.dtype))
            candidates = variants(options.keep, device)
            if batch > 1:
                candidates.pop(LOOP)  # row by row it takes so many times as long as for one
            measured = measure(model, candidates, entry.pop("plan"), progress=_show_progress)
            _show_progress("")
            entry |= _results(model, measured, options.text_tokens)
            _print_results(entry)
            if options.out:
                entries.append(entry)
                _write(options.out, entries)
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--sizes",
        nargs="+",
        choices=[*SIZES, "miniature"],
        metavar="SIZE",
        help=f"of {', '.join(SIZES)}, miniature; by default the papers' five on a GPU, else the miniature",
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="prompts at a time")
    parser.add_argument("--keep", type=float, default=0.1, help="fraction of the image tokens that stay")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], help="bfloat16 on a GPU, else float32")
    parser.add_argument("--rounds", type=int, default=5, help="measured, after one of warm-up")
    parser.add_argument("--new-tokens", type=int, default=8, help="of the answer")
    parser.add_argument("--text-tokens", type=int, default=64, help="of the prompt, without its image")
    parser.add_argument(
        "--minutes", type=float, help="begin nothing new after so many (exit code 3 if something is left)"
    )
    parser.add_argument("--commit", help="which commit this is, where git cannot say")
    parser.add_argument(
        "--out", type=Path, help=f"JSON file; by default reports/recorded/{RECORDED.name} on a GPU, else none"
    )
    options = parser.parse_args(argv)
    on_gpu = torch.device(options.device).type == "cuda"
    options.sizes = options.sizes or (list(FIVE) if on_gpu else ["miniature"])
    options.dtype = options.dtype or ("bfloat16" if on_gpu else "float32")
    options.out = options.out or (RECORDED if on_gpu else None)
    if not 0 < options.keep <= 1:
        parser.error(f"--keep must lie in (0, 1], not {options.keep:g}")
    for name in ("rounds", "new_tokens", "text_tokens"):
        if getattr(options, name) < 2:
            parser.error(f"--{name.replace('_', '-')} must be at least 2, not {getattr(options, name)}")
    if min(options.batches) < 1:
        parser.error(f"--batches must be at least 1, not {min(options.batches)}")
    return options


def _load(size: str, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    if size == "miniature":
        model = AutoModelForImageTextToText.from_pretrained(MINIATURE, dtype=dtype, attn_implementation="sdpa")
        return model.to(device).eval()
    return build(SIZES[size].config(), device, dtype)


def _facts(size: str, batch: int, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Return what distinguishes one measurement from another. `plan` is removed before it is written."""
    status = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":/!reports")
    return {
        "size": size,
        "batch": batch,
        "keep": options.keep,
        "rounds": options.rounds,
        "new_tokens": options.new_tokens,
        "text_tokens": options.text_tokens,
        "dtype": options.dtype,
        "attention": "sdpa",
        "weights": "the checkpoint's" if size == "miniature" else "random",
        "provenance": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "device_type": device.type,
            "device_memory_bytes": torch.cuda.get_device_properties(device).total_memory
            if device.type == "cuda"
            else None,
            "cuda": torch.version.cuda if device.type == "cuda" else None,
            "threads": torch.get_num_threads(),
            "versions": {
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "transformers": version("transformers"),
            },
            "commit": options.commit or _git("rev-parse", "HEAD"),
            "dirty": None if options.commit or status is None else bool(status),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "plan": Plan(
            batch=batch,
            rounds=options.rounds,
            new_tokens=options.new_tokens,
            text_tokens=options.text_tokens,
        ),
    }


def _same_run(entry: dict[str, Any], other: dict[str, Any]) -> bool:
    def key(measurement: dict[str, Any]) -> dict[str, Any]:
        settings = {name: measurement[name] for name in entry if name not in ("provenance", "plan")}
        return settings | {name: value for name, value in measurement["provenance"].items() if name != "date"}

    return key(entry) == key(other)


def _results(model: PreTrainedModel, measured: Measured, text_tokens: int) -> dict[str, Any]:
    workload = workload_of(model.config, text_tokens)
    return {
        "image_tokens": workload.image_tokens,
        "tiles": workload.tiles,
        "never_dropped_tokens": workload.text_tokens,
        "weight_bytes": measured.weight_bytes,
        "seconds": {
            name: {phase: [round(value, 7) for value in values] for phase, values in phases.items()}
            for name, phases in measured.seconds.items()
        },
        "peak_bytes": measured.peak_bytes,
        "not_measured": measured.refused,
    }


def _print_results(entry: dict[str, Any]) -> None:
    """Print median milliseconds by phase and the peak memory, one line a method."""
    rows = []
    for name, seconds in entry["seconds"].items():
        times = [milliseconds(seconds[phase]) if phase in seconds else "" for phase in PHASES]
        peak = entry["peak_bytes"].get(name)
        rows.append([name, *times, f"{peak / 2**30:.2f}" if peak else ""])
    markdown_table(["method", *(f"{phase}, ms" for phase in PHASES), "peak GiB"], rows)
    for name, reason in entry["not_measured"].items():
        print(f"{name}: {reason}")
    sys.stdout.flush()


def _show_progress(step: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K  {step}", end="", file=sys.stderr, flush=True)


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    """Replace the file at once, so that an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
