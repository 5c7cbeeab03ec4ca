"""The charts of E-AdaPrune's part: spectra, budgets, the matched comparison, the sweep, the assumptions, latency."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image as images
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from vtstudy.report import fmt
from vtstudy.report.figures import GRID, INK, STYLE, Figure, save, styled
from vtstudy.report.labels import benchmark_label, method_label, panel_label
from vtstudy.report.spectral_data import Spectral
from vtstudy.report.spectral_text import side, variant

HOST_STYLE = STYLE | {"pyramiddrop": ("#009E73", "^"), "visionzip": ("#CC79A7", "D")}
SIDE = {
    "higher": ("#0072B2", "interval above zero"),
    "open": ("#777777", "interval includes zero"),
    "lower": ("#D55E00", "interval below zero"),
}
GROUPS = {"sparse third": ("#E69F00", "-"), "all": (INK, ":"), "dense third": ("#0072B2", "--")}
ROUTES = {
    "svd": ("#777777", "X"),
    "gram": ("#009E73", "s"),
    "randomised": ("#D55E00", "^"),
    "randomised, rank t": ("#E69F00", "o"),
}
ROUTE_LABEL = {
    "svd": "full SVD",
    "gram": "Gram matrix",
    "randomised": "randomised, until the budget is certain",
    "randomised, rank t": "randomised, first t energies alone",
}


@styled
def decay(found: Spectral, folder: Path) -> Figure:
    """How fast the energy is used up, for images that hold little and much; uncentred and centred."""
    rows = found.tables["decay"]
    rows = rows[rows["features"] == "projected"]
    figure = Canvas(figsize=(8.6, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for axis, centred in zip(axes, ("False", "True"), strict=True):
        for group, (colour, line) in GROUPS.items():
            here = rows[(rows["group"] == group) & (rows["centre"].astype(str) == centred)]
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
        axis.set_title("mean token subtracted" if centred == "True" else "as it is (our assumption)", loc="left")
        axis.set_xlabel("components k")
        axis.grid(color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
    axes[0].set_ylabel(r"energy beyond the first k, $1 - \tau_k$")
    axes[0].legend(frameon=False)
    save(figure, folder, "spectra_decay")
    return Figure(
        "spectra_decay",
        "Decay of the spectra",
        "Share of the energy that the first k squared singular values of the image tokens leave, as they enter the "
        "language model: median and quartiles over images, of all of them and of the third that holds least, and most "
        "(objects, characters, chart parts). A budget is where the line falls below 1 − τ.",
        "Line charts of the remaining spectral energy against the number of components",
    )


@styled
def distribution(found: Spectral, folder: Path) -> Figure:
    """Budgets by benchmark, matched to a mean of 10 % of the tokens."""
    rows = found.tables["budgets"]
    names = list(dict.fromkeys(rows["benchmark"]))
    figure = Canvas(figsize=(8.6, 0.3 * len(names) + 1.1), layout="constrained")
    axis = figure.subplots()
    boxes = [rows.loc[rows["benchmark"] == name, "projected_0.1"] for name in names]
    axis.boxplot(
        boxes,
        orientation="horizontal",
        positions=range(len(names)),
        widths=0.6,
        whis=(5, 95),
        showfliers=False,
        showmeans=True,
        meanprops={"marker": "D", "markerfacecolor": "#D55E00", "markeredgecolor": "white", "markersize": 5},
        medianprops={"color": "#0072B2", "linewidth": 1.8},
        boxprops={"color": "#777777"},
        whiskerprops={"color": "#777777"},
        capprops={"color": "#777777"},
    )
    fixed = found.tables["calibration"]
    axis.axvline(
        fixed.loc[(fixed["target"] - 0.1).abs() < 1e-9, "tokens"].iloc[0], color=INK, linewidth=1, linestyle=":"
    )
    axis.set_yticks(range(len(names)), [benchmark_label(name) for name in names])
    axis.invert_yaxis()
    axis.set_xlabel("image tokens kept of each image")
    axis.grid(axis="x", color=GRID, linewidth=0.7)
    sns.despine(ax=axis, left=True)
    save(figure, folder, "spectra_budgets")
    return Figure(
        "spectra_budgets",
        "Spectral budgets by benchmark",
        "At the energy whose mean budget is 10 % of the tokens on the calibration pictures (dotted: the fixed budget). Boxes: "
        "quartiles with the median; whiskers: 5 to 95 % of the images; diamonds: means.",
        "Box plots of the number of tokens kept, by benchmark",
    )


@styled
def scatter(found: Spectral, folder: Path) -> Figure:
    """Budget against content, all images, by what kind of content it is."""
    rows = found.tables["budgets"]
    kinds = (
        ("objects", "objects", "#0072B2"),
        ("characters", "characters", "#D55E00"),
        ("chart_parts", "chart parts", "#009E73"),
    )
    figure = Canvas(figsize=(8.6, 3.0), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
    for axis, (column, label, colour) in zip(axes, kinds, strict=True):
        here = rows[column] > 0
        axis.plot(
            rows.loc[here, column] + jitter[here],
            rows.loc[here, "projected_0.1"],
            ".",
            color=colour,
            markersize=2.5,
            alpha=0.25,
            rasterized=True,
        )
        means = rows[here].groupby(column)["projected_0.1"].agg(["mean", "size"]).query("size >= 5")
        axis.plot(means.index, means["mean"], color=INK, linewidth=1.4)
        axis.set_xlabel(f"{label} in the image")
        axis.grid(color=GRID, linewidth=0.7)
        sns.despine(ax=axis)
    axes[0].set_ylabel("image tokens kept")
    save(figure, folder, "spectra_density")
    return Figure(
        "spectra_density",
        "Budget against known density",
        "An image is a dot (moved sideways by at most 0.3), at the energy matched to 10 % of the tokens, in each panel to whose "
        "kind it holds anything; line: mean budget. The world recorded what it drew.",
        "Scatter plots of tokens kept against objects, characters and chart parts",
    )


@styled
def examples(found: Spectral, folder: Path) -> Figure:
    """The images with the smallest and largest budgets."""
    rows = found.tables["examples"]
    count = int(rows.groupby("end").size().max())
    figure = Canvas(figsize=(1.75 * count + 0.4, 4.4), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for line, end in zip(axes, ("smallest", "largest"), strict=True):
        shown = list(rows[rows["end"] == end].itertuples())
        for axis in line:
            axis.axis("off")
        for axis, row in zip(line, shown, strict=False):
            axis.imshow(images.imread(found.folder / "spectra/examples" / row.picture))
            axis.set_title(f"{fmt.counted(int(row.tokens), 'token')}\n{benchmark_label(row.benchmark)}", fontsize=8.5)
    save(figure, folder, "spectra_examples")
    return Figure(
        "spectra_examples",
        "Images at both ends",
        "Above: the smallest spectral budgets, below: the largest, one image a benchmark, at the energy matched to 10 % of the tokens.",
        "Example images with few and with many tokens kept",
    )


@styled
def matched(found: Spectral, folder: Path, interval: float) -> Figure:
    """Spectral minus fixed on the mean over benchmarks, by host and budget."""
    hosts, keeps = found.hosts, found.keeps
    figure = Canvas(figsize=(2.05 * len(hosts) + 1.1, 0.33 * len(keeps) + 1.4), layout="constrained")
    axes = figure.subplots(1, len(hosts), sharex=True, sharey=True, squeeze=False)[0]
    sides = set()
    for axis, host in zip(axes, hosts, strict=True):
        for y, keep in enumerate(keeps):
            m = found.gain(host, "mean", keep)
            if m:
                sides.add(side(m))
                _bar(axis, y, m.value, m.low, m.high, side(m))
        _zero(axis, [f"{100 * keep:g} %" for keep in keeps], method_label(host))
        axis.set_xlabel("spectral − fixed,\n% of the unpruned score")
    axes[0].set_ylabel("tokens kept, on average")
    _symmetric(axes)
    _sides(figure, sides)
    save(figure, folder, "eadaprune_mean")
    return Figure(
        "eadaprune_mean",
        "Spectral against fixed budgets at matched averages",
        f"Mean over the benchmarks of the percent of the unpruned score, paired over the same questions; bars: {interval:g} % intervals.",
        "Dot plots of the paired difference between spectral and fixed budgets by host and budget",
    )


@styled
def by_benchmark(found: Spectral, folder: Path, keep: float, interval: float) -> Figure:
    """Spectral minus fixed by benchmark at one budget."""
    results, hosts = found.inputs.results, found.hosts
    names = [b for b in results.benchmarks("eadaprune", found.model) if b != "mean"] + ["mean"]
    figure = Canvas(figsize=(2.05 * len(hosts) + 1.3, 0.27 * len(names) + 1.5), layout="constrained")
    axes = figure.subplots(1, len(hosts), sharex=True, sharey=True, squeeze=False)[0]
    sides = set()
    for axis, host in zip(axes, hosts, strict=True):
        for y, name in enumerate(names):
            m, whole = found.gain(host, name, keep), results.cell("eadaprune", found.model, "baseline", name)
            if m is None or not whole or not whole.value:
                continue
            factor = 1.0 if name == "mean" else 100 / whole.value
            sides.add(side(m))
            _bar(axis, y, *(factor * v for v in (m.value, m.low, m.high)), side(m))
        axis.axhline(len(names) - 1.5, color="#888888", linewidth=0.8)
        _zero(axis, [benchmark_label(name).split(",")[0] for name in names], method_label(host))
        axis.set_xlabel("spectral − fixed,\n% of the unpruned score")
    _symmetric(axes)
    _sides(figure, sides)
    save(figure, folder, "eadaprune_benchmarks")
    return Figure(
        "eadaprune_benchmarks",
        f"By benchmark, {100 * keep:g} % kept on average",
        f"Paired over the same questions; bars: {interval:g} % intervals. Scaled by the unpruned score of each benchmark.",
        "Dot plots of the paired difference between spectral and fixed budgets by host and benchmark",
    )


@styled
def sweep(found: Spectral, folder: Path, interval: float) -> Figure:
    """Scores and average tokens against tau, by benchmark; the fixed budgets beside them."""
    results, tokens = found.inputs.results, found.tables["sweep"]
    hosts = list(dict.fromkeys(tokens["method"].str.partition(" ")[0]))
    names = [b for b in results.benchmarks("energy", found.model) if b in set(tokens["benchmark"])]
    columns = 4
    figure = Canvas(figsize=(8.8, 1.75 * math.ceil((len(names) + 1) / columns) + 0.9), layout="constrained")
    axes = list(figure.subplots(math.ceil((len(names) + 1) / columns), columns, squeeze=False).flat)
    for axis in axes:
        axis.set_visible(False)
    for host in hosts:
        colour, marker = HOST_STYLE[host]
        rows = tokens[tokens["method"].str.partition(" ")[0] == host].sort_values("energy")
        mean = rows[rows["benchmark"] == "mean"]
        axes[0].plot(1 - mean["energy"], mean["tokens"], color=colour, marker=marker, markersize=4.5, linewidth=1.4)
        for axis, name in zip(axes[1:], names, strict=False):
            here = rows[rows["benchmark"] == name]
            scores = [results.cell("energy", found.model, method, name) for method in here["method"]]
            axis.plot(
                here["tokens"], [s.value for s in scores], color=colour, marker=marker, markersize=4, linewidth=1.4
            )
            axis.fill_between(
                here["tokens"], [s.low for s in scores], [s.high for s in scores], color=colour, alpha=0.15, linewidth=0
            )
            fixed = (
                [
                    (found.tokens(host, keep, name)[0], results.cell("eadaprune", found.model, host, name, keep))
                    for keep in found.keeps
                ]
                if host in found.hosts
                else []
            )
            axis.plot(
                [x for x, _ in fixed],
                [s.value for _, s in fixed],
                color=INK,
                marker="x",
                markersize=4.5,
                linewidth=0.9,
                linestyle="--",
            )
    for axis, name in zip(axes[1:], names, strict=False):
        whole = results.cell("energy", found.model, "baseline", name)
        axis.axhline(whole.value, color="#777777", linewidth=1, linestyle=":")
        _panel(axis, panel_label(name, whole.metric))
        axis.set_xscale("log")
        axis.set_xticks([4, 8, 16, 32, 64], ["4", "8", "16", "32", "64"])
        axis.minorticks_off()
    _panel(axes[0], "Average tokens")
    axes[0].set(xscale="log", yscale="log", xlabel="1 − τ")
    axes[0].set_yticks([4, 8, 16, 32, 64], ["4", "8", "16", "32", "64"])
    axes[0].minorticks_off()
    axes[0].invert_xaxis()
    shown = [axis for axis in axes if axis.get_visible()]
    for axis in shown[-columns:]:
        axis.set_xlabel("average tokens left")
    figure.supylabel("score, in each panel’s unit (first panel: tokens)", fontsize=9)
    handles = [
        Line2D(
            [], [], color=HOST_STYLE[h][0], marker=HOST_STYLE[h][1], markersize=5, label=f"{method_label(h)}, spectral"
        )
        for h in hosts
    ]
    handles += [
        Line2D([], [], color=INK, marker="x", linestyle="--", linewidth=0.9, label="fixed budgets"),
        Line2D([], [], color="#777777", linestyle=":", linewidth=1, label="Unpruned"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    save(figure, folder, "energy_sweep")
    return Figure(
        "energy_sweep",
        "The energy threshold",
        f"First panel: the mean number of tokens left at each τ. Others: scores against the average tokens that each τ leaves on the benchmark; bands: {interval:g} % "
        "intervals over the images. Dashed: the same host with fixed budgets. Axes start at different values.",
        "Line charts of the score against average tokens for several energy thresholds, by benchmark",
    )


@styled
def sensitivity(found: Spectral, folder: Path, interval: float) -> Figure:
    """Every other reading against the assumed one: the score, and how alike the budgets are."""
    results, rows = found.inputs.results, found.tables["variants"]
    assumed, others = rows["method"].iloc[0], rows.iloc[1:]
    figure = Canvas(figsize=(8.2, 0.27 * len(others) + 1.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    sides = set()
    for y, row in enumerate(others.itertuples()):
        m = results.difference("sensitivity", found.model, f"{row.method} - {assumed}", "mean")
        if m:
            sides.add(side(m))
            _bar(axes[0], y, m.value, m.low, m.high, side(m))
        axes[1].plot([row.ci_low, row.ci_high], [y, y], color="#0072B2", linewidth=1.6)
        axes[1].plot(row.spearman, y, "o", color="#0072B2", markersize=5)
    names = [variant(name).replace(">=", " ≥ ").replace("<=", " ≤ ") for name in others["method"]]
    _zero(axes[0], names, "Score")
    _zero(axes[1], names, "Budgets", at=1.0)
    axes[0].set_xlabel("difference from the assumed reading,\n% of the unpruned score")
    axes[1].set_xlabel("Spearman’s correlation with\nthe assumed reading’s budgets")
    _symmetric(axes[:1])
    _sides(figure, sides)
    save(figure, folder, "sensitivity")
    return Figure(
        "sensitivity",
        "Other readings of the method",
        "Each calibrated to the same mean budget. Features from the vision tower, the projector (assumed) or the pruned layer’s input; centred "
        f"or not; singular values squared or plain (s^1); limits on k. Bars: {interval:g} % intervals, paired.",
        "Dot plots of the difference in score, and of the correlation of budgets, for each variant",
    )


@styled
def latency(found: Spectral, folder: Path) -> Figure:
    """Time of each route against n, d and t, and the theoretical cost below it."""
    rows = found.tables["latency"]
    rows = rows[rows["source"] == "measured"].drop_duplicates(["shape", "rank", "route"])
    panels = (
        (
            "tokens",
            "tokens n (d = 1024, t = 64)",
            (rows["width"] == 1024) & (rows["rank"] == 64) & (rows["tokens"] <= 1152),
        ),
        ("width", "width d (n = 576, t = 64)", (rows["tokens"] == 576) & (rows["rank"] == 64)),
        ("rank", "target rank t (n = 576, d = 1024)", (rows["tokens"] == 576) & (rows["width"] == 1024)),
    )
    figure = Canvas(figsize=(8.8, 5.0), layout="constrained")
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
            _panel(axis, "")
    axes[0, 0].set_ylabel("milliseconds, CPU")
    axes[1, 0].set_ylabel("multiplications\nin the paper’s O(·)")
    figure.legend(
        handles=[
            Line2D([], [], color=c, marker=m, label=ROUTE_LABEL[r], linewidth=1.3) for r, (c, m) in ROUTES.items()
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    save(figure, folder, "spectra_latency")
    return Figure(
        "spectra_latency",
        "What a budget costs",
        "Above: medians on this machine’s CPU, bands between quartiles. Below: n·d·min(n, d) for the two full routes, whose lines coincide, n·d·t + t²·d for the randomised "
        "one at the rank that settled it (a route that had to take all energies costs as much as the full ones).",
        "Line charts of milliseconds and of theoretical cost against tokens, width and target rank",
    )


def _bar(axis, y: float, value: float, low: float, high: float, kind: str) -> None:
    colour = SIDE[kind][0]
    if not math.isnan(low):
        axis.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2)
    axis.plot(
        value,
        y,
        "o",
        color=colour,
        markersize=5.5,
        zorder=3,
        markeredgewidth=1.2,
        markerfacecolor="white" if kind == "open" else colour,
    )


def _zero(axis, labels: list[str], title: str, at: float = 0.0) -> None:
    axis.axvline(at, color=INK, linewidth=1)
    axis.set_title(title, loc="left")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(axis="x", color=GRID, linewidth=0.7)
    axis.tick_params(axis="y", length=0)
    sns.despine(ax=axis, left=True)


def _symmetric(axes) -> None:
    limit = max(abs(v) for axis in axes for v in axis.dataLim.intervalx) or 1.0
    for axis in axes:
        axis.set_xlim(-1.08 * limit, 1.08 * limit)


def _sides(figure, sides: set[str]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker="o",
            linewidth=1.8,
            label=label,
            markerfacecolor="white" if name == "open" else colour,
        )
        for name, (colour, label) in SIDE.items()
        if name in sides
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _panel(axis, title: str) -> None:
    axis.set_visible(True)
    axis.set_title(title, loc="left")
    axis.grid(color=GRID, linewidth=0.7)
    sns.despine(ax=axis)
