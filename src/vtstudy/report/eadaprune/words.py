"""The chart of a word that a spectral budget keeps, and of one that it loses."""

from __future__ import annotations

import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from vtprune.drawing import draw_tokens
from vtstudy.report import formatting
from vtstudy.report.charts.style import Chart
from vtstudy.report.charts.survivors import RIGHT, WRONG
from vtstudy.report.eadaprune.data import SpectralData
from vtstudy.report.labels import benchmark_label, method_label

KEPT = "kept"
BUDGETS = ("fixed", "spectral")
LETTERS = 34
"""Letters in a line below a panel."""


def kept_words(data: SpectralData) -> Chart:
    """Each example's picture, with the tokens of the fixed and of the spectral budget, and the answers."""
    rows = data.tables["words"]
    return Chart(
        "eadaprune_words",
        "A word that a spectral budget keeps, and one that it loses" if len(rows) > 1 else "A word and two budgets",
        "The first question at which only one of the two budgets reads the word, for either side; budgets nearest to a "
        "tenth are tried first. Below a panel: how many tokens are kept, and the answer.",
        " ".join(_message(row) for row in rows.to_dict("records")),
        partial(_draw, rows, data.inputs.folders.data / "eadaprune"),
    )


def mask(kept: str, height: int, width: int) -> np.ndarray:
    """`[height, width]` bool of the kept cells, from hexadecimal digits (see `vtstudy.experiments.token_maps`)."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(kept), dtype=np.uint8))
    return bits[: height * width].astype(bool).reshape(height, width)


def _mask(row: dict, budget: str) -> np.ndarray:
    return mask(row[f"{budget}_kept"], int(row["height"]), int(row["width"]))


def _message(row: dict) -> str:
    fixed, spectral = (f"{int(_mask(row, budget).sum())} tokens, “{row[f'{budget}_answer']}”" for budget in BUDGETS)
    right = "spectral" if row["side"] == KEPT else "fixed"
    return f"{row['question']} Fixed budget: {fixed}; spectral budget: {spectral}. The {right} budget is right."


def _draw(rows: pd.DataFrame, folder: Path) -> Figure:
    figure = Figure(figsize=(7.2, 2.75 * len(rows) + 0.1), layout="constrained")
    lines = np.atleast_1d(figure.subfigures(len(rows), 1, squeeze=False)).flat
    for line, row in zip(lines, rows.to_dict("records"), strict=True):
        image = Image.open(folder / row["picture"])
        share = formatting.percent(float(row["keep"]))
        line.suptitle(
            f"{benchmark_label(row['benchmark'])}: {textwrap.shorten(row['question'], 90, placeholder='…')}\n"
            f"{method_label(row['host'])}, {share} of the tokens on average",
            x=0.02,
            ha="left",
            fontsize=8.5,
        )
        axes = line.subplots(1, 3)
        draw_tokens(axes[0], image)
        axes[0].set_title("image", fontsize=8)
        for axis, budget in zip(axes[1:], BUDGETS, strict=True):
            kept = _mask(row, budget)
            draw_tokens(axis, image, kept)
            axis.set_title(f"{budget} budget", fontsize=8)
            mark = RIGHT if (budget == "spectral") == (row["side"] == KEPT) else WRONG
            answer = textwrap.shorten(row[f"{budget}_answer"], LETTERS, placeholder="…") or "(nothing)"
            axis.set_xlabel(
                f"{formatting.counted(int(kept.sum()), 'token')}\n{mark} {answer}", fontsize=7.5, labelpad=2
            )
    return figure
