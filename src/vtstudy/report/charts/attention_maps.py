"""Figures 2, 8 and 9: mean attention over the image grid, and its correlation between benchmarks."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from vtstudy.report import formatting
from vtstudy.report.charts import messages
from vtstudy.report.charts.style import BLUE, GRID, INK, ORANGE, SPARE_STYLES, Chart, tight_layout
from vtstudy.report.labels import benchmark_label

LAYERS_A_LINE = 8
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
PAIR_STYLES = [(BLUE, "o"), (ORANGE, "s"), *SPARE_STYLES]


def relative(attention: pd.DataFrame) -> dict[tuple[str, int], np.ndarray]:
    """By benchmark and layer, `[height, width]`: attention as a multiple of an even spread over the image."""
    found = {}
    for (benchmark, layer), part in attention.groupby(["benchmark", "layer"], sort=False):
        grid = part.pivot(index="row", columns="column", values="attention").to_numpy(float)
        found[benchmark, int(layer)] = grid / grid.mean()
    return found


def heatmaps(maps: dict[tuple[str, int], np.ndarray], benchmarks: list[str], name: str) -> Chart:
    """One panel a layer; the colour scale is the same for all benchmarks, also those of other figures."""
    titles = formatting.listed([benchmark_label(b) for b in benchmarks])
    return Chart(
        name,
        f"Where the last prompt token looks: {titles}",
        "Mean attention of the last prompt token over the image's grid of tokens, by layer (0 is the first), "
        "softmax over the whole prompt, mean over heads and questions; each panel divided by its own mean. "
        "Logarithmic colours, the same in all panels of Figures 2, 8 and 9, cut at the 1st and 99th percentile.",
        messages.of_maps(maps, benchmarks),
        partial(_draw_heatmaps, maps, benchmarks),
    )


def _draw_heatmaps(maps: dict[tuple[str, int], np.ndarray], benchmarks: list[str]) -> Figure:
    layers = sorted({layer for _, layer in maps})
    columns = min(LAYERS_A_LINE, len(layers))
    lines = -(-len(layers) // columns)
    side = min(1.35, 8.4 / columns)
    size = (side * columns + 1.0, len(benchmarks) * (lines * (side + 0.2) + 0.08) + 0.1)
    figure = Figure(figsize=size, layout=tight_layout())
    values = np.concatenate([grid.ravel() for grid in maps.values()])
    low, high = np.percentile(values, [1, 99])
    low = max(low, high / 1000)
    norm = LogNorm(low, high)
    axes = figure.subplots(len(benchmarks) * lines, columns, squeeze=False)
    for block, benchmark in enumerate(benchmarks):
        for place in range(lines * columns):
            axis = axes[block * lines + place // columns, place % columns]
            if place >= len(layers):
                axis.set_visible(False)
                continue
            shown = axis.imshow(maps[benchmark, layers[place]], cmap="cividis", norm=norm, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"layer {layers[place]}", fontsize=8, pad=3)
            if place % columns == 0:
                axis.set_ylabel(benchmark_label(benchmark), fontsize=9)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, aspect=25, pad=0.01, extend="both")
    # The same few round numbers in every figure: the ticks of a logarithmic axis crowd one that is short.
    ticks = [tick for tick in TICKS if low <= tick <= high]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    bar.set_label("attention, times\nan even spread", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def agreement(correlation: pd.DataFrame, name: str, interval: float) -> Chart:
    """Correlation of two benchmarks' maps, layer by layer: a line for each pair."""
    means = correlation.groupby(["first", "second"])["correlation"].mean()
    return Chart(
        name,
        "How alike the maps of different benchmarks are",
        f"1 would be the same map. Bars: {interval:g} % intervals, bootstrapped over the images of both benchmarks.",
        f"Pearson's r of two benchmarks' maps, mean over layers: from {formatting.number(means.min(), 2)} to "
        f"{formatting.number(means.max(), 2)}.",
        partial(_draw_agreement, correlation),
    )


def _draw_agreement(correlation: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    axis = figure.subplots()
    pairs = list(correlation.groupby(["first", "second"], sort=False))
    for k, ((first, second), part) in enumerate(pairs):
        colour, marker = PAIR_STYLES[k % len(PAIR_STYLES)]
        x = part["layer"] + 0.07 * (k - (len(pairs) - 1) / 2)
        axis.vlines(x, part["ci_low"], part["ci_high"], color=colour, linewidth=1.1)
        axis.plot(
            x,
            part["correlation"],
            marker=marker,
            color=colour,
            markersize=5.5,
            linewidth=1,
            linestyle="-" if k < len(PAIR_STYLES) // 2 else "--",
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=f"{benchmark_label(first)} and {benchmark_label(second)}",
        )
    axis.axhline(0, color=INK, linewidth=0.8)
    axis.set(xlabel="layer (0 is the first)", ylabel="Pearson correlation of the mean maps", ylim=(None, 1.02))
    axis.set_xticks(sorted(correlation["layer"].unique()))
    axis.grid(axis="y", color=GRID, linewidth=0.7)
    sns.despine(ax=axis)
    figure.legend(loc="outside right upper", frameon=False)
    return figure
