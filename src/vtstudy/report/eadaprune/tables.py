"""The tables of E-AdaPrune's part."""

from __future__ import annotations

from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS
from vtstudy.report import formatting
from vtstudy.report.eadaprune.data import SPECTRAL, SpectralData
from vtstudy.report.labels import ROUTE_LABELS, method_label, variant_label
from vtstudy.report.table_links import KEY_MODEL
from vtstudy.report.text_table import Table
from vtstudy.results_table import MEAN


def matched(data: SpectralData) -> Table:
    """Fixed against spectral budgets, by host and budget."""
    lines = []
    for host in data.hosts:
        for keep in data.keeps:
            fixed = data.score("eadaprune", host, MEAN, keep)
            spectral = data.score("eadaprune", host + SPECTRAL, MEAN, keep)
            gain = data.gain(host, MEAN, keep)
            tokens = [*data.tokens(host, keep), *data.tokens(host + SPECTRAL, keep)]
            lines.append(
                (
                    f"{method_label(host)}, {100 * keep:g} %",
                    [
                        formatting.number(fixed.value if fixed else None),
                        formatting.number(spectral.value if spectral else None),
                        gain.text(sign=True) if gain else formatting.NONE,
                        *map(formatting.number, tokens),
                    ],
                )
            )
    return Table(
        "Mean percent of the unpruned score. Tokens: left after pruning, and averaged over all decoder layers.",
        ["Fixed", "Spectral", "Spectral − fixed", "Tokens, fixed", "over layers", "Tokens, spectral", "over layers"],
        lines,
    )


def own_benchmarks(data: SpectralData) -> Table:
    """The benchmarks, and variants of benchmarks, that AdaptPrune's tables do not have."""
    lines = [
        (benchmark.title, [benchmark.task, *_whether_run(data, key)])
        for key, benchmark in BENCHMARKS.items()
        if key not in ADAPTPRUNE
    ]
    return Table(
        "Benchmarks, and other prompts and metrics of the same, that AdaptPrune’s tables do not have.",
        ["lmms-eval’s task", "Verdict", "Why not"],
        lines,
    )


def _whether_run(data: SpectralData, key: str) -> list[str]:
    """Whether the matched comparison has a benchmark, and why not."""
    if key in data.benchmarks:
        return ["run", ""]
    if data.inputs.is_miniature(KEY_MODEL):
        judge = " and a GPT judge" if BENCHMARKS[key].judge else ""
        return [
            "not run",
            f"the miniature world has no such data set: it needs the Hub’s, the paper’s checkpoint{judge}",
        ]
    return ["not run", data.inputs.left_out.get(key, "not among the benchmarks of this run")]


def sweep(data: SpectralData) -> Table:
    """Scores and average tokens at each energy threshold."""
    rows, lines = data.tables["sweep"], []
    for row in rows[rows["benchmark"] == MEAN].itertuples():
        score = data.score("energy", row.method, MEAN)
        written = formatting.NONE
        if score:
            written = f"{formatting.number(score.value)} ({formatting.interval(score.low, score.high)})"
        host = row.method.partition(" ")[0]
        lines.append(
            (
                f"{method_label(host)}, τ = {row.energy:g}",
                [formatting.number(row.tokens), formatting.number(row.tokens_by_layer), written],
            )
        )
    heads = ["Average tokens", "over layers", "Percent of the unpruned score"]
    return Table("Means over the benchmarks.", heads, lines)


def variants(data: SpectralData) -> Table:
    """The other readings against the assumed one."""
    rows, lines = data.tables["variants"], []
    assumed = rows["method"].iloc[0]
    for row in rows.itertuples():
        change = data.difference("sensitivity", f"{row.method} - {assumed}", MEAN)
        lines.append(
            (
                variant_label(row.method),
                [
                    f"{row.energy:.5g}",
                    formatting.number(row.tokens),
                    formatting.number(row.sd),
                    change.text(sign=True) if change else formatting.NONE,
                    formatting.number(row.spearman, 2),
                ],
            )
        )
    return Table(
        "Against the assumed reading: mean percent of the unpruned score, and rank correlation of the budgets.",
        ["τ", "Average tokens", "their SD", "Score, difference", "Correlation"],
        lines,
    )


def agreement(data: SpectralData) -> Table:
    """How often the randomised budget is the exact one."""
    rows = data.tables["agreement"]
    return Table(
        "Images on which the randomised budget is the exact one.",
        ["Images", "The same, %", "Furthest, tokens", "Settled at the first rank, %"],
        [
            (
                f"{row.features}, {100 * row.target:g} %",
                [
                    f"{int(row.n):,}",
                    f"{row.percent:.2f}",
                    f"{int(row.furthest)}",
                    f"{100 * row.at_first_rank / row.n:.0f}",
                ],
            )
            for row in rows[rows["benchmark"] == "all"].itertuples()
        ],
    )


def latency(data: SpectralData) -> Table:
    """Times of the routes to a budget."""
    rows = data.tables["latency"]
    rows = rows[rows["rank"] == 64].drop_duplicates(["source", "device", "shape", "route"])
    lines = []
    for row in rows.itertuples():
        device = f"{row.device} (recorded)" if row.source == "recorded" else row.device
        lines.append(
            (
                f"{device}, {row.shape.replace('x', ' × ')}, {ROUTE_LABELS[row.route]}",
                [
                    f"{row.median_ms:.4g} ({row.quartile_low_ms:.4g} to {row.quartile_high_ms:.4g})",
                    f"{row.times_gram:.2f}",
                    f"{row.cost_of_svd:.3f}",
                    f"{int(row.settled_at)}",
                ],
            )
        )
    return Table(
        "Milliseconds of one matrix: median (quartiles) over the rounds. Times the Gram route: the median of the "
        "ratios within a round, not the ratio of the medians beside it. Cost: the paper’s O(·), as the share of a full "
        "SVD’s.",
        ["Milliseconds", "Times the Gram route", "Cost", "Settled at rank"],
        lines,
    )


def gains(data: SpectralData) -> Table | None:
    """What spectral budgets gain on every model that was run with them; None if only one was."""
    inputs = data.inputs
    of_models = {
        paper: SpectralData(inputs, ours, {}) for paper in inputs.models if (ours := inputs.results.model_for(paper))
    }
    of_models = {paper: of_model for paper, of_model in of_models.items() if of_model.hosts}
    if len(of_models) < 2:
        return None
    places = dict.fromkeys((host, keep) for other in of_models.values() for host in other.hosts for keep in other.keeps)
    lines = []
    for host, keep in places:
        found = [other.gain(host, MEAN, keep) for other in of_models.values()]
        cells = [gain.text(sign=True) if gain else formatting.NONE for gain in found]
        lines.append((f"{method_label(host)}, {100 * keep:g} %", cells))
    return Table(
        "Spectral − fixed on every backbone, in percentage points of the unpruned score.",
        [inputs.title(paper) for paper in of_models],
        lines,
        first="Host and budget",
    )
