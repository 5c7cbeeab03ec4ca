"""Everything that the pages show, gathered once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vtstudy.report import formatting, sentences
from vtstudy.report.charts import main_tables
from vtstudy.report.charts.style import Chart
from vtstudy.report.checkpoints import file_name
from vtstudy.report.costs import Costs, costs
from vtstudy.report.differences import Comparison, Difference, Line, comparisons, difference_table
from vtstudy.report.eadaprune.section import EAdaPruneSection, eadaprune_section
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label, term_label
from vtstudy.report.paper_figures import Section, sections
from vtstudy.report.provenance import provenance_lines
from vtstudy.report.results import LOWER, OPEN
from vtstudy.report.sanity import SanityRow, sanity_rows
from vtstudy.report.table_links import KEY_MODEL, MAIN_TABLES, TABLE_LINKS
from vtstudy.report.tables import Block, PercentTable, blocks, overview_table, percent_table
from vtstudy.report.verdicts.audit import Finding, audit
from vtstudy.report.verdicts.claims import ClaimResult, judge_claims
from vtstudy.report.verdicts.printed_values import PrintedValue, judge_printed_values

_MAIN_METHODS = ("fastv", "adaptprune", "adaptprune_as_written", "random", "vtw")
STUDIES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("table1", 1, _MAIN_METHODS),
    ("table2", 2, _MAIN_METHODS),
    ("table4", 4, ("(a)", "(b)", "(c)", "(d)")),
    (
        "table5",
        5,
        ("fastv", "adaptprune", "fitprune", "skip", "random", "random3x3", "maxpool3x3", "avgpool3x3", "last"),
    ),
    ("table6_7", 6, ()),
    ("table6_7", 7, ()),
    ("table8", 8, ()),
)
"""The tables that have a section: experiment, number, and methods of its table of percents and its chart."""
HEADLINES = (("adaptprune", "fastv"), ("adaptprune", "random"))
"""The comparisons that open the report."""


@dataclass(frozen=True)
class Study:
    """The section of one published table and one of its models.

    Attributes:
        table: its number.
        experiment: ours, that answers it.
        model: of the paper.
        ours: our model.
        id: for links and file names.
        own: whether ours is the paper's own checkpoint.
        title: for readers.
        questions: how many were asked, as text.
        blocks: the printed values beside ours.
        percent: percent of the unpruned score.
        charts: as written.
        compared: the paired differences.
        heads: of the table of differences.
        lines: of the table of differences.
        sentences: what the differences say.
        sanity: whether the unpruned model looks at the image.
        noun: what the table's benchmarks are called.
    """

    table: int
    experiment: str
    model: str
    ours: str
    id: str
    own: bool
    title: str
    questions: str
    blocks: list[Block]
    percent: PercentTable | None
    charts: list[Chart]
    compared: list[Comparison]
    heads: list[str]
    lines: list[Line]
    sentences: list[str]
    sanity: list[SanityRow]
    noun: str

    @property
    def is_main(self) -> bool:
        return self.experiment in MAIN_TABLES

    def comparison(self, pair: tuple[str, str]) -> Comparison | None:
        return next((comparison for comparison in self.compared if comparison.methods == pair), None)


@dataclass(frozen=True)
class OverviewRow:
    """One model in the overview of all models."""

    model: str
    ours: str
    questions: str
    line: list[tuple[str, str]]
    printed: str
    lead: Difference | None


@dataclass(frozen=True)
class Overview:
    """All models side by side: the mean percent of the unpruned score, and AdaptPrune's lead over FastV."""

    percent: PercentTable
    rows: list[OverviewRow]
    chart: Chart


@dataclass(frozen=True)
class View:
    """All that the pages show; the templates read it by the names of its fields."""

    profile: str
    interval: float
    model: str | None
    summary: list[str]
    findings: list[str]
    counts: dict[str, int]
    claims: list[ClaimResult]
    printed_values: list[PrintedValue]
    sanity: list[SanityRow]
    sanity_sentence: str
    studies: list[Study]
    overview: Overview | None
    paper_figures: list[Section]
    other_tables: list[Block]
    audit: list[Finding]
    costs: Costs
    not_judged: str
    provenance: list[tuple[str, str]]
    tolerances: str
    second: EAdaPruneSection

    title: str = "AdaptPrune, replicated"
    label: Callable[[str], str] = field(default=benchmark_label, repr=False)
    method: Callable[[str], str] = field(default=method_label, repr=False)
    term: Callable[[str], str] = field(default=term_label, repr=False)

    @property
    def failing_on_paper(self) -> list[ClaimResult]:
        """The claims that the paper's own numbers contradict."""
        return [claim for claim in self.claims if claim.paper == "fails"]

    @property
    def charts(self) -> list[Chart]:
        """All charts, in the order of the pages."""
        groups = [
            [self.overview.chart] if self.overview else [],
            *(study.charts for study in self.studies),
            *(section.charts for section in self.paper_figures),
            *(part.charts for part in self.second.parts),
        ]
        return [chart for group in groups for chart in group]


def build_view(inputs: Inputs, figures: Path) -> View:
    """Judge, draw and put into words all that the pages show.

    Args:
        inputs: what the report is made from.
        figures: folder of the charts.
    """
    ours = inputs.results.model_for(KEY_MODEL)
    second = eadaprune_section(inputs, ours, figures)
    printed_values = judge_printed_values(inputs)
    claims = judge_claims(inputs, inputs.claims)
    all_blocks = blocks(inputs, printed_values)
    studies = _studies(inputs, all_blocks, figures)
    with_section = {(block.table, block.model) for study in studies for block in study.blocks}
    sanity = [row for study in studies if study.is_main for row in study.sanity]
    parts = [row for study in studies if TABLE_LINKS[study.table].turned for row in study.sanity]
    sanity_sentence = f"{sentences.sanity_sentence(sanity)} {sentences.parts_sentence(parts)}".strip()
    return View(
        profile=inputs.profile,
        interval=inputs.interval,
        model=ours,
        summary=sentences.what_was_run(inputs),
        findings=_findings(inputs, studies, claims, printed_values, ours),
        counts=sentences.claim_counts(claims),
        claims=claims,
        printed_values=printed_values,
        sanity=sanity,
        sanity_sentence=sanity_sentence,
        studies=studies,
        overview=_overview(inputs, studies, figures),
        paper_figures=sections(inputs, ours, figures),
        other_tables=[block for block in all_blocks if (block.table, block.model) not in with_section],
        audit=audit(inputs.published),
        costs=costs(inputs.tables),
        not_judged=sentences.not_judged_sentence(printed_values),
        provenance=provenance_lines(inputs.provenance),
        tolerances=inputs.tolerances.sentence(),
        second=second,
    )


def _studies(inputs: Inputs, all_blocks: list[Block], figures: Path) -> list[Study]:
    """The sections of the tables that were run; a table's models stay in their order."""
    studies = []
    for model in inputs.models:
        ours = inputs.results.model_for(model)
        if ours is None:
            continue
        run = inputs.results.experiments_of(ours)
        for experiment, table, methods in STUDIES:
            if experiment in run:
                studies.append(_study(inputs, experiment, table, model, ours, methods, all_blocks, figures))
    return sorted(studies, key=lambda study: study.table)


def _study(
    inputs: Inputs,
    experiment: str,
    table: int,
    model: str,
    ours: str,
    methods: tuple[str, ...],
    all_blocks: list[Block],
    figures: Path,
) -> Study:
    link = TABLE_LINKS[table]
    stem = f"table{table}" if model == KEY_MODEL else f"table{table}_{file_name(ours)}"
    is_main = experiment in MAIN_TABLES
    benchmarks = list(link.benchmarks.values())
    # Parts of one benchmark have the same units, and too few questions each for a percent of the unpruned score.
    compared = comparisons(inputs, experiment, ours, benchmarks, scale=not link.turned)
    # Whether the model looks has a section of its own.
    compared = [comparison for comparison in compared if "blind" not in comparison.methods]
    percent = percent_table(inputs, table, model, experiment, methods) if methods else None
    heads, lines = difference_table(compared)
    sanity = sanity_rows(inputs.results, ours, experiment, [*benchmarks, "mme_cognition"] if is_main else benchmarks)
    of_study = [block for block in all_blocks if block.table == table and block.model == model]
    return Study(
        table=table,
        experiment=experiment,
        model=model,
        ours=ours,
        id=stem.replace("_", "-"),
        own=inputs.is_papers(model),
        title=f"{link.title}, {model}" if is_main else link.title,
        questions=sentences.questions_phrase(inputs.results, ours, experiment, link),
        blocks=of_study,
        percent=percent,
        charts=_charts(inputs, table, ours, stem, percent, compared, figures),
        compared=compared,
        heads=heads,
        lines=lines,
        sentences=_study_sentences(inputs, table, model, is_main and model == KEY_MODEL, compared, sanity),
        sanity=sanity,
        noun=link.noun.capitalize(),
    )


def _charts(
    inputs: Inputs,
    table: int,
    ours: str,
    stem: str,
    percent: PercentTable | None,
    compared: list[Comparison],
    figures: Path,
) -> list[Chart]:
    charts = []
    if percent and table == 4:
        charts.append(main_tables.ablation(percent, figures, "ablation", inputs.interval))
    elif percent:
        charts.append(main_tables.retention(percent, figures, f"retention_{stem}", inputs.interval))
    charted = [comparison for comparison in compared if comparison.charted]
    if charted and table != 5:  # of Table 5's pairs there are too many for one chart
        title = f"Paired differences: Table {table}, {ours}"
        scaled = not TABLE_LINKS[table].turned
        charts.append(
            main_tables.forest(charted, figures, f"differences_{stem}", title, inputs.interval, scaled=scaled)
        )
    return charts


def _study_sentences(
    inputs: Inputs, table: int, model: str, opens: bool, compared: list[Comparison], sanity: list[SanityRow]
) -> list[str]:
    """What a table's differences say; of Table 5's many pairs, those with AdaptPrune.

    Args:
        inputs: the measurements.
        table: its number.
        model: of the paper.
        opens: whether the report opens with this table's headlines, which are then not repeated.
        compared: its paired differences.
        sanity: whether the unpruned model looks at the image.
    """
    link = TABLE_LINKS[table]
    shown = []
    for comparison in compared:
        if opens and comparison.methods in HEADLINES:
            continue
        if table == 5 and not comparison.pair.startswith("adaptprune"):
            continue
        shown.append(sentences.comparison_sentence(comparison, inputs.interval, noun=link.noun))
    if link.turned:
        shown.append(sentences.sanity_sentence(sanity, link.noun))
    note = sentences.grid_note(inputs.is_miniature(model), table)
    return [*shown, note] if note else shown


def _findings(
    inputs: Inputs,
    studies: list[Study],
    claims: list[ClaimResult],
    printed_values: list[PrintedValue],
    ours: str | None,
) -> list[str]:
    """The sentences that open the report."""
    findings = [sentences.claims_sentence(claims), *sentences.why_not_run(claims)]
    main = [study for study in studies if study.is_main]
    for pair in HEADLINES:
        by_model = [(study.ours, comparison) for study in main if (comparison := study.comparison(pair))]
        first = next((comparison for model, comparison in by_model if model == ours), None)
        if first:
            model = ours if ours and len(main) > 1 else ""
            findings.append(sentences.comparison_sentence(first, inputs.interval, model=model))
        else:
            findings.append(sentences.not_compared_sentence(pair))
        # The lead over FastV is the paper's claim: there every model is named.
        sign = first.mean.sign if first and first.mean and pair != HEADLINES[0] else OPEN
        others = [(model, comparison) for model, comparison in by_model if model != ours]
        findings.append(sentences.elsewhere_sentence(others, sign))
    if ours:
        findings.append(sentences.random_rank_sentence(inputs, "table1", ours))
    # Whatever is ahead of the paper's method is named, also if the paper does not compare itself with it.
    for study in studies:
        if study.table == 5:
            findings += [
                f"Table 5: {sentences.comparison_sentence(comparison, inputs.interval)}"
                for comparison in study.compared
                if comparison.methods[0] == "adaptprune" and comparison.mean and comparison.mean.sign == LOWER
            ]
    findings.append(sentences.printed_values_sentence(printed_values))
    return [sentence for sentence in findings if sentence]


def _overview(inputs: Inputs, studies: list[Study], figures: Path) -> Overview | None:
    percent = overview_table(inputs, _MAIN_METHODS)
    if percent is None:
        return None
    by_model = {study.model: study for study in studies if study.is_main}
    a, b = HEADLINES[0]
    rows = []
    for model, line in percent.rows:
        study = by_model[model]
        comparison = study.comparison(HEADLINES[0])
        printed = percent.numbers[model, a][0] - percent.numbers[model, b][0]
        lead = comparison.mean if comparison else None
        rows.append(OverviewRow(model, study.ours, study.questions, line, formatting.signed(printed), lead))
    return Overview(percent, rows, main_tables.retention(percent, figures, "models", inputs.interval))
