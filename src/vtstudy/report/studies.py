"""What was measured for the paper's tables, one study for each table and model."""

from __future__ import annotations

from dataclasses import dataclass

from vtstudy.report import formatting, sentences
from vtstudy.report.charts import main_tables
from vtstudy.report.charts.style import Chart
from vtstudy.report.checkpoints import file_name
from vtstudy.report.differences import Comparison, Difference, Line, comparisons, difference_table
from vtstudy.report.inputs import Inputs
from vtstudy.report.sanity import SanityRow, sanity_rows
from vtstudy.report.table_links import KEY_MODEL, MAIN_TABLES, TABLE_LINKS
from vtstudy.report.tables import Block, PercentTable, overview_table, percent_table

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
HEADLINE = ("adaptprune", "fastv")
"""The comparison that the paper is about."""


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
        charts: to be drawn.
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


def study_tables(inputs: Inputs, all_blocks: list[Block]) -> list[Study]:
    """The sections of the tables that were run; a table's models stay in their order."""
    studies = []
    for model in inputs.models:
        ours = inputs.results.model_for(model)
        if ours is None:
            continue
        run = inputs.results.experiments_of(ours)
        for experiment, table, methods in STUDIES:
            if experiment in run:
                studies.append(_study(inputs, experiment, table, model, ours, methods, all_blocks))
    return sorted(studies, key=lambda study: study.table)


def _study(
    inputs: Inputs,
    experiment: str,
    table: int,
    model: str,
    ours: str,
    methods: tuple[str, ...],
    all_blocks: list[Block],
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
        title=f"{link.title}, {inputs.title(model)}" if is_main else link.title,
        questions=sentences.questions_phrase(inputs.results, ours, experiment, link),
        blocks=of_study,
        percent=percent,
        charts=_charts(inputs, table, inputs.title(model), stem, percent, compared),
        compared=compared,
        heads=heads,
        lines=lines,
        sentences=_study_sentences(inputs, table, model, compared, sanity),
        sanity=sanity,
        noun=link.noun.capitalize(),
    )


def _charts(
    inputs: Inputs,
    table: int,
    name: str,
    stem: str,
    percent: PercentTable | None,
    compared: list[Comparison],
) -> list[Chart]:
    charts = []
    if percent and table == 4:
        charts.append(main_tables.ablation(percent, "ablation", inputs.interval))
    elif percent:
        charts.append(main_tables.retention(percent, f"retention_{stem}", inputs.interval))
    charted = [comparison for comparison in compared if comparison.charted]
    if charted and table != 5:  # of Table 5's pairs there are too many for one chart
        title = f"Paired differences: Table {table}, {name}"
        scaled = not TABLE_LINKS[table].turned
        charts.append(main_tables.forest(charted, f"differences_{stem}", title, inputs.interval, scaled=scaled))
    return charts


def _study_sentences(
    inputs: Inputs, table: int, model: str, compared: list[Comparison], sanity: list[SanityRow]
) -> list[str]:
    """What a table's differences say; of Table 5's many pairs, those with AdaptPrune."""
    link = TABLE_LINKS[table]
    shown = []
    for comparison in compared:
        if table == 5 and not comparison.pair.startswith("adaptprune"):
            continue
        shown.append(sentences.comparison_sentence(comparison, inputs.interval, noun=link.noun))
    if link.turned:
        shown.append(sentences.sanity_sentence(sanity, link.noun))
    note = sentences.grid_note(inputs.is_miniature(model), table)
    return [*shown, note] if note else shown


def overview_of(inputs: Inputs, studies: list[Study]) -> Overview | None:
    """The overview of all models; None if only one was run."""
    percent = overview_table(inputs, _MAIN_METHODS)
    if percent is None:
        return None
    by_model = {study.model: study for study in studies if study.is_main}
    a, b = HEADLINE
    rows = []
    for model, line in percent.rows:
        study = by_model[model]
        comparison = study.comparison(HEADLINE)
        printed = percent.numbers[model, a][0] - percent.numbers[model, b][0]
        lead = comparison.mean if comparison else None
        rows.append(OverviewRow(model, study.ours, study.questions, line, formatting.signed(printed), lead))
    return Overview(percent, rows, main_tables.retention(percent, "models", inputs.interval))
