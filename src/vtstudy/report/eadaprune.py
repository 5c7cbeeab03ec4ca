"""E-AdaPrune's part of the report: its published numbers, its claims, and what our experiments found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vtstudy.report import fmt, spectral_figures, spectral_text, text
from vtstudy.report.claims import ClaimResult, judge_claims
from vtstudy.report.figures import Figure
from vtstudy.report.labels import method_label
from vtstudy.report.results import Inputs, load_published, mapping
from vtstudy.report.spectral_data import FILES, SPECTRAL, Spectral

NOT_RUN, NOTED = "not run", "no measurement"
KEEP = 0.1  # where one budget stands for all
# What each published number waits for, by its column; others are of a benchmark, from a secondary source.
REASONS = {
    "Average gain at matched budgets, at most": "needs the paper’s checkpoints and budgets; what our model gains is judged as a claim",
    "MM-Vet, relative gain": "MM-Vet needs the paper’s checkpoints and a GPT judge",
    "MM-Vet, % of the unpruned model": "MM-Vet needs the paper’s checkpoints and a GPT judge",
    "Latency added per image with randomised SVD, at most": "neither its machine nor its matrix is stated; judged as a claim on recorded GPU times",
}
TASKS = {
    "POPE": "pope",
    "TextVQA": "textvqa_val",
    "MME": "mme",
    "GQA": "gqa",
    "MMBench": "mmbench_en_dev_static",
    "MM-Vet": "mmvet",
    "SEED-Bench": "seedbench",
    "MMBench-CN": "mmbench_cn_dev_static",
}
# Benchmarks that the Hub alone has: key in results.csv, name, lmms-eval's task, and what it needs.
HUB_ONLY = (
    ("mmvet", "MM-Vet", "mmvet", "the Hub’s data, the paper’s checkpoints and a GPT judge"),
    ("seedbench", "SEED-Bench", "seedbench", "the Hub’s data and the paper’s checkpoints"),
    ("scienceqa", "ScienceQA", "scienceqa_img", "the Hub’s data and the paper’s checkpoints"),
    (
        "mmbench_cn",
        "MMBench-CN",
        "mmbench_cn_dev_static",
        "the Hub’s data and the paper’s checkpoints; its judge is static, no GPT",
    ),
)
SETUP = ("Benchmarks", "Backbones", "Complexity, full SVD", "Complexity, randomised SVD")


@dataclass(frozen=True)
class Published:
    """A printed number with its verdict, or the reason why there is none."""

    row: str
    column: str
    value: str
    source: str
    verdict: str
    reason: str

    @property
    def secondary(self) -> bool:
        return self.source.startswith("secondary")


@dataclass(frozen=True)
class Grid:
    """A table of the part."""

    caption: str
    heads: list[str]
    lines: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Part:
    """Figures, sentences and tables about one question, and where their numbers stand; without any it was not run."""

    id: str
    title: str
    charts: list[Figure] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    tables: list[Grid] = field(default_factory=list)
    source: tuple[str, ...] = ()  # where the numbers stand


@dataclass(frozen=True)
class Second:
    """The second paper's part, for the templates and the CSV files."""

    claims: list[ClaimResult]
    published: list[Published]
    parts: list[Part]
    answer: str
    brief: str  # the answer for a summary

    subtitle = "a token budget for each image"

    @property
    def counts(self) -> dict[str, int]:
        return text.claim_counts(self.claims)

    @property
    def findings(self) -> list[str]:
        return [text.claims_sentence(self.claims), self.answer]

    @property
    def opening(self) -> list[str]:
        """What a summary of both papers says of this one."""
        return [text.claims_sentence(self.claims), self.brief]

    def frame(self) -> pd.DataFrame:
        """verdicts_eadaprune.csv: one row for each published number."""
        return pd.DataFrame([vars(p) for p in self.published])


def second_paper(inputs: Inputs, published: Path, data: Path, out: Path, model: str | None) -> Second:
    """Judge, draw into ``out``, and put into words.

    Args:
        published: folder of eadaprune.csv and claims_eadaprune.yaml.
        data: folder of the experiments' files.
        model: ours, as results.csv names it.

    Raises:
        ReportError: if a file is missing or wrong.
    """
    claims = judge_claims(replace(inputs, claims=mapping(published / "claims_eadaprune.yaml")))
    found = Spectral.read(inputs, model, data)
    rows = [_judge(row) for row in load_published(published / "eadaprune.csv").itertuples(index=False)]
    return Second(claims, rows, _parts(found, out), spectral_text.beats(found), spectral_text.beats(found, brief=True))


def _judge(row: Any) -> Published:
    if row.column in SETUP:
        verdict, reason = NOTED, "describes the method or its setup"
    elif row.source.startswith("secondary"):
        verdict, reason = (
            NOT_RUN,
            (
                f"needs the paper’s checkpoint (profile lite or paper, task {TASKS[row.column]}), and its budget is not stated"
                + ("; this task asks a GPT judge" if row.column == "MM-Vet" else "")
            ),
        )
    else:
        verdict, reason = NOT_RUN, REASONS[row.column]
    return Published(row.row, row.column, row.value, row.source, verdict, reason)


def _parts(found: Spectral, out: Path) -> list[Part]:
    """Every section; what was not run is there, empty."""
    interval = found.inputs.interval

    def part(id_: str, title: str, needs: tuple[str, ...], make: Callable[[], tuple[list, list, list]]) -> Part:
        if not all(name in found.tables for name in needs):
            return Part(id_, title)
        files = [f"reports/results/{FILES[name][0]}" for name in needs]
        experiment = FILES[needs[0]][0].partition("/")[0]
        rows = (
            [f"reports/results.csv (experiment {experiment})"] if experiment in found.inputs.results.experiments else []
        )
        return Part(id_, title, *make(), (*rows, *files))

    return [
        part(
            "matched",
            "Fixed against spectral budgets at the same average",
            ("matched",),
            lambda: (
                [
                    spectral_figures.matched(found, out, interval),
                    spectral_figures.by_benchmark(found, out, _near(found.keeps), interval),
                ],
                [
                    spectral_text.achieved(found),
                    spectral_text.largest(found),
                    *spectral_text.gains(found, _near(found.keeps)),
                    spectral_text.AVERAGE,
                    spectral_text.asked(found),
                ],
                [_matched(found)],
            ),
        ),
        Part("tasks", "Benchmarks that the miniature world lacks", [], [], [_tasks(found)]),
        part(
            "sweep",
            "Scores against the energy threshold",
            ("sweep", "matched"),
            lambda: ([spectral_figures.sweep(found, out, interval)], [], [_sweep(found)]),
        ),
        part(
            "assumptions",
            "Which assumptions matter",
            ("variants",),
            lambda: (
                [spectral_figures.sensitivity(found, out, interval)],
                spectral_text.assumptions(found),
                [_variants(found)],
            ),
        ),
        part(
            "spectra",
            "The spectra, and the budgets that follow",
            ("decay", "budgets", "calibration"),
            lambda: (
                [spectral_figures.decay(found, out), spectral_figures.distribution(found, out)]
                + ([spectral_figures.examples(found, out)] if "examples" in found.tables else []),
                [],
                [],
            ),
        ),
        part(
            "density",
            "Budget against known density",
            ("budgets", "correlation"),
            lambda: ([spectral_figures.scatter(found, out)], spectral_text.density(found), []),
        ),
        part(
            "agreement",
            "Randomised against exact budgets",
            ("agreement",),
            lambda: ([], [spectral_text.agreement(found)], [_agreement(found)]),
        ),
        part(
            "latency",
            "What a budget costs",
            ("latency",),
            lambda: ([spectral_figures.latency(found, out)], spectral_text.latency(found), [_latency(found)]),
        ),
    ]


def _near(keeps: list[float]) -> float:
    """The budget that stands for all."""
    return min(keeps, key=lambda keep: abs(keep - KEEP))


def _matched(found: Spectral) -> Grid:
    results, lines = found.inputs.results, []
    for host in found.hosts:
        for keep in found.keeps:
            fixed, spectral = (results.cell("eadaprune", found.model, m, "mean", keep) for m in (host, host + SPECTRAL))
            gain = found.gain(host, "mean", keep)
            counts = [found.tokens(m, keep) for m in (host, host + SPECTRAL)]
            lines.append(
                (
                    f"{method_label(host)}, {100 * keep:g} %",
                    [
                        fmt.number(fixed and fixed.value),
                        fmt.number(spectral and spectral.value),
                        spectral_text.signed(gain) if gain else fmt.NONE,
                        *(fmt.number(v) for pair in counts for v in pair),
                    ],
                )
            )
    return Grid(
        "Mean percent of the unpruned score. Tokens: left after pruning, and averaged over all decoder layers.",
        ["Fixed", "Spectral", "Spectral − fixed", "Tokens, fixed", "over layers", "Tokens, spectral", "over layers"],
        lines,
    )


def _tasks(found: Spectral) -> Grid:
    ran = found.inputs.results.benchmarks("eadaprune", found.model) if found.model else []
    return Grid(
        "Configured for the real checkpoints (profiles lite and paper).",
        ["lmms-eval’s task", "Verdict", "Needs"],
        [(name, [task, "run" if key in ran else NOT_RUN, needs]) for key, name, task, needs in HUB_ONLY],
    )


def _sweep(found: Spectral) -> Grid:
    rows = found.tables["sweep"]
    rows = rows[rows["benchmark"] == "mean"]
    lines = []
    for row in rows.itertuples():
        score = found.inputs.results.cell("energy", found.model, row.method, "mean")
        host = row.method.partition(" ")[0]
        written = f"{fmt.number(score.value)} ({fmt.interval(score.low, score.high)})" if score else fmt.NONE
        lines.append(
            (
                f"{method_label(host)}, τ = {row.energy:g}",
                [fmt.number(row.tokens), fmt.number(row.tokens_by_layer), written],
            )
        )
    return Grid("Means over the benchmarks.", ["Average tokens", "over layers", "Percent of the unpruned score"], lines)


def _variants(found: Spectral) -> Grid:
    rows, lines = found.tables["variants"], []
    assumed = rows["method"].iloc[0]
    for row in rows.itertuples():
        change = found.inputs.results.difference("sensitivity", found.model, f"{row.method} - {assumed}", "mean")
        lines.append(
            (
                spectral_text.variant(row.method),
                [
                    f"{row.energy:.5g}",
                    fmt.number(row.tokens),
                    fmt.number(row.sd),
                    spectral_text.signed(change) if change else fmt.NONE,
                    fmt.number(row.spearman, 2),
                ],
            )
        )
    return Grid(
        "Against the assumed reading: mean percent of the unpruned score, and rank correlation of the budgets.",
        ["τ", "Average tokens", "their SD", "Score, difference", "Correlation"],
        lines,
    )


def _agreement(found: Spectral) -> Grid:
    rows = found.tables["agreement"]
    rows = rows[rows["benchmark"] == "all"]
    return Grid(
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
            for row in rows.itertuples()
        ],
    )


def _latency(found: Spectral) -> Grid:
    rows = found.tables["latency"]
    rows = rows[rows["rank"] == 64].drop_duplicates(["source", "device", "shape", "route"])
    return Grid(
        "Milliseconds of one matrix: median (quartiles) over the rounds. Times the Gram route: the median of the ratios within a round, "
        "not the ratio of the medians beside it. Cost: the paper’s O(·), as the share of a full SVD’s.",
        ["Milliseconds", "Times the Gram route", "Cost", "Settled at rank"],
        [
            (
                f"{row.device}{' (recorded)' if row.source == 'recorded' else ''}, {row.shape.replace('x', ' × ')}, {spectral_figures.ROUTE_LABEL[row.route]}",
                [
                    f"{row.median_ms:.4g} ({row.quartile_low_ms:.4g} to {row.quartile_high_ms:.4g})",
                    f"{row.times_gram:.2f}",
                    f"{row.cost_of_svd:.3f}",
                    f"{int(row.settled_at)}",
                ],
            )
            for row in rows.itertuples()
        ],
    )
