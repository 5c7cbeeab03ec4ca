"""Everything that the pages show, gathered once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vtstudy.report import sentences
from vtstudy.report.answers import Answer, answers, not_run
from vtstudy.report.charts.method_curves import method_curves
from vtstudy.report.charts.style import Chart
from vtstudy.report.checkpoints import file_name
from vtstudy.report.claim_rows import ClaimGroup, claim_groups
from vtstudy.report.controls import Control, controls
from vtstudy.report.costs import Costs, costs
from vtstudy.report.eadaprune.section import EAdaPruneSection, eadaprune_section
from vtstudy.report.evidence import INCONSISTENT, Kind
from vtstudy.report.exhibits import Exhibit, exhibits
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label, term_label
from vtstudy.report.layers import LayerSweep, layer_sweep
from vtstudy.report.limits import Gap, gaps, limitations
from vtstudy.report.method_table import MethodTable, budget_name, choice, method_table, picture_title
from vtstudy.report.notebook_answers import NotebookAnswer, notebook_answers
from vtstudy.report.paper_figures import Section, sections
from vtstudy.report.provenance import provenance_lines, run_line
from vtstudy.report.published import PrintedNumbers
from vtstudy.report.sanity import SanityRow
from vtstudy.report.studies import Overview, Study, overview_of, study_tables
from vtstudy.report.table_links import KEY_MODEL
from vtstudy.report.tables import Block, blocks
from vtstudy.report.verdicts.audit import DISAGREE, Finding, audit
from vtstudy.report.verdicts.claims import ClaimResult, judge_claims
from vtstudy.report.verdicts.printed_values import PrintedValue, judge_printed_values

CLAIMS_PAGE = "pages/claims.md"


@dataclass(frozen=True)
class ModelPage:
    """The page of one model.

    Attributes:
        name: of the page, without folder and ending.
        title: what readers call the model.
        ours: its name in results.csv.
        own: whether it is the paper's own checkpoint.
        studies: of the tables that were run on it.
        sanity: whether it looks at the image.
        sanity_sentence: the same in a sentence.
    """

    name: str
    title: str
    ours: str
    own: bool
    studies: list[Study]
    sanity: list[SanityRow]
    sanity_sentence: str


@dataclass(frozen=True)
class View:
    """All that the pages show; the templates read it by the names of its fields."""

    profile: str
    interval: float
    model: str | None
    model_title: str
    own: bool
    answers: list[Answer]
    not_run: list[str]
    summary: list[str]
    run_line: str
    picture: Chart | None
    methods: MethodTable
    choices: list[tuple[str, str]]
    controls: list[Control]
    claims: list[ClaimResult]
    groups: list[ClaimGroup]
    exhibits: list[Exhibit]
    printed_values: list[PrintedValue]
    printed_sentence: str
    studies: list[Study]
    overview: Overview | None
    paper_figures: list[Section]
    blocks: list[Block]
    model_pages: list[ModelPage]
    audit: list[Finding]
    notebooks: list[NotebookAnswer]
    gaps: list[Gap]
    limitations: list[str]
    costs: Costs
    not_judged: str
    provenance: list[tuple[str, str]]
    tolerances: str
    second: EAdaPruneSection
    layers: LayerSweep
    has_explorer: bool

    label: Callable[[str], str] = field(default=benchmark_label, repr=False)
    method: Callable[[str], str] = field(default=method_label, repr=False)
    term: Callable[[str], str] = field(default=term_label, repr=False)

    @property
    def contradictions(self) -> list[tuple[str, str, str]]:
        """What the papers' printed numbers contradict: what it is, where, and what was found."""
        cells = [(finding.check, finding.where, finding.found) for finding in self.audit if finding.verdict == DISAGREE]
        claims = [
            (f"[{claim.id}](#{claim.id})", claim.place, claim.paper_detail)
            for claim in self.claims
            if claim.paper == INCONSISTENT and claim.kind != Kind.EXACT
        ]
        return [*cells, *claims]

    @property
    def charts(self) -> list[Chart]:
        """All charts, in the order of the pages."""
        groups = [
            [self.picture] if self.picture else [],
            [self.overview.chart] if self.overview else [],
            *(study.charts for study in self.studies),
            *(section.charts for section in self.paper_figures),
            self.layers.charts,
            *(part.charts for part in self.second.parts),
        ]
        return [chart for group in groups for chart in group]


def build_view(inputs: Inputs) -> View:
    """Judge and put into words all that the pages show; the charts are not drawn yet."""
    ours = inputs.results.model_for(KEY_MODEL)
    second = eadaprune_section(inputs, ours)
    printed_values = judge_printed_values(inputs)
    claims = judge_claims(inputs, inputs.claims)
    checked, found = controls(inputs), audit(inputs.published)
    all_blocks = blocks(inputs, printed_values)
    studies = study_tables(inputs, all_blocks)
    overview = overview_of(inputs, studies)
    of_figures = sections(inputs, ours)
    pages = _model_pages(inputs, studies)
    methods = method_table(inputs)
    picture = None
    if methods.rows:
        printed = PrintedNumbers(inputs.published)
        picture = method_curves(methods, printed, inputs.title(KEY_MODEL), picture_title(methods))
    both = [*claims, *second.claims]
    shown = exhibits(inputs, studies, overview, of_figures, {page.ours: f"pages/{page.name}.md" for page in pages})
    return View(
        profile=inputs.profile,
        interval=inputs.interval,
        model=ours,
        model_title=inputs.title(KEY_MODEL),
        own=inputs.is_papers(KEY_MODEL),
        answers=answers(inputs, both, found, ours),
        not_run=not_run(inputs, printed_values),
        summary=sentences.what_was_run(inputs),
        run_line=run_line(inputs.provenance),
        picture=picture,
        methods=methods,
        choices=[(budget_name(budget), choice(methods, budget)) for budget in methods.budgets],
        controls=checked,
        claims=claims,
        groups=claim_groups(inputs, both, CLAIMS_PAGE),
        exhibits=shown,
        notebooks=notebook_answers(inputs, both, checked, [exhibit.title for exhibit in shown]),
        printed_values=printed_values,
        printed_sentence=sentences.printed_values_sentence(printed_values),
        studies=studies,
        overview=overview,
        paper_figures=of_figures,
        blocks=all_blocks,
        model_pages=pages,
        audit=found,
        gaps=gaps(inputs, methods, checked),
        limitations=limitations(inputs),
        costs=costs(inputs.tables),
        not_judged=sentences.not_judged_sentence(printed_values),
        provenance=provenance_lines(inputs.provenance),
        tolerances=inputs.tolerances.sentence(),
        second=second,
        layers=layer_sweep(inputs),
        has_explorer=(inputs.folders.data / "explorer").is_dir(),
    )


def _model_pages(inputs: Inputs, studies: list[Study]) -> list[ModelPage]:
    """A page for each model that has a table."""
    pages = []
    for paper in inputs.models:
        of_model = [study for study in studies if study.model == paper]
        if not of_model:
            continue
        ours = of_model[0].ours
        sanity = [row for study in of_model if study.is_main for row in study.sanity]
        pages.append(
            ModelPage(
                name=f"model-{file_name(ours)}",
                title=inputs.title(paper),
                ours=ours,
                own=inputs.is_papers(paper),
                studies=of_model,
                sanity=sanity,
                sanity_sentence=sentences.sanity_sentence(sanity),
            )
        )
    return pages
