"""Figures 1, 6 and 7: the kept image tokens, drawn on the image; dropped tokens fade to white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from PIL import Image

from vtprune.drawing import FIXED, INK, draw_tokens
from vtstudy.report import fmt
from vtstudy.report.figures import Figure, save, styled
from vtstudy.report.labels import benchmark_label, method_label

METHODS = ("fastv", "adaptprune")


@dataclass(frozen=True)
class Survivors:
    """What an experiment left for these figures.

    Attributes:
        folder: holds the pictures.
        examples: ``benchmark, example, question, picture, height, width``.
        survivors: ``benchmark, method, keep, example, row, column``, one line for each kept token.
        positions: ``benchmark, method, keep, row, column, share`` of the images in which it survives.
        fixed: share from which on a position counts as fixed.
    """

    folder: Path
    examples: pd.DataFrame
    survivors: pd.DataFrame
    positions: pd.DataFrame
    fixed: float

    @property
    def keeps(self) -> list[float]:
        """The kept fractions, most first."""
        return sorted(self.survivors["keep"].unique(), reverse=True)

    def of(self, benchmark: str) -> pd.DataFrame:
        return self.examples[self.examples["benchmark"] == benchmark]

    def mask(self, example, method: str, keep: float) -> np.ndarray:
        """``[height, width]`` bool, the cells kept."""
        s = self.survivors
        found = s[
            (s["benchmark"] == example.benchmark)
            & (s["example"] == example.example)
            & (s["method"] == method)
            & (s["keep"] == keep)
        ]
        return _grid(example, found)

    def fixed_mask(self, example, method: str, keep: float) -> np.ndarray:
        """``[height, width]`` bool, the cells that this method keeps in nearly every image."""
        p = self.positions
        found = p[
            (p["benchmark"] == example.benchmark)
            & (p["method"] == method)
            & (p["keep"] == keep)
            & (p["share"] >= self.fixed - 1e-9)
        ]
        return _grid(example, found)


def _grid(example, cells: pd.DataFrame) -> np.ndarray:
    mask = np.zeros((example.height, example.width), dtype=bool)
    mask[cells["row"].to_numpy(int), cells["column"].to_numpy(int)] = True
    return mask


@styled
def compare(
    data: Survivors, examples: Sequence, keeps: Sequence[float], folder: Path, name: str, title: str, columns: int = 1
) -> Figure:
    """FastV above AdaptPrune for each example, at each kept fraction; ``columns`` examples side by side."""
    lines = -(-len(examples) // columns)
    panels = 1 + len(keeps)
    side = min(1.35, 9.4 / (columns * (panels + 0.35)))
    figure = Canvas(figsize=(side * columns * (panels + 0.35) + 0.3, lines * (2 * side + 0.62) + 0.35))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    groups = np.atleast_1d(figure.subfigures(lines, columns, squeeze=False)).flat
    for group, example in zip(groups, examples, strict=False):
        image = Image.open(data.folder / example.picture)
        group.suptitle(
            f"{benchmark_label(example.benchmark)}: {_short(example.question, 13 * panels)}",
            x=0.02,
            ha="left",
            fontsize=8,
        )
        axes = group.subplots(2, panels, squeeze=False)
        for line, method in enumerate(METHODS):
            draw_tokens(axes[line, 0], image)
            axes[line, 0].set_ylabel(method_label(method), fontsize=8)
            for axis, keep in zip(axes[line, 1:], keeps, strict=True):
                draw_tokens(axis, image, data.mask(example, method, keep), data.fixed_mask(example, method, keep))
                if line == 0:
                    axis.set_title(f"{percent(1 - keep)} pruned", fontsize=8, pad=3)
            if line == 0:
                axes[0, 0].set_title("image", fontsize=8, pad=3)
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="s",
            markersize=7,
            markerfacecolor="white",
            markeredgecolor=INK,
            markeredgewidth=0.5,
            label="kept token",
        ),
        Line2D(
            [],
            [],
            linestyle="none",
            marker="s",
            markersize=7,
            markerfacecolor="white",
            markeredgecolor=FIXED,
            markeredgewidth=1.6,
            label=f"kept at this position in at least {percent(data.fixed)} of the images",
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    save(figure, folder, name)
    marked = (
        f"Heavy frames: positions that the method keeps in at least {percent(data.fixed)} of the benchmark's images."
    )
    return Figure(
        name,
        title,
        f"The first questions of each benchmark, not chosen by hand. {marked}",
        "Images with the tokens that FastV (upper row) and AdaptPrune (lower row) keep, at "
        f"{fmt.names([percent(1 - k) for k in keeps])} pruned",
    )


def percent(share: float) -> str:
    """0.95 as "95 %"."""
    return f"{round(100 * share, 4):g} %"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
