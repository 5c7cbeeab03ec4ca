"""Interleaved timing: every round runs each candidate once, so drift of the machine hits all alike."""

import statistics
import time
from collections.abc import Callable

import torch
from tqdm import tqdm


def interleaved(
    candidates: dict[str, Callable[[], object]], *, rounds: int, device: torch.device, warmup: int = 1, label: str = ""
) -> dict[str, list[float]]:
    """Seconds of each candidate in each round, in the same order, after ``warmup`` rounds untimed.

    The order within a round alternates, and a GPU is synchronised before and after each call.
    """
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for index in tqdm(range(warmup + rounds), desc=label, leave=False):
        for name in names if index % 2 else reversed(names):
            synchronise()
            start = time.perf_counter()
            candidates[name]()
            synchronise()
            if index >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> str:
    """How many times as long the first took, round by round: median [quartiles]."""
    ratios = [a / b for a, b in zip(slower, faster, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def milliseconds(seconds: list[float]) -> str:
    """Median in milliseconds."""
    return f"{1000 * statistics.median(seconds):.2f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows as an aligned Markdown table."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in lines)
