"""The notebooks' questions with their answers, computed from the results; the report writes them and links to them.

Claims keep the verdicts that the report gives them. What no claim says is put into the same words by the same rule: a
direction only if every comparison is clear, and on one side, after they were corrected together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vtstudy.report import formatting
from vtstudy.report.answers import beats_fastv, every_cue, how_much_is_lost, leads
from vtstudy.report.controls import FASTV_AT_HALF, Control
from vtstudy.report.eadaprune import sentences as spectral
from vtstudy.report.eadaprune.data import SPECTRAL, SpectralData
from vtstudy.report.evidence import NOT_RUN, Kind, Outcome, word
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, in_sentence, method_label, variant_label
from vtstudy.report.links import NOTEBOOK_OF, NOTEBOOKS
from vtstudy.report.rendering import slug
from vtstudy.report.results import HIGHER, LOWER, Measurement
from vtstudy.report.table_links import KEEP, KEY_MODEL
from vtstudy.report.verdicts.claims import ClaimResult
from vtstudy.report.verdicts.correction import clear_sides
from vtstudy.results_table import MEAN

FILE = "notebook_answers.json"
"""The file of a report that holds the answers; the notebooks read it."""
_SECOND = "pages/eadaprune.md"
"""The page of the second paper."""
_NAMED = 4
"""A sentence names at most so many benchmarks."""


@dataclass(frozen=True)
class ClaimLine:
    """A claim that a notebook is about: its name in claims.yaml, its sentence, its verdict."""

    id: str
    statement: str
    verdict: str


@dataclass(frozen=True)
class NotebookAnswer:
    """A notebook's question and its answer.

    Attributes:
        name: of the notebook's file, without its ending.
        question: that it asks.
        about: what the verdict is about, as the paper would have it.
        verdict: in the words of its kind of evidence.
        sentences: the numbers behind it.
        claims: of the papers.
        place: where the report shows the same, as seen from its first page.
    """

    name: str
    question: str
    about: str
    verdict: str
    sentences: tuple[str, ...]
    claims: tuple[ClaimLine, ...]
    place: str


@dataclass(frozen=True)
class Evidence:
    """What the answers are made from.

    Attributes:
        inputs: the measurements.
        ours: the model that most tables are of; None if it was not run.
        claims: of both papers, by name.
        controls: by name.
        spectral: E-AdaPrune's tables.
    """

    inputs: Inputs
    ours: str | None
    claims: Mapping[str, ClaimResult]
    controls: Mapping[str, Control]
    spectral: SpectralData

    @property
    def kind(self) -> Kind:
        return Kind.CHECKPOINT if self.inputs.is_papers(KEY_MODEL) else Kind.STAND_IN

    def title(self, paper: str = KEY_MODEL) -> str:
        """What readers call a model, with the name that results.csv has for a stand-in."""
        title, ours = self.inputs.title(paper), self.inputs.results.model_for(paper)
        return title if self.inputs.is_papers(paper) or not ours or ours in title else f"{title} ({ours})"

    @property
    def on(self) -> str:
        """ "On LLaVA-1.5-7B", "On the stand-in for LLaVA-1.5-7B (miniature-llava)"."""
        return f"On {'' if self.inputs.is_papers(KEY_MODEL) else 'the '}{self.title()}"

    def named(self, sentence: str) -> str:
        """A sentence of the report with every stand-in's name in results.csv beside what it stands in for."""
        for paper in self.inputs.models:
            title, full = self.inputs.named(paper), self.title(paper)
            if not self.inputs.is_papers(paper):
                sentence = sentence.replace(f"On {title}", f"On the {full}")
        return sentence

    def sides(self, measurements: Sequence[Measurement]) -> list[str]:
        """On which side of zero each one clearly lies, all read together."""
        return clear_sides(measurements, self.inputs.interval / 100)

    def measured(self, claim: str) -> list[Measurement]:
        """What was measured for a claim, case by case; nothing if it was not run."""
        found = self.claims.get(claim)
        return [c.measurement for c in found.measured if c.measurement] if found else []

    def sides_of(self, claim: str) -> dict[str, str]:
        """On which side of its bound each case of a claim clearly lies; cases that cannot be tested are left out."""
        found = self.claims[claim]
        wanted, other = (HIGHER, LOWER) if ">" in found.expected else (LOWER, HIGHER)
        sides = {Outcome.SUPPORTS: wanted, Outcome.CONTRADICTS: other, Outcome.OPEN: ""}
        return {c.case: sides[c.outcome] for c in found.measured if c.outcome in sides}

    def verdict_of(self, claim: str) -> str:
        return self.claims[claim].verdict if claim in self.claims else NOT_RUN


def notebook_answers(
    inputs: Inputs, claims: Sequence[ClaimResult], checked: Sequence[Control], headings: Sequence[str] = ()
) -> list[NotebookAnswer]:
    """The answers, in the notebooks' order.

    Args:
        inputs: the measurements.
        claims: of both papers.
        checked: the controls.
        headings: of the report's first page; a notebook about a table or a figure leads to its heading.
    """
    evidence = Evidence(
        inputs,
        inputs.results.model_for(KEY_MODEL),
        {claim.id: claim for claim in claims},
        {control.id: control for control in checked},
        SpectralData.read(inputs, inputs.results.model_for(KEY_MODEL)),
    )
    places = {
        NOTEBOOK_OF[of]: f"README.md#{slug(heading)}"
        for heading in headings
        if (of := heading.partition(":")[0]) in NOTEBOOK_OF
    }
    return [_answer(evidence, name, places.get(name, "")) for name in NOTEBOOKS]


def write_answers(answers: Sequence[NotebookAnswer], path: Path) -> None:
    """Write the answers for the notebooks, by name."""
    text = json.dumps({answer.name: asdict(answer) for answer in answers}, ensure_ascii=False, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")


def _answer(evidence: Evidence, name: str, place: str) -> NotebookAnswer:
    about, verdict, sentences = _ANSWERS[name](evidence)
    lines = [
        ClaimLine(claim.id, f"“{claim.statement}”" if claim.quoted else claim.statement, claim.verdict)
        for key in _CLAIMS[name]
        if (claim := evidence.claims.get(key))
    ]
    return NotebookAnswer(name, NOTEBOOKS[name], about, verdict, tuple(sentences), tuple(lines), place or _SECOND)


Found = tuple[str, str, list[str]]
"""What a verdict is about, the verdict, and the sentences below it."""


def _clearly(
    sides: Mapping[str, str], noun: str = "benchmark", more: str = "higher", less: str = "lower", at: str = "on"
) -> str:
    """ "clearly higher on 2 of 4 benchmarks (A and B) and clearly lower on none"; the sides by name."""
    up, down = ([name for name, side in sides.items() if side == wanted] for wanted in (HIGHER, LOWER))
    total = len(sides)
    above = f"{formatting.how_many(len(up))} of {formatting.counted(total, noun)}{_which(up, total)}"
    return f"clearly {more} {at} {above} and clearly {less} {at} {formatting.how_many(len(down))}{_which(down, total)}"


def _which(names: Sequence[str], total: int) -> str:
    """ " (A and B)"; "" for none, for all, and for many."""
    return f" ({formatting.listed(names)})" if 0 < len(names) <= _NAMED and len(names) < total else ""


def _together(kind: Kind, sides: Sequence[str]) -> str:
    """The word for comparisons that no claim holds: a direction if all are clear, and on one side."""
    if not sides:
        return word(kind, Outcome.MISSING)
    outcomes = {HIGHER: Outcome.SUPPORTS, LOWER: Outcome.CONTRADICTS}
    return word(kind, outcomes.get(sides[0], Outcome.OPEN) if len(set(sides)) == 1 else Outcome.OPEN)


def _span(measurements: Sequence[Measurement], digits: int = 1, *, sign: bool = False) -> str:
    """From the smallest to the largest value, each with its benchmark."""
    low, high = (choose(measurements, key=lambda m: m.value) for choose in (min, max))
    if low == high:
        return f"{low.text(digits, sign=sign)} ({benchmark_label(low.benchmark)})"
    ends = [f"{m.text(digits, sign=sign)} for {benchmark_label(m.benchmark)}" for m in (low, high)]
    return f"from {' to '.join(ends)}"


def _control(evidence: Evidence, name: str) -> list[str]:
    """Whether a control is met, and what follows."""
    control = evidence.controls.get(name)
    return [f"{control.title}: {control.state}. {control.follows}"] if control else []


def positional_bias(evidence: Evidence) -> Found:
    """Notebook 1: whether attention falls on the same places whatever is asked."""
    results, ours, sentences = evidence.inputs.results, evidence.ours, list[str]()
    about, lead = "Different tasks share a pattern of attention", "attention-alike-across-tasks"
    alike = results.score("figure2", ours, "benchmarks alike", MEAN) if ours else None
    halves = results.measurements("figure2", ours, "halves alike") if ours else []
    if alike:
        limit = f"; maps of two halves of one benchmark’s questions {_span(halves, 2)}" if halves else ""
        sentences.append(f"{evidence.on}, maps of two benchmarks correlate with r = {alike.text(2)} on average{limit}.")
        sentences += _control(evidence, "positional-bias")
    layers = results.measurements("figure2", ours, "layers alike") if ours else []
    if layers:
        sentences.append(f"Maps of two layers, same benchmark, correlate {_span(layers, 2)}.")
    if evidence.measured("attention-at-the-end"):
        late = _clearly(evidence.sides_of("attention-at-the-end"))
        sentences.append(f"Compared with a quarter, the last quarter’s share of the image attention is {late}.")
    return about, evidence.verdict_of(lead), sentences


def survivors(evidence: Evidence) -> Found:
    """Notebook 2: whether a method keeps the same places in every image."""
    about = "FastV’s places are more fixed than AdaptPrune’s"
    results, ours = evidence.inputs.results, evidence.ours
    keeps = results.keeps("figure1", ours, "fastv overlap") if ours else []
    if not ours or not keeps:
        return about, NOT_RUN, []
    keep = min(keeps, key=lambda ratio: abs(ratio - KEEP))
    overlaps: dict[str, dict[str, Measurement]] = {}
    for method in ("fastv", "adaptprune", "random"):
        of_method = [
            results.score("figure1", ours, f"{method} overlap", name, keep)
            for name in results.benchmarks("figure1", ours)
        ]
        overlaps[method] = {overlap.benchmark: overlap for overlap in of_method if overlap}
    shares = [
        f"{in_sentence(method_label(method))} {_span(list(found.values()))}"
        for method, found in overlaps.items()
        if found
    ]
    at = f"{evidence.on}, {formatting.percent(keep)} kept"
    places = "this percentage of the places kept in one image is kept in another one, too"
    sentences = [f"{at}, {places}: {'; '.join(shares)}."]
    verdict = NOT_RUN
    for other in ("adaptprune", "random"):
        shared = [name for name in overlaps["fastv"] if name in overlaps[other]]
        # Two intervals that do not overlap, which asks for more than a paired difference would.
        sides = evidence.sides([overlaps["fastv"][name].minus(overlaps[other][name]) for name in shared])
        if other == "adaptprune":
            verdict = _together(evidence.kind, sides)
        if shared:
            named = dict(zip(map(benchmark_label, shared), sides, strict=True))
            sentences.append(f"Compared with {in_sentence(method_label(other))}, FastV’s is {_clearly(named)}.")
    return about, verdict, sentences


def redundancy(evidence: Evidence) -> Found:
    """Notebook 3: whether attention keeps tokens that are alike and side by side."""
    results, ours, sentences = evidence.inputs.results, evidence.ours, list[str]()
    about, claim = "FastV’s tokens are more alike than AdaptPrune’s", "fastv-keeps-similar-tokens"
    differences, clusters = evidence.measured(claim), evidence.measured("fastv-keeps-clusters")
    if differences:
        sides = _clearly(evidence.sides_of(claim), more="more alike", less="less alike")
        sentences.append(
            f"{evidence.on}, {formatting.percent(differences[0].keep)} kept, FastV’s tokens, beside AdaptPrune’s, "
            f"are {sides}; the cosine to the nearest kept token differs {_span(differences, 2, sign=True)}."
        )
    if ours and clusters:
        for method in ("fastv", "adaptprune", "random"):
            found = [
                results.score("figure3", ours, f"{method} adjacency", other.benchmark, other.keep) for other in clusters
            ]
            known = [measurement for measurement in found if measurement]
            if known:
                name = in_sentence(method_label(method))
                sentences.append(f"Tokens of {name} beside another kept one, in %: {_span(known)}.")
    return about, evidence.verdict_of(claim), sentences


def ratios(evidence: Evidence) -> Found:
    """Notebook 4: what is left at each ratio, and who leads where."""
    results, ours, sentences = evidence.inputs.results, evidence.ours, list[str]()
    scores = {
        method: results.series("figure5", ours, method, MEAN) if ours else [] for method in ("adaptprune", "fastv")
    }
    for method, of_method in scores.items():
        if not of_method:
            continue
        most, least = of_method[0], of_method[-1]
        enough = [score.keep for score in of_method if score.value >= FASTV_AT_HALF]
        held = f"down to {formatting.percent(min(enough))} of the tokens" if enough else "at no ratio that was run"
        sentences.append(
            f"{evidence.on}, {method_label(method)} keeps {most.text()} % of the unpruned score with "
            f"{formatting.percent(most.keep)} of the tokens and {least.text()} % with "
            f"{formatting.percent(least.keep)}. It keeps {FASTV_AT_HALF:g} %, a threshold of ours, {held}."
        )
    for pair in ("adaptprune - fastv", "fastv - random"):
        series = results.series("figure5", ours, pair, MEAN) if ours else []
        if series:
            a, b = (in_sentence(method_label(name)) for name in pair.split(" - "))
            sides = dict(zip([formatting.percent(lead.keep) for lead in series], evidence.sides(series), strict=True))
            ends = [f"{lead.text(sign=True)} at {formatting.percent(lead.keep)} kept" for lead in _ends(series)]
            sentences.append(
                f"Compared with {b}, {a} is {_clearly(sides, 'ratio', 'above', 'below', 'at')}, in percentage points "
                f"of the unpruned score: {' and '.join(ends)}."
            )
    return (
        "AdaptPrune is above FastV at every ratio",
        evidence.verdict_of("better-at-every-ratio"),
        sentences + (_control(evidence, "fastv-at-half") if sentences else []),
    )


def _ends(series: Sequence[Measurement]) -> list[Measurement]:
    """The most and the least of the tokens; one if there is only one ratio."""
    return [series[0], series[-1]] if len(series) > 1 else list(series)


def main_tables(evidence: Evidence) -> Found:
    """Notebook 5: whether AdaptPrune's lead is there on every model."""
    inputs, about = evidence.inputs, "AdaptPrune is above FastV, model by model"
    by_model = leads(inputs)
    if not by_model:
        return about, NOT_RUN, []
    sides = evidence.sides(list(by_model.values()))
    sentences = [
        f"{_capital(evidence.title(paper))}: {lead.text(sign=True)} percentage points of "
        f"the unpruned score, {_side(side)}."
        for (paper, lead), side in zip(by_model.items(), sides, strict=True)
    ]
    claims = dict(evidence.claims)
    answers = [how_much_is_lost(inputs, claims), every_cue(inputs, evidence.ours, claims)]
    sentences += [f"{answer.question} {_capital(answer.verdict)}. {answer.figures}" for answer in answers]
    return about, beats_fastv(inputs, claims).verdict, sentences


def _side(side: str) -> str:
    return {HIGHER: "clearly above FastV", LOWER: "clearly below FastV"}.get(side, "not clear of zero")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def spectra(evidence: Evidence) -> Found:
    """Notebook 6: how budgets differ between images, and whether they follow what the images hold."""
    data, sentences = evidence.spectral, list[str]()
    if {"calibration", "budgets"} <= set(data.tables):
        of_target = data.of_assumed("calibration").drop_duplicates("target").set_index("target").loc[data.target]
        budgets = data.tables["budgets"][["benchmark", data.budgets]]
        sizes = budgets[data.budgets]
        means = budgets.groupby("benchmark", sort=False)[data.budgets].mean()
        energy = float(of_target["energy"])
        share = formatting.number(energy, formatting.decimals(energy, energy, (1.0,), least=3))  # not 1.000
        sentences.append(
            f"A mean budget of {formatting.percent(data.target)} ({of_target['tokens']:g} tokens) takes the share τ = "
            f"{share} of the energy. Single images then get {sizes.min():g} to {sizes.max():g} "
            "tokens."
        )
        sentences.append(
            f"Means by benchmark lie between {means.min():.1f} ({benchmark_label(str(means.idxmin()))}) and "
            f"{means.max():.1f} tokens ({benchmark_label(str(means.idxmax()))})."
        )
    about, claim = "Images that hold more get more tokens", "spectral-denser-more"
    if correlations := evidence.measured(claim):
        sides = _clearly(evidence.sides_of(claim))
        span = _span(correlations, 2)
        sentences.append(f"Compared with zero, the rank correlation of budget and content is {sides}: {span}.")
    elif claim in evidence.claims:
        sentences.append(f"Budget and content: {evidence.claims[claim].reason}.")
    return about, evidence.verdict_of(claim), sentences


def matched_budgets(evidence: Evidence) -> Found:
    """Notebook 7: whether the image's own budget beats a fixed one of the same average."""
    data, about = evidence.spectral, "Spectral budgets beat fixed ones of the same average"
    if not data.hosts:
        return about, evidence.verdict_of("spectral-beats-fixed"), []
    sentences = [spectral.whether_spectral_wins(data), spectral.largest_gain(data)]
    if "matched" in data.tables:
        sentences.append(spectral.token_ratios(data))
    sentences += spectral.gains_elsewhere(evidence.inputs, evidence.ours)
    return about, evidence.verdict_of("spectral-beats-fixed"), [evidence.named(text) for text in sentences if text]


def assumptions(evidence: Evidence) -> Found:
    """Notebook 8: whether another reading of the summaries scores differently, and what a budget costs."""
    data, about = evidence.spectral, "Other readings of the summaries that score differently from ours"
    pairs = evidence.inputs.results.pairs("sensitivity", evidence.ours) if evidence.ours else []
    changes = {
        pair.partition(" - ")[0]: change
        for pair in pairs
        if pair.endswith(SPECTRAL) and (change := data.difference("sensitivity", pair, MEAN))
    }
    sentences, verdict = list[str](), NOT_RUN
    if changes:
        names = list(map(variant_label, changes))
        sides = dict(zip(names, evidence.sides(list(changes.values())), strict=True))
        apart = sum(bool(side) for side in sides.values())
        verdict = f"{formatting.how_many(apart)} of {len(sides)}"
        name, furthest = max(changes.items(), key=lambda entry: abs(entry[1].value))
        where = _clearly(sides, "reading", at="with")
        sentences.append(
            f"{evidence.on}, compared with the assumed reading, the mean score is {where} (corrected "
            f"for their number); furthest is {variant_label(name)}, {furthest.text(sign=True)} percentage points."
        )
    if "agreement" in data.tables:
        sentences.append(spectral.agreement(data))
    if "latency" in data.tables:
        sentences += spectral.latency(data)
    return about, verdict, sentences


_ANSWERS: dict[str, Callable[[Evidence], Found]] = dict(
    zip(
        NOTEBOOKS,
        (positional_bias, survivors, redundancy, ratios, main_tables, spectra, matched_budgets, assumptions),
        strict=True,
    )
)
_CLAIMS: dict[str, tuple[str, ...]] = dict(
    zip(
        NOTEBOOKS,
        (
            ("attention-alike-across-tasks", "attention-alike-across-layers", "attention-at-the-end"),
            (),
            ("fastv-keeps-similar-tokens", "fastv-keeps-clusters"),
            ("better-at-every-ratio", "gap-grows", "half-is-free"),
            ("beats-fastv-everywhere", "beats-fastv-internvl", "minimal-loss", "full-is-best", "best-strategy"),
            ("spectral-denser-more",),
            ("spectral-beats-fixed", "spectral-mmvet"),
            ("spectral-latency",),
        ),
        strict=True,
    )
)
"""The claims that a notebook is about, as claims.yaml and the second paper's file name them."""
