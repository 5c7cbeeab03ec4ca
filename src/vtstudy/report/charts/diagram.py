"""Figure 4: AdaptPrune as a diagram, drawn by us; it needs no run."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from vtstudy.report.charts.style import BLUE, GREEN, INK, ORANGE, Chart


def diagram(name: str) -> Chart:
    return Chart(
        name,
        "How AdaptPrune chooses",
        "Drawn by us after sections 4.1 to 4.3 of the paper. A neighbour's score is multiplied by one minus the "
        "product of the two decays; beyond a radius nothing is lowered. FastV stops at the scores on the left. The "
        "small maps are sketches, not measurements.",
        "Diagram: attention scores times a centre prior, then tokens taken one by one, each lowering the scores "
        "of near and similar ones",
        _draw_diagram,
    )


def _draw_diagram() -> Figure:
    figure = Figure(figsize=(9.4, 4.3), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 94), ylim=(0, 43))
    axis.axis("off")

    axis.text(1, 41, "Inside the language model", fontsize=10, weight="bold")
    _box(axis, 1, 31, 17, 7, "image tokens\nand text tokens")
    _box(axis, 24, 31, 14, 7, "layers 0 to K − 1\nall tokens")
    _box(axis, 44, 31, 17, 7, "keep a share of the\nimage tokens", edge=BLUE, width=2)
    _box(axis, 67, 31, 25, 7, "layers K and above, and their cache:\nkept image tokens, all text tokens")
    for x, y in ((18, 24), (38, 44), (61, 67)):
        _arrow(axis, (x, 34.5), (y, 34.5))

    axis.text(1, 25.6, "Which ones: adaptive non-maximum suppression", fontsize=10, weight="bold", color=BLUE)
    axis.plot([52.5, 52.5], [31, 27], color=BLUE, linewidth=1, linestyle=":")
    _map(axis, 1, 9.5, _peaks() + 0.55 * _late(), "scores: attention of the\nlast prompt token, layer K − 1")
    axis.text(16.2, 15.5, "×", fontsize=16, ha="center", va="center")
    _map(axis, 18.5, 9.5, _centre(), "correction: a Gaussian\nabout the image's centre")
    _arrow(axis, (31.3, 15.5), (34, 15.5))
    _box(axis, 34, 11.5, 14.5, 8, "take the token i\nwith the highest score", edge=BLUE)
    _arrow(axis, (48.5, 15.5), (51.3, 15.5))
    _box(axis, 51.3, 6.5, 26.2, 18, "", edge=BLUE)
    axis.text(64.4, 22.3, "multiply its neighbours' scores by 1 minus", ha="center", va="center", fontsize=8)
    _box(axis, 52.1, 15.6, 24.6, 4.4, r"how near: $\exp(-|p_i - p_j|^2\,/\,2\sigma_d^2)$", edge=ORANGE)
    axis.text(64.4, 14.1, "times", ha="center", va="center", fontsize=8)
    _box(axis, 52.1, 8.1, 24.6, 4.4, r"how alike: $\exp(-(1 - \cos(k_i, k_j))^2\,/\,2\sigma_s^2)$", edge=GREEN, size=8)
    _arrow(axis, (64.4, 6.5), (41.2, 11.5), curve=-0.3)
    axis.text(52.5, 2.6, "repeat until the budget is spent", ha="center", va="center", fontsize=8.5)
    _arrow(axis, (77.5, 15.5), (80.3, 15.5))
    _map(axis, 80.8, 9.5, _kept(), "kept tokens:\nspread out, unlike", kept=True)
    return figure


def _box(
    axis: Axes,
    x: float,
    y: float,
    width_: float,
    height: float,
    text: str,
    edge: str = INK,
    width: float = 1.1,
    size: float = 8.5,
) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (x, y),
            width_,
            height,
            boxstyle="round,pad=0,rounding_size=0.8",
            facecolor="white",
            edgecolor=edge,
            linewidth=width,
        )
    )
    axis.text(x + width_ / 2, y + height / 2, text, ha="center", va="center", fontsize=size)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], curve: float = 0.0) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=10,
            color=INK,
            linewidth=1.1,
            connectionstyle=f"arc3,rad={curve}",
            shrinkA=0,
            shrinkB=0,
        )
    )


def _map(axis: Axes, x: float, y: float, values: np.ndarray, label: str, kept: bool = False) -> None:
    cell = 12.5 / len(values)
    for row, line in enumerate(values / values.max()):
        for column, value in enumerate(line):
            shade = (BLUE if value else "white") if kept else str(1 - 0.85 * value)
            axis.add_patch(
                Rectangle(
                    (x + column * cell, y + 12.5 - (row + 1) * cell),
                    cell,
                    cell,
                    facecolor=shade,
                    edgecolor="#bbbbbb",
                    linewidth=0.4,
                )
            )
    axis.text(x + 6.25, y - 0.8, label, ha="center", va="top", fontsize=8)


def _coordinates() -> tuple[np.ndarray, np.ndarray]:
    return np.meshgrid(np.arange(10.0), np.arange(10.0), indexing="ij")


def _peaks() -> np.ndarray:
    rows, columns = _coordinates()
    return sum(np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 2.5) for r, c in ((3, 3), (5, 7)))


def _late() -> np.ndarray:
    rows, _ = _coordinates()
    return np.exp((rows - 9) / 1.2)


def _centre() -> np.ndarray:
    rows, columns = _coordinates()
    return np.exp(-((rows - 4.5) ** 2 + (columns - 4.5) ** 2) / 20)


def _kept() -> np.ndarray:
    mask = np.zeros((10, 10))
    for row, column in ((3, 3), (5, 7), (2, 6), (6, 4), (8, 2), (4, 1), (8, 7), (1, 1)):
        mask[row, column] = 1
    return mask
