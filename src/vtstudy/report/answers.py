"""The first screen: each question that a reader brings, and its answer from the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.report import formatting
from vtstudy.report.controls import FASTV_AT_HALF
from vtstudy.report.eadaprune.data import SpectralData
from vtstudy.report.evidence import NOT_RUN, UNTESTABLE, Kind, Outcome, word, words
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import method_label
from vtstudy.report.published import load_published
from vtstudy.report.results import HIGHER, LOWER, Measurement
from vtstudy.report.table_links import KEEP, KEY_MODEL, MAIN_TABLES
from vtstudy.report.tables import main_experiment
from vtstudy.report.verdicts.audit import DISAGREE, Finding
from vtstudy.report.verdicts.claims import ClaimResult
from vtstudy.report.verdicts.correction import clear_sides
from vtstudy.report.verdicts.printed_values import PrintedValue
from vtstudy.results_table import MEAN

POINTS = "% of the unpruned score"
_STEPS = {"correction": "(b) - (a)", "distance": "(c) - (b)", "similarity": "(d) - (c)"}


@dataclass(frozen=True)
class Answer:
    """A question with its answer.

    Attributes:
        question: as a reader asks it.
        verdict: in the words of its kind of evidence.
        figures: the numbers behind it.
    """

    question: str
    verdict: str
    figures: str


def answers(inputs: Inputs, claims: Sequence[ClaimResult], found: Sequence[Finding], model: str | None) -> list[Answer]:
    """The lines of the first screen.

    Args:
        inputs: the measurements.
        claims: of both papers.
        found: what the papers' tables say of one another.
        model: ours, that most tables are of.
    """
    by_id = {claim.id: claim for claim in claims}
    return [
        beats_fastv(inputs, by_id),
        how_much_is_lost(inputs, by_id),
        every_cue(inputs, model, by_id),
        flops(by_id),
        spectral(inputs),
        against_themselves(claims, found),
    ]


def leads(inputs: Inputs) -> dict[str, Measurement]:
    """By the papers' model, AdaptPrune's mean lead over FastV on what was run in its place."""
    found = {}
    for paper in inputs.models:
        ours = inputs.results.model_for(paper)
        experiment = main_experiment(inputs, ours)
        if ours and experiment:
            lead = inputs.results.difference(experiment, ours, "adaptprune - fastv", MEAN, KEEP)
            if lead:
                found[paper] = lead
    return found


def _side_word(kind: Kind, sides: Sequence[str]) -> str:
    """The word for clear sides; where they are not alike, how many have which word."""
    given = [
        word(kind, {HIGHER: Outcome.SUPPORTS, LOWER: Outcome.CONTRADICTS}.get(side, Outcome.OPEN)) for side in sides
    ]
    counts = {name: given.count(name) for name in words(kind) if name in given}
    if len(counts) == 1:
        return given[0]
    return ", ".join(f"{name}: {count} of {len(given)}" for name, count in counts.items())


def _kind(inputs: Inputs, papers: Sequence[str]) -> Kind:
    return Kind.CHECKPOINT if all(inputs.is_papers(paper) for paper in papers) else Kind.STAND_IN


def _noun(inputs: Inputs, papers: Sequence[str]) -> str:
    return "model" if _kind(inputs, papers) == Kind.CHECKPOINT else "stand-in"


def beats_fastv(inputs: Inputs, by_id: dict[str, ClaimResult]) -> Answer:
    """AdaptPrune against FastV at a tenth, on every model."""
    question = "Does AdaptPrune beat FastV?"
    by_model = leads(inputs)
    if not by_model:
        return Answer(question, NOT_RUN, "The two were not compared.")
    values = list(by_model.values())
    sides = clear_sides(values, inputs.interval / 100)
    kind, noun = _kind(inputs, list(by_model)), _noun(inputs, list(by_model))
    first = next(iter(by_model))
    lowest, highest = (choose(values, key=lambda lead: lead.value) for choose in (min, max))
    span = f"{lowest.text(sign=True)} to {highest.text(sign=True)}"
    counted = f"Means on {formatting.counted(len(values), noun)}: {span} {POINTS}"
    if len(values) == 1:
        counted = f"{_capital(inputs.title(first))}: {lowest.text(sign=True)} {POINTS}"
    printed = inputs.printed
    gaps = [
        printed.percent(paper, "adaptprune", MEAN, table) - printed.percent(paper, "fastv", MEAN, table)
        for paper, table in ((paper, _table(inputs, paper)) for paper in by_model)
    ]
    gaps = [gap for gap in gaps if gap == gap]
    paper = f" (the paper: {formatting.signed(min(gaps))} to {formatting.signed(max(gaps))})" if gaps else ""
    cells = [
        comparison
        for name in ("beats-fastv-everywhere", "beats-fastv-internvl")
        if name in by_id
        for comparison in by_id[name].measured
        if comparison.outcome != Outcome.UNTESTABLE
    ]
    text = f"{counted}{paper}."
    if cells:
        ahead, behind = (
            formatting.how_many(sum(cell.outcome == side for cell in cells))
            for side in (Outcome.SUPPORTS, Outcome.CONTRADICTS)
        )
        text += (
            f" By benchmark, it is clearly ahead in {ahead} of {len(cells)} comparisons and clearly behind in {behind}."
        )
    return Answer(question, _side_word(kind, sides), text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(inputs: Inputs, paper: str) -> int:
    experiment = main_experiment(inputs, inputs.results.model_for(paper))
    return MAIN_TABLES[experiment] if experiment else 1


def how_much_is_lost(inputs: Inputs, by_id: dict[str, ClaimResult]) -> Answer:
    """What AdaptPrune leaves of the score at a tenth."""
    question = f"Is little lost at {formatting.percent(1 - KEEP)} pruning?"
    claim = by_id.get("minimal-loss")
    if claim is None or not claim.measured:
        return Answer(question, NOT_RUN, "No mean over the benchmarks was measured.")
    value, interval = claim.written(claim.comparisons[0])
    printed = inputs.printed.retention(KEY_MODEL, "adaptprune", MAIN_TABLES["table1"])
    text = (
        f"AdaptPrune keeps {value} % ({interval}) of the unpruned score; the paper’s table gives "
        f"{formatting.number(printed)} %."
    )
    for control in claim.failed:
        if control.id == "fastv-at-half":
            kept = control.figure.partition(" %")[0]
            text += (
                f" The two cannot be compared: with half of the tokens, FastV keeps {kept} % here, and losses are "
                f"tested from {FASTV_AT_HALF:g} % on."
            )
    return Answer(question, claim.verdict, text)


def every_cue(inputs: Inputs, model: str | None, by_id: dict[str, ClaimResult]) -> Answer:
    """What each step of the ablation adds on average."""
    question = "Does every cue help?"
    steps = {
        name: inputs.results.difference("table4", model, pair, MEAN, KEEP) if model else None
        for name, pair in _STEPS.items()
    }
    known = {name: step for name, step in steps.items() if step}
    if not known:
        return Answer(question, NOT_RUN, "The ablation was not run.")
    kind = _kind(inputs, [KEY_MODEL])
    listed = formatting.listed([f"{name} {step.text(sign=True)}" for name, step in known.items()])
    text = f"Each cue is added to those before it, in {POINTS}: {listed}."
    correction = by_id.get("correction-helps")
    sides = dict(zip(known, clear_sides(list(known.values()), inputs.interval / 100), strict=True))
    if correction and correction.failed:
        text += " The model shares no positional bias to correct."
        sides.pop("correction", None)
    verdict = _side_word(kind, list(sides.values())) if sides else UNTESTABLE
    if correction and correction.failed and sides:
        verdict = f"{formatting.listed(list(sides))}: {verdict}; correction: {UNTESTABLE}"
    return Answer(question, verdict, text)


def flops(by_id: dict[str, ClaimResult]) -> Answer:
    """The captions' percentages against exact counts."""
    counted = [by_id[name] for name in ("flops-llava", "flops-next", "flops-internvl") if name in by_id]
    printed = formatting.listed([f"{claim.paper_values[0]:g}" for claim in counted if claim.paper_values])
    question = f"Are {printed} % of the FLOPs saved?"
    counted = [claim for claim in counted if claim.measured]
    if not counted:
        return Answer(question, NOT_RUN, "FLOPs were not counted.")
    listed = formatting.listed(
        [f"{formatting.number(claim.comparisons[0].measurement.value)} %" for claim in counted if claim.measured]
    )
    verdicts = list(dict.fromkeys(claim.verdict for claim in counted))
    return Answer(question, "; ".join(verdicts), f"Counted exactly, vision tower included: {listed}.")


def spectral(inputs: Inputs) -> Answer:
    """E-AdaPrune's budgets against fixed ones of the same average, on every backbone."""
    question = "Does E-AdaPrune’s budget help?"
    gains, papers = [], []
    for paper in [*inputs.models]:
        ours = inputs.results.model_for(paper)
        data = SpectralData(inputs, ours, {})
        of_model = [
            (gain, host, keep) for host in data.hosts for keep in data.keeps if (gain := data.gain(host, MEAN, keep))
        ]
        gains += of_model
        papers += [paper] if of_model else []
    if not gains:
        return Answer(question, NOT_RUN, "Budgets of the same average were not compared.")
    values = [gain for gain, _, _ in gains]
    sides = clear_sides(values, inputs.interval / 100)
    largest, host, keep = max(gains, key=lambda entry: entry[0].value)
    low = min(values, key=lambda gain: gain.value)
    up, down = sides.count(HIGHER), sides.count(LOWER)
    run = f"{formatting.counted(len(values), 'comparison')} on {formatting.counted(len(papers), _noun(inputs, papers))}"
    text = (
        f"Of {run} with fixed budgets, {formatting.how_many(up)} {'is' if up < 2 else 'are'} clearly above zero and "
        f"{formatting.how_many(down)} clearly below. The differences go from {formatting.signed(low.value)} to "
        f"{largest.text(sign=True)} {POINTS}, with {method_label(host)} at {formatting.percent(keep)}."
    )
    return Answer(question, _side_word(_kind(inputs, papers), sides), text + _published_gain(inputs))


def _published_gain(inputs: Inputs) -> str:
    """What the second paper says of its average gain; "" if it says nothing."""
    rows = load_published(inputs.folders.published / "eadaprune.csv")
    gains = rows.loc[rows["quantity"] == "average_gain", "value"]
    return f" The paper says up to {gains.iloc[0]}." if len(gains) else ""


def against_themselves(claims: Sequence[ClaimResult], found: Sequence[Finding]) -> Answer:
    """What the papers' own numbers say of their sentences and of one another."""
    printed = [claim for claim in claims if claim.paper_values]
    wrong = [claim for claim in printed if claim.paper == word(Kind.PAPER, Outcome.CONTRADICTS)]
    cells = [finding for finding in found if finding.verdict == DISAGREE]
    verdict = word(Kind.PAPER, Outcome.CONTRADICTS if wrong or cells else Outcome.SUPPORTS)
    text = (
        f"Its tables can test {formatting.counted(len(printed), 'statement')}, and contradict "
        f"{formatting.how_many(len(wrong))}."
    )
    if cells:
        verb = "disagrees" if len(cells) == 1 else "disagree"
        example = f"{cells[0].where}: {cells[0].found}"
        text += f" {formatting.counted(len(cells), 'cell')} {verb} with another table, such as {example}."
    return Answer("Does AdaptPrune’s paper agree with itself?", verdict, text)


def not_run(inputs: Inputs, printed_values: Sequence[PrintedValue]) -> list[str]:
    """What was not run, in plain words."""
    judged = [value for value in printed_values if value.tolerance is not None]
    own = [model.paper for model in inputs.run_models() if model.is_papers]
    others = [model.paper for model in inputs.run_models() if not model.is_papers]
    missing = [
        paper
        for paper in dict.fromkeys(inputs.published["model"])
        if inputs.results.model_for(paper) is None and paper not in own
    ]
    sentences = []
    if others:
        sentences.append(
            f"The papers’ {'models were' if not own else 'own ' + formatting.listed(others) + ' were'} not run: "
            f"{len(judged)} of {len(printed_values)} printed values {'is' if len(judged) == 1 else 'are'} checked."
        )
    else:
        sentences.append(f"{len(judged)} of {len(printed_values)} printed values are checked.")
    miniatures = [model for model in inputs.run_models() if model.is_miniature]
    if miniatures:
        sentences.append(
            f"What was run are {formatting.counted(len(miniatures), 'stand-in')}: small models that this repository "
            "trained on pictures that it renders. They can show a direction, never a printed number."
        )
    elif others:
        sentences.append("Other checkpoints stand in for them. They can show a direction, never a printed number.")
    if missing:
        sentences.append(f"Nothing was run for {formatting.listed(missing)}.")
    return sentences
