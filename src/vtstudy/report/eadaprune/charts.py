"""The charts of E-AdaPrune's part: spectra, budgets, the matched comparison, the sweep, the assumptions, latency."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtstudy.report import formatting
from vtstudy.report.charts import messages
from vtstudy.report.charts.dot_plot import Dot, Panel, dot_plot, draw_dot, sign_legend
from vtstudy.report.charts.style import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    METHOD_STYLE,
    ORANGE,
    RED,
    Chart,
    legend_below,
    row_axis,
)
from vtstudy.report.eadaprune.data import SpectralData
from vtstudy.report.labels import ROUTE_LABELS, benchmark_label, method_label, panel_label, variant_label
from vtstudy.report.results import Measurement
from vtstudy.results_table import MEAN

THIRDS = {"sparse third": (ORANGE, "-"), "all": (INK, ":"), "dense third": (BLUE, "--")}
ROUTES = {
    "svd": (GREY, "X"),
    "gram": (GREEN, "s"),
    "randomised": (RED, "^"),
    "randomised, rank t": (ORANGE, "o"),
}
KINDS = (("objects", "objects", BLUE), ("characters", "characters", RED), ("chart_parts", "chart parts", GREEN))
"""What an image may hold: the column of its count, its name and its colour."""
NEARLY_ALL = 0.99
"""The share of the energy that the alternative text of the decay names."""
FEWEST_TICK = 4
"""The first mark of an axis of tokens; each further one is twice the one before."""


def decay(data: SpectralData) -> Chart:
    """How fast the energy is used up, for images that hold little and much; uncentred and centred."""
    rows = data.tables["decay"]
    rows = rows[rows["features"] == "projected"]
    thirds = {group: style for group, style in THIRDS.items() if group in set(rows["group"])}
    which = ", of all of them and of the third that holds least, and most (objects, characters, chart parts)"
    return Chart(
        "spectra_decay",
        "Decay of the spectra",
        "Share of the energy that the first k squared singular values of the image tokens leave, as they enter the "
        f"language model: median and quartiles over images{which if len(thirds) > 1 else ''}. A budget is where the "
        "line falls below 1 − τ.",
        _decay_message(rows),
        partial(_draw_decay, rows, thirds),
    )


def _draw_decay(rows: pd.DataFrame, thirds: dict[str, tuple[str, str]]) -> Figure:
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for axis, centred in zip(axes, (False, True), strict=True):
        for group, (colour, line) in thirds.items():
            here = rows[(rows["group"] == group) & (rows["centre"] == centred)]
            axis.plot(
                here["k"],
                1 - here["median"],
                color=colour,
                linestyle=line,
                linewidth=1.6,
                label=group.replace("all", "all images"),
            )
            axis.fill_between(here["k"], 1 - here["q75"], 1 - here["q25"], color=colour, alpha=0.13, linewidth=0)
        axis.set_yscale("log")
        axis.set_title("mean token subtracted" if centred else "as it is (our assumption)", loc="left")
        axis.set_xlabel("components k")
        axis.grid(color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
    axes[0].set_ylabel(r"energy beyond the first k, $1 - \tau_k$")
    axes[0].legend(frameon=False)
    return figure


def distribution(data: SpectralData) -> Chart:
    """Budgets by benchmark, matched to a mean of a tenth of the tokens."""
    means = data.tables["budgets"].groupby("benchmark")[data.budgets].mean()
    return Chart(
        "spectra_budgets",
        "Spectral budgets by benchmark",
        f"At the energy whose mean budget is {100 * data.target:g} % of the tokens on the calibration pictures "
        "(dotted: the fixed budget). "
        "Boxes: quartiles with the median; whiskers: 5 to 95 % of the images; diamonds: means.",
        f"Mean tokens kept, from {formatting.number(means.min())} ({benchmark_label(str(means.idxmin()))}) to "
        f"{formatting.number(means.max())} ({benchmark_label(str(means.idxmax()))}).",
        partial(_draw_distribution, data),
    )


def _draw_distribution(data: SpectralData) -> Figure:
    rows = data.tables["budgets"]
    names = list(dict.fromkeys(rows["benchmark"]))
    figure = Figure(figsize=(8.6, 0.3 * len(names) + 1.1), layout="constrained")
    axis = figure.subplots()
    boxes = [rows.loc[rows["benchmark"] == name, data.budgets] for name in names]
    axis.boxplot(
        boxes,
        orientation="horizontal",
        positions=range(len(names)),
        widths=0.6,
        whis=(5, 95),
        showfliers=False,
        showmeans=True,
        meanprops={"marker": "D", "markerfacecolor": RED, "markeredgecolor": "white", "markersize": 5},
        medianprops={"color": BLUE, "linewidth": 1.8},
        boxprops={"color": GREY},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )
    fixed = data.tables["calibration"]
    fixed_budget = fixed.loc[np.isclose(fixed["target"], data.target), "tokens"].iloc[0]
    axis.axvline(fixed_budget, color=INK, linewidth=1, linestyle=":")
    axis.set_yticks(range(len(names)), [benchmark_label(name) for name in names])
    axis.invert_yaxis()
    axis.set_xlabel("image tokens kept of each image")
    axis.grid(axis="x", color=GRID, linewidth=0.7)
    sns.despine(ax=axis, left=True)
    return figure


def scatter(data: SpectralData) -> Chart:
    """Budget against content, all images, by what kind of content it is."""
    rows = data.tables["budgets"]
    told = []
    for column, label, _ in KINDS:
        here = rows[rows[column] > 0]
        correlation = here[column].rank().corr(here[data.budgets].rank())
        told.append(f"{label} {formatting.number(correlation, 2)}")
    return Chart(
        "spectra_density",
        "Budget against known density",
        "An image is a dot (moved sideways by at most 0.3), at the energy matched to "
        f"{100 * data.target:g} % of the tokens, in each panel "
        "to whose kind it holds anything; line: mean budget. The world recorded what it drew.",
        f"Rank correlation of the tokens kept with {formatting.listed(told)}.",
        partial(_draw_scatter, data),
    )


def _draw_scatter(data: SpectralData) -> Figure:
    rows = data.tables["budgets"]
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
    for axis, (column, label, colour) in zip(axes, KINDS, strict=True):
        here = rows[column] > 0
        axis.plot(
            rows.loc[here, column] + jitter[here],
            rows.loc[here, data.budgets],
            ".",
            color=colour,
            markersize=2.5,
            alpha=0.25,
            rasterized=True,
        )
        means = rows[here].groupby(column)[data.budgets].agg(["mean", "size"]).query("size >= 5")
        axis.plot(means.index, means["mean"], color=INK, linewidth=1.4)
        axis.set_xlabel(f"{label} in the image")
        axis.grid(color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
    axes[0].set_ylabel("image tokens kept")
    return figure


def examples(data: SpectralData) -> Chart:
    """The images with the smallest and largest budgets."""
    rows = data.tables["examples"]
    return Chart(
        "spectra_examples",
        "Images at both ends",
        "Above: the smallest spectral budgets, below: the largest, one image a benchmark, at the energy matched to "
        f"{100 * data.target:g} % of the tokens.",
        f"Images with {int(rows['tokens'].min())} to {int(rows['tokens'].max())} tokens kept.",
        partial(_draw_examples, rows, data.inputs.folders.data / "spectra/examples"),
    )


def _draw_examples(rows: pd.DataFrame, folder: Path) -> Figure:
    count = int(rows.groupby("end").size().max())
    figure = Figure(figsize=(1.75 * count + 0.4, 4.4), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for line, end in zip(axes, ("smallest", "largest"), strict=True):
        shown = list(rows[rows["end"] == end].itertuples())
        for axis in line:
            axis.axis("off")
        for axis, row in zip(line, shown, strict=False):
            axis.imshow(matplotlib.image.imread(folder / row.picture))
            axis.set_title(
                f"{formatting.counted(int(row.tokens), 'token')}\n{benchmark_label(row.benchmark)}", fontsize=8.5
            )
    return figure


def matched(data: SpectralData, interval: float) -> Chart:
    """Spectral minus fixed budgets on the mean over benchmarks, by host and budget."""
    return Chart(
        "eadaprune_mean",
        "Spectral against fixed budgets at matched averages",
        "Mean over the benchmarks of the percent of the unpruned score, paired over the same questions; bars: "
        f"{interval:g} % intervals.",
        messages.of_gains(gain for host in data.hosts for keep in data.keeps if (gain := data.gain(host, MEAN, keep))),
        partial(_draw_matched, data),
    )


def _draw_matched(data: SpectralData) -> Figure:
    panels = []
    for host in data.hosts:
        gains = [data.gain(host, MEAN, keep) for keep in data.keeps]
        dots = [Dot(row, gain.value, gain.low, gain.high, gain.side) for row, gain in enumerate(gains) if gain]
        panels.append(Panel(method_label(host), dots))
    return dot_plot(
        panels,
        [f"{100 * keep:g} %" for keep in data.keeps],
        size=(2.05 * len(panels) + 1.1, 0.33 * len(data.keeps) + 1.4),
        columns=len(panels),
        xlabel="spectral − fixed,\n% of the unpruned score",
        ylabel="tokens kept, on average",
    )


def by_benchmark(data: SpectralData, keep: float, interval: float) -> Chart:
    """Spectral minus fixed budgets by benchmark, at one budget."""
    return Chart(
        "eadaprune_benchmarks",
        f"By benchmark, {100 * keep:g} % kept on average",
        f"Paired over the same questions; bars: {interval:g} % intervals. Scaled by the unpruned score of each "
        "benchmark.",
        messages.of_gains(
            gain for host in data.hosts for name in data.benchmarks if (gain := data.gain(host, name, keep))
        ),
        partial(_draw_by_benchmark, data, keep),
    )


def _draw_by_benchmark(data: SpectralData, keep: float) -> Figure:
    names = [*data.benchmarks, MEAN]
    panels = []
    for host in data.hosts:
        dots = []
        for row, name in enumerate(names):
            gain, unpruned = data.gain(host, name, keep), data.score("eadaprune", "baseline", name)
            if gain and unpruned and unpruned.value:
                factor = 1.0 if name == MEAN else 100 / unpruned.value
                dots.append(Dot(row, factor * gain.value, factor * gain.low, factor * gain.high, gain.side))
        panels.append(Panel(method_label(host), dots))
    return dot_plot(
        panels,
        [benchmark_label(name).split(",")[0] for name in names],
        size=(2.05 * len(panels) + 1.3, 0.27 * len(names) + 1.5),
        columns=len(panels),
        xlabel="spectral − fixed,\n% of the unpruned score",
        rule=True,
    )


def sweep(data: SpectralData, interval: float) -> Chart:
    """Scores and average tokens against tau, by benchmark; the fixed budgets beside them."""
    tokens = data.tables["sweep"]
    tokens = tokens.assign(host=tokens["method"].str.partition(" ")[0]).sort_values("energy", kind="stable")
    return Chart(
        "energy_sweep",
        "The energy threshold",
        "First panel: the mean number of tokens left at each τ. Others: scores against the average tokens that each τ "
        f"leaves on the benchmark; bands: {interval:g} % intervals over the images. Dashed: the same host with fixed "
        "budgets. Axes start at different values.",
        _sweep_message(tokens),
        partial(_draw_sweep, data, tokens),
    )


def _draw_sweep(data: SpectralData, tokens: pd.DataFrame) -> Figure:
    hosts = list(dict.fromkeys(data.tables["sweep"]["method"].str.partition(" ")[0]))
    names = [
        name for name in data.inputs.results.benchmarks("energy", str(data.model)) if name in set(tokens["benchmark"])
    ]
    columns = 4
    lines = math.ceil((len(names) + 1) / columns)
    figure = Figure(figsize=(8.8, 1.75 * lines + 0.9), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_visible(False)
    _draw_token_panel(axes[0], tokens[tokens["benchmark"] == MEAN], hosts)
    for axis, name in zip(axes[1:], names, strict=False):
        _draw_sweep_panel(axis, data, name, tokens[tokens["benchmark"] == name], hosts)
    visible = [axis for axis in axes if axis.get_visible()]
    for axis in visible[-columns:]:
        axis.set_xlabel("average tokens left")
    figure.supylabel("score, in each panel’s unit (first panel: tokens)", fontsize=9)
    handles = []
    for host in hosts:
        colour, marker = METHOD_STYLE[host]
        label = f"{method_label(host)}, spectral"
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    handles.append(Line2D([], [], color=INK, marker="x", linestyle="--", linewidth=0.9, label="fixed budgets"))
    handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1, label="Unpruned"))
    legend_below(figure, handles, 4)
    return figure


def _draw_token_panel(axis: Axes, means: pd.DataFrame, hosts: list[str]) -> None:
    """The average number of tokens at each threshold."""
    for host in hosts:
        colour, marker = METHOD_STYLE[host]
        rows = means[means["host"] == host]
        axis.plot(1 - rows["energy"], rows["tokens"], color=colour, marker=marker, markersize=4.5, linewidth=1.4)
    _open_panel(axis, "Average tokens")
    axis.set(xscale="log", yscale="log", xlabel="1 − τ")
    ticks = _token_ticks(means)
    axis.set_yticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.invert_xaxis()


def _token_ticks(rows: pd.DataFrame) -> list[int]:
    """Marks up to about the most tokens that any row has."""
    ticks = [FEWEST_TICK]
    while 2 * ticks[-1] <= max(64, rows["tokens"].max()):
        ticks.append(2 * ticks[-1])
    return ticks


def _draw_sweep_panel(axis: Axes, data: SpectralData, name: str, tokens: pd.DataFrame, hosts: list[str]) -> None:
    """The scores on one benchmark against the average tokens."""
    for host in hosts:
        colour, marker = METHOD_STYLE[host]
        rows = tokens[tokens["host"] == host]
        scores = [data.score("energy", method, name) for method in rows["method"]]
        points = [(x, score) for x, score in zip(rows["tokens"], scores, strict=True) if score]
        x = [place for place, _ in points]
        axis.plot(x, [score.value for _, score in points], color=colour, marker=marker, markersize=4, linewidth=1.4)
        low, high = [score.low for _, score in points], [score.high for _, score in points]
        axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        fixed = _fixed_points(data, host, name) if host in data.hosts else []
        axis.plot(
            [place for place, _ in fixed],
            [score.value for _, score in fixed],
            color=INK,
            marker="x",
            markersize=4.5,
            linewidth=0.9,
            linestyle="--",
        )
    unpruned = data.score("energy", "baseline", name)
    if unpruned:
        axis.axhline(unpruned.value, color=GREY, linewidth=1, linestyle=":")
    _open_panel(axis, panel_label(name, unpruned.metric if unpruned else ""))
    axis.set_xscale("log")
    ticks = _token_ticks(tokens)
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()


def _fixed_points(data: SpectralData, host: str, name: str) -> list[tuple[float, Measurement]]:
    """Average tokens and score of the fixed budgets; none on a benchmark that only the sweep asks about."""
    return [
        (data.tokens(host, keep, name)[0], score)
        for keep in data.keeps
        if data.counted(host, keep, name) and (score := data.score("eadaprune", host, name, keep))
    ]


def sensitivity(data: SpectralData, interval: float) -> Chart:
    """Every other reading against the assumed one: the score, and how alike the budgets are."""
    others = data.tables["variants"].iloc[1:]
    return Chart(
        "sensitivity",
        "Other readings of the method",
        "Each calibrated to the same mean budget. Features from the vision tower, the projector (assumed) or the "
        "pruned layer’s input; centred or not; singular values squared or plain (s^1); limits on k. Bars: "
        f"{interval:g} % intervals, paired.",
        "Rank correlation with the assumed reading’s budgets, from "
        f"{formatting.number(others['spearman'].min(), 2)} to {formatting.number(others['spearman'].max(), 2)}.",
        partial(_draw_sensitivity, data),
    )


def _draw_sensitivity(data: SpectralData) -> Figure:
    rows = data.tables["variants"]
    assumed, others = rows["method"].iloc[0], rows.iloc[1:]
    figure = Figure(figsize=(8.2, 0.27 * len(others) + 1.5), layout="constrained")
    score_axis, budget_axis = figure.subplots(1, 2, sharey=True)
    names = [variant_label(name).replace(">=", " ≥ ").replace("<=", " ≤ ") for name in others["method"]]
    row_axis(score_axis, names, "Score")
    score_axis.axvline(0, color=INK, linewidth=1)
    row_axis(budget_axis, names, "Budgets")
    budget_axis.axvline(1, color=INK, linewidth=1)
    dots = []
    for row, other in enumerate(others.itertuples()):
        change = data.difference("sensitivity", f"{other.method} - {assumed}", MEAN)
        if change:
            dots.append(Dot(row, change.value, change.low, change.high, change.side))
        budget_axis.plot([other.ci_low, other.ci_high], [row, row], color=BLUE, linewidth=1.6)
        budget_axis.plot(other.spearman, row, "o", color=BLUE, markersize=5)
    for dot in dots:
        draw_dot(score_axis, dot)
    limit = Panel("", dots).limit
    score_axis.set_xlim(-limit, limit)
    score_axis.set_xlabel("difference from the assumed reading,\n% of the unpruned score")
    budget_axis.set_xlabel("Spearman’s correlation with\nthe assumed reading’s budgets")
    sign_legend(figure, (dot.sign for dot in dots))
    return figure


def latency(data: SpectralData) -> Chart:
    """Time of each route against n, d and t, and the theoretical cost below it."""
    rows = data.tables["latency"]
    rows = rows[rows["source"] == "measured"].drop_duplicates(["shape", "rank", "route"])
    return Chart(
        "spectra_latency",
        "What a budget costs",
        "Above: medians on this machine’s CPU, bands between quartiles. Below: n·d·min(n, d) for the two full routes, "
        "whose lines coincide, n·d·t + t²·d for the randomised one at the rank that settled it (a route that had to "
        "take all energies costs as much as the full ones).",
        _latency_message(rows),
        partial(_draw_latency, rows),
    )


def _draw_latency(rows: pd.DataFrame) -> Figure:
    panels = (
        (
            "tokens",
            "tokens n (d = 1024, t = 64)",
            (rows["width"] == 1024) & (rows["rank"] == 64) & (rows["tokens"] <= 1152),
        ),
        ("width", "width d (n = 576, t = 64)", (rows["tokens"] == 576) & (rows["rank"] == 64)),
        ("rank", "target rank t (n = 576, d = 1024)", (rows["tokens"] == 576) & (rows["width"] == 1024)),
    )
    figure = Figure(figsize=(8.8, 5.0), layout="constrained")
    axes = figure.subplots(2, 3, sharey="row", sharex="col")
    for column, (name, label, here) in enumerate(panels):
        for route, (colour, marker) in ROUTES.items():
            line = rows[here & (rows["route"] == route)].sort_values(name)
            axes[0, column].plot(
                line[name], line["median_ms"], color=colour, marker=marker, markersize=5, linewidth=1.3
            )
            axes[0, column].fill_between(
                line[name], line["quartile_low_ms"], line["quartile_high_ms"], color=colour, alpha=0.15, linewidth=0
            )
            axes[1, column].plot(line[name], line["cost"], color=colour, marker=marker, markersize=5, linewidth=1.3)
        axes[1, column].set_xlabel(label)
        ticks = sorted(rows.loc[here, name].unique())
        for axis in axes[:, column]:
            axis.set(xscale="log", yscale="log")
            axis.set_xticks(ticks, [f"{int(tick)}" for tick in ticks])
            axis.minorticks_off()
            _open_panel(axis, "")
    axes[0, 0].set_ylabel("milliseconds, CPU")
    axes[1, 0].set_ylabel("multiplications\nin the paper’s O(·)")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=ROUTE_LABELS[route], linewidth=1.3)
        for route, (colour, marker) in ROUTES.items()
    ]
    legend_below(figure, handles, 2)
    return figure


def _decay_message(rows: pd.DataFrame) -> str:
    """How many components hold nearly all energy of the median image."""
    of_all = rows[(rows["group"] == "all") & ~rows["centre"].astype(bool)].sort_values("k")
    enough = of_all[of_all["median"] >= NEARLY_ALL]
    if enough.empty:
        return "No number of components holds nearly all energy."
    return f"The first {int(enough['k'].iloc[0])} components hold {100 * NEARLY_ALL:g} % of the median image’s energy."


def _sweep_message(tokens: pd.DataFrame) -> str:
    """How many tokens the thresholds leave on average."""
    means = tokens[tokens["benchmark"] == MEAN]
    least, most = means.loc[means["tokens"].idxmin()], means.loc[means["tokens"].idxmax()]
    return (
        f"From τ = {least['energy']:g} with {least['tokens']:.0f} tokens on average to τ = {most['energy']:g} with "
        f"{most['tokens']:.0f}."
    )


def _latency_message(rows: pd.DataFrame) -> str:
    """The median of each route on the largest matrix that all routes were timed on."""
    largest = rows[rows["tokens"] * rows["width"] == (rows["tokens"] * rows["width"]).max()]
    medians = largest.groupby("route", sort=False)["median_ms"].median()
    listed = [f"{ROUTE_LABELS[str(route)]} {value:.4g} ms" for route, value in medians.items()]
    return f"On the largest matrix: {'; '.join(listed)}."


def _open_panel(axis: Axes, title: str) -> None:
    axis.set_visible(True)
    axis.set_title(title, loc="left")
    axis.grid(color=GRID, linewidth=0.7)
    sns.despine(ax=axis)
