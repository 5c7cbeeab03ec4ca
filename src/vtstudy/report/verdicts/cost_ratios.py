"""Table 3's times and memories, which are its machine's, as ratios to the unpruned model: the paper's and ours."""

from __future__ import annotations

import math

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.inputs import Inputs
from vtstudy.report.published import PrintedNumbers
from vtstudy.report.table_links import KEEP, TABLE_LINKS

UNPRUNED = "baseline"
QUANTITIES = {"Time": "speedup_end_to_end", "Latency": "speedup_end_to_end", "GPU-Memory": "memory_ratio"}
"""The quantity of timings.csv that answers each column: the unpruned model's time or memory over the method's."""
TIMED = "from image to answer, batch 1"
_HOW = {"Time": TIMED, "Latency": TIMED, "GPU-Memory": "the device's peak, batch 1"}


def cost_ratio(inputs: Inputs, model: str, row: str, column: str) -> str:
    """A printed cost as a share of the unpruned model's, beside ours, in words.

    Args:
        inputs: the measurements and the printed values.
        model: of the paper.
        row: printed row of Table 3.
        column: printed column: `Time`, `GPU-Memory` or `Latency`.
    """
    if row == UNPRUNED:
        return "the unpruned model’s cost on the paper’s machine: the other two rows are compared as ratios to it"
    share = papers_ratio(inputs.printed, model, row, column)
    text = (
        f"a cost on the paper’s machine, compared as a ratio to the unpruned model’s: {share:.2f} of it in the paper, "
    )
    ours = our_ratio(inputs, model, row, column)
    return text + (f"{ours} here ({_HOW[column]})" if ours else "not measured here")


def papers_ratio(printed: PrintedNumbers, model: str, row: str, column: str) -> float:
    """A printed cost as a share of the unpruned model's."""
    return printed.cost(model, row, column) / printed.cost(model, UNPRUNED, column)


def our_ratio(inputs: Inputs, model: str, row: str, column: str) -> str:
    """Our ratio with its quartiles; "" if it was not measured."""
    frame = inputs.tables.get("timings.csv")
    if frame is None:
        return ""
    wanted = (
        (frame["model"] == inputs.results.model_for(model))
        & (frame["method"] == TABLE_LINKS[3].methods[row].quantity)
        & (frame["batch"] == 1)
        & (frame["quantity"] == QUANTITIES[column])
        & (frame["keep"].isna() | frame["keep"].map(lambda keep: math.isclose(keep, KEEP)))
    )
    found = frame[wanted]
    if found.empty or pd.isna(found["median"].iloc[0]):
        return ""
    times = found.iloc[0]
    low, high = 1 / times["quartile_high"], 1 / times["quartile_low"]
    return formatting.estimate(1 / times["median"], low, high, digits=2, bound=1)
