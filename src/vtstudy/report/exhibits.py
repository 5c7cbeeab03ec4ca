"""The paper's tables and figures in its order, each with one sentence that says what is to be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from vtstudy.report import formatting
from vtstudy.report.charts.style import Chart
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import in_sentence, method_label
from vtstudy.report.paper_figures import Section
from vtstudy.report.results import HIGHER, LOWER, OPEN, Measurement
from vtstudy.report.studies import Overview, Study
from vtstudy.report.table_links import KEEP, KEY_MODEL, TABLE_LINKS
from vtstudy.report.text_table import Table
from vtstudy.report.verdicts.cost_ratios import QUANTITIES, our_ratio, papers_ratio
from vtstudy.results_table import MEAN

CUES = {"(a)": 0, "(b)": 1, "(c)": 2, "(d)": 3}
"""Rows of Table 4, and how many of the three cues each has."""
CUE_NAMES = ("Correction", "Distance", "Similarity")
CHECK = "✓"
PARTS = (6, 7, 8)
"""The tables of parts of benchmarks."""
NOT_RUN = "It was not run."


@dataclass(frozen=True)
class Exhibit:
    """One of the paper's tables or figures, or several that belong together.

    Attributes:
        title: as the paper numbers it, and what it is.
        sentence: what is to be seen.
        charts: the pictures.
        tables: the numbers.
        page: name of the page with all numbers; "" if there is no more.
    """

    title: str
    sentence: str
    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    page: str = ""


def exhibits(
    inputs: Inputs,
    studies: Sequence[Study],
    overview: Overview | None,
    figures: Sequence[Section],
    page_of: dict[str, str],
) -> list[Exhibit]:
    """Tables 1 to 8, then Figures 1 to 9.

    Args:
        inputs: the measurements.
        studies: what was measured for the tables.
        overview: all models side by side.
        figures: what was measured for the figures.
        page_of: by our model, the name of its page.
    """
    by_id = {section.id: section for section in figures}
    return [
        _main_tables(inputs, studies, overview, page_of),
        _costs(inputs),
        _ablation(inputs, _of(studies, 4), page_of),
        _strategies(inputs, _of(studies, 5), page_of),
        _parts([study for study in studies if study.table in PARTS], page_of),
        _survivors(inputs, by_id["figure1"]),
        _attention(inputs, by_id["figure2"]),
        _redundancy(inputs, by_id["figure3"]),
        Exhibit(
            "Figure 4: the method",
            "Scores are multiplied by a centre prior, then tokens are taken one by one.",
            by_id["figure4"].charts,
        ),
        _ratios(inputs, by_id["figure5"]),
    ]


def _of(studies: Sequence[Study], table: int) -> Study | None:
    return next((study for study in studies if study.table == table), None)


def _points(measurement: Measurement | None) -> str:
    return measurement.text(sign=True) if measurement else formatting.NONE


def _main_tables(
    inputs: Inputs, studies: Sequence[Study], overview: Overview | None, page_of: dict[str, str]
) -> Exhibit:
    """Tables 1 and 2: what every model keeps at a tenth, the paper's beside ours."""
    title = f"Tables 1 and 2: {formatting.percent(1 - KEEP)} pruned"
    main = [study for study in studies if study.is_main]
    if not main:
        return Exhibit(title, NOT_RUN)
    charts = [overview.chart] if overview else []
    charts += [chart for study in main[:1] for chart in study.charts[:1]]
    counts = {HIGHER: 0, LOWER: 0, OPEN: 0}
    for study in main:
        lead = study.comparison(("adaptprune", "fastv"))
        if lead:
            for item in lead.items:
                counts[item.sign] += 1
    total = sum(counts.values())
    sentence = (
        f"Read one by one, without correction, AdaptPrune’s interval over FastV lies above zero on "
        f"{formatting.how_many(counts[HIGHER])} of {total} benchmarks and below on "
        f"{formatting.how_many(counts[LOWER])}."
        if total
        else "AdaptPrune was not compared with FastV."
    )
    rows = []
    for study in main:
        percent = study.percent
        if not percent:
            continue
        cells = []
        for method in ("fastv", "adaptprune", "random"):
            paper, ours, low, high = percent.numbers.get((MEAN, method), (math.nan,) * 4)
            cells += [
                formatting.number(paper),
                formatting.estimate(ours, low, high) if ours == ours else formatting.NONE,
            ]
        del cells[4]  # the paper has no random selection in these tables
        lead = study.comparison(("adaptprune", "fastv"))
        name = f"[{inputs.title(study.model)}]({page_of[study.ours]})"
        rows.append((name, [*cells, _points(lead.mean.measurement if lead and lead.mean else None)]))
    heads = ["FastV, paper", "FastV, ours", "AdaptPrune, paper", "AdaptPrune, ours", "Random, ours", "Lead over FastV"]
    table = Table("Mean percent of the unpruned score, with intervals.", heads, rows, first="Model")
    return Exhibit(title, sentence, charts, [table] if rows else [], page_of[main[0].ours])


def _costs(inputs: Inputs) -> Exhibit:
    """Table 3: times and memories as ratios to the unpruned model, the paper's and ours."""
    title = "Table 3: time and memory"
    printed = inputs.printed
    lines, ours_seen = [], []
    for row in ("FastV", "AdaptPrune"):
        cells = []
        for column in QUANTITIES:
            ours = our_ratio(inputs, KEY_MODEL, row, column)
            ours_seen += [ours] if ours else []
            cells += [formatting.number(papers_ratio(printed, KEY_MODEL, row, column), 2), ours or "not measured"]
        lines.append((row, cells))
    heads = [f"{column}, {whose}" for column in QUANTITIES for whose in ("paper", "ours")]
    table = Table("Each cost over the unpruned model’s: a value below 1 is a saving.", heads, lines, first="Method")
    fastv, adaptprune = (_ratio_of_times(inputs, method) for method in ("fastv", "adaptprune"))
    if math.isnan(fastv) or math.isnan(adaptprune):
        sentence = "Times were not measured here."
    else:
        in_paper = printed.cost(KEY_MODEL, "AdaptPrune", "Latency") / printed.cost(KEY_MODEL, "FastV", "Latency")
        sentence = (
            f"End to end, AdaptPrune takes {formatting.number(adaptprune / fastv, 2)} times as long as FastV here, and "
            f"{formatting.number(in_paper, 2)} times in the paper."
        )
    return Exhibit(title, sentence, [], [table], "pages/costs.md")


def _ratio_of_times(inputs: Inputs, method: str) -> float:
    frame = inputs.tables.get("timings.csv")
    if frame is None:
        return math.nan
    found = frame[
        (frame["model"] == inputs.results.model_for(KEY_MODEL))
        & (frame["method"] == method)
        & (frame["batch"] == 1)
        & (frame["quantity"] == "speedup_end_to_end")
    ]
    return 1 / float(found["median"].iloc[0]) if len(found) else math.nan


def _ablation(inputs: Inputs, study: Study | None, page_of: dict[str, str]) -> Exhibit:
    """Table 4 with its check marks."""
    title = "Table 4: what each cue adds"
    if study is None or study.percent is None:
        return Exhibit(title, NOT_RUN)
    lines, steps, before = [], list[Measurement](), ""
    for method in study.percent.methods:
        if method not in CUES:
            continue
        paper, ours, low, high = study.percent.numbers[MEAN, method]
        step = study.comparison((method, before)) if before else None
        mean = step.mean.measurement if step and step.mean else None
        if mean:
            steps.append(mean)
        marks = [CHECK if place < CUES[method] else "" for place in range(len(CUE_NAMES))]
        lines.append((method, [*marks, formatting.number(paper), formatting.estimate(ours, low, high), _points(mean)]))
        before = method
    up, down = (sum(step.side == side for step in steps) for side in (HIGHER, LOWER))
    sentence = (
        f"Of {formatting.counted(len(steps), 'step')}, {formatting.how_many(up)} clearly "
        f"{'raises' if up < 2 else 'raise'} the mean score and {formatting.how_many(down)} clearly "
        f"{'lowers' if down < 2 else 'lower'} it."
    )
    heads = [*CUE_NAMES, "Paper", "Ours", "Over the row above"]
    table = Table("Mean percent of the unpruned score.", heads, lines, first="Row", left=CUE_NAMES)
    return Exhibit(title, sentence, study.charts[:1], [table], page_of[study.ours])


def _strategies(inputs: Inputs, study: Study | None, page_of: dict[str, str]) -> Exhibit:
    """Table 5: nine strategies, ranked by the paper's mean, with ours beside it."""
    title = "Table 5: other ways to choose"
    if study is None or study.percent is None:
        return Exhibit(title, NOT_RUN)
    numbers = {method: study.percent.numbers[MEAN, method] for method in study.percent.methods}
    by_paper = sorted(numbers, key=lambda method: -numbers[method][0])
    by_ours = sorted(numbers, key=lambda method: -numbers[method][1])
    lines = []
    for method in by_paper:
        paper, ours, low, high = numbers[method]
        ranks = [str(by_paper.index(method) + 1), str(by_ours.index(method) + 1)]
        lines.append(
            (method_label(method), [formatting.number(paper), ranks[0], formatting.estimate(ours, low, high), ranks[1]])
        )
    best_paper, best_ours = (in_sentence(method_label(names[0])) for names in (by_paper, by_ours))
    moved = max(numbers, key=lambda method: abs(by_paper.index(method) - by_ours.index(method)))
    same = "too" if best_paper == best_ours else f"but {best_ours} here"
    sentence = (
        f"{best_paper[0].upper()}{best_paper[1:]} is first in the paper, {same}. {method_label(moved)} moves most: "
        f"from rank {by_paper.index(moved) + 1} to rank {by_ours.index(moved) + 1}."
    )
    table = Table(
        f"Mean percent of the unpruned score on {formatting.listed(study.blocks[0].benchmarks)}.",
        ["Paper", "Rank, paper", "Ours", "Rank, ours"],
        lines,
        first="Method",
    )
    return Exhibit(title, sentence, [], [table], page_of[study.ours])


def _parts(studies: Sequence[Study], page_of: dict[str, str]) -> Exhibit:
    """Tables 6 to 8: AdaptPrune against FastV on the parts of two benchmarks."""
    title = f"Tables {PARTS[0]} to {PARTS[-1]}: parts of MMBench and MME"
    sentences = []
    for study in studies:
        link = TABLE_LINKS[study.table]
        for comparison in study.compared:
            if comparison.methods == ("adaptprune", "fastv") and comparison.keep in (None, KEEP):
                up, down = (formatting.how_many(comparison.count(side)) for side in (HIGHER, LOWER))
                sentences.append(
                    f"Table {study.table}: AdaptPrune’s interval over FastV lies above zero on {up} of "
                    f"{formatting.counted(len(comparison.items), link.noun)} and below on {down}."
                )
    if not sentences:
        return Exhibit(title, NOT_RUN)
    charts = [study.charts[-1] for study in studies if study.charts]
    return Exhibit(title, " ".join(sentences), charts, [], page_of[studies[0].ours])


def _survivors(inputs: Inputs, section: Section) -> Exhibit:
    """Figures 1, 6 and 7: which tokens stay."""
    title = "Figures 1, 6 and 7: which tokens stay"
    if not section.charts:
        return Exhibit(title, NOT_RUN)
    return Exhibit(title, section.sentences[0], section.charts)


def _attention(inputs: Inputs, section: Section) -> Exhibit:
    """Figures 2, 8 and 9: whether attention has a fixed pattern."""
    title = "Figures 2, 8 and 9: where attention falls"
    if not section.charts:
        return Exhibit(title, NOT_RUN)
    return Exhibit(title, section.sentences[0] if section.sentences else "", section.charts)


def _redundancy(inputs: Inputs, section: Section) -> Exhibit:
    title = "Figure 3: are the kept tokens redundant?"
    if not section.charts:
        return Exhibit(title, NOT_RUN)
    return Exhibit(title, " ".join(section.sentences[:1]), section.charts)


def _ratios(inputs: Inputs, section: Section) -> Exhibit:
    title = "Figure 5: more and more pruned"
    if not section.charts:
        return Exhibit(title, NOT_RUN)
    return Exhibit(title, section.sentences[0] if section.sentences else "", section.charts)
