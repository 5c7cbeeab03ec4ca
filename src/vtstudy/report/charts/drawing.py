"""Draw the charts of a report, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from pathlib import Path

from vtlaunch import available_cpus, can_start_processes
from vtstudy.report.charts.style import Chart, write_chart

CHARTS_A_PROCESS = 6
"""A further process pays for its start with this many charts."""


def write_charts(charts: Sequence[Chart], folder: Path, processes: int | None = None) -> None:
    """Draw the charts, write them to a folder, and note in each the name of its file.

    Args:
        charts: with names that differ.
        folder: made if it does not exist.
        processes: how many draw at once; by default at most one for each CPU. With one, this process draws.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if processes is None:
        processes = min(available_cpus(), len(charts) // CHARTS_A_PROCESS) if can_start_processes() else 1
    write = partial(write_chart, folder=folder)
    if processes <= 1:
        files = [write(chart) for chart in charts]
    else:
        with ProcessPoolExecutor(processes, mp_context=_context()) as pool:
            files = list(pool.map(write, charts))
    for chart, file in zip(charts, files, strict=True):
        chart.file = file


def _context() -> BaseContext:
    """Processes that inherit no locks of this one's threads; where possible, they import what draws only once."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
