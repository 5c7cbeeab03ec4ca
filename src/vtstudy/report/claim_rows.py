"""The claims as rows of a table: the paper's words, its numbers, ours, the difference, and what that says."""

from __future__ import annotations

from dataclasses import dataclass

from vtstudy.report import formatting
from vtstudy.report.evidence import TITLES, Kind, Outcome, word
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import term_label
from vtstudy.report.text_table import Table
from vtstudy.report.verdicts.claims import ClaimResult
from vtstudy.results_table import MEAN


@dataclass(frozen=True)
class ClaimGroup:
    """The claims of one kind of evidence.

    Attributes:
        kind: of the evidence.
        title: for readers.
        words: the words that this kind has for a claim that holds and for one that does not.
        claims: in the order of their files.
        table: one line for each.
    """

    kind: Kind
    title: str
    words: str
    claims: list[ClaimResult]
    table: Table


HEADS = ["Paper’s numbers", "Ours", "Difference (interval)", "What that says"]


def claim_groups(inputs: Inputs, claims: list[ClaimResult], page: str) -> list[ClaimGroup]:
    """The claims by kind of evidence; a kind without claims is left out.

    Args:
        inputs: the measurements.
        claims: of both papers.
        page: address of the page with all figures of each claim.
    """
    groups = []
    for kind in (Kind.EXACT, Kind.STAND_IN, Kind.CHECKPOINT):
        of_kind = [claim for claim in claims if claim.kind == kind]
        if of_kind:
            lines = [(_words(claim, page), _cells(inputs, claim)) for claim in of_kind]
            table = Table("", HEADS, lines, first="Claim", left=HEADS)
            own = " or ".join(word(kind, outcome) for outcome in (Outcome.SUPPORTS, Outcome.CONTRADICTS))
            groups.append(
                ClaimGroup(
                    kind,
                    TITLES[kind],
                    own,
                    of_kind,
                    table,
                )
            )
    return groups


def _words(claim: ClaimResult, page: str) -> str:
    """The paper's sentence in quotation marks, or ours without; linked to its figures, and with an anchor."""
    link = f"({page}#{claim.id})"
    text = f"[“{claim.statement}”]{link}" if claim.quoted else f"[{claim.statement}]{link} *(our words)*"
    return f'<a id="{claim.id}"></a>{text}'


def _cells(inputs: Inputs, claim: ClaimResult) -> list[str]:
    verdict = f"**{claim.verdict}**"
    if claim.failed:
        verdict += f": control [{formatting.listed([control.id for control in claim.failed])}](#controls)"
    if claim.own_threshold:
        verdict += " *(our threshold)*"
    return [paper_numbers(claim), ours(claim), difference(inputs, claim), verdict]


def paper_numbers(claim: ClaimResult) -> str:
    """The printed numbers, or how many of them agree with the claim."""
    if not claim.paper_values:
        return claim.paper
    if len(claim.paper_values) == 1:
        return claim.paper_detail
    low, high = min(claim.paper_values), max(claim.paper_values)
    return f"{claim.paper_detail.partition(';')[0]}; {_span(low, high, claim)}"


def ours(claim: ClaimResult) -> str:
    """How many comparisons are clear, on which side."""
    if not claim.measured:
        return next((comparison.why for comparison in claim.comparisons if comparison.why), formatting.NONE)
    if len(claim.comparisons) == 1:
        return claim.written(claim.comparisons[0])[0]
    untestable = claim.counted(Outcome.UNTESTABLE)
    tested = len(claim.measured) - untestable
    if not tested:
        return f"none of {untestable} can be tested"
    text = f"{formatting.how_many(claim.counted(Outcome.SUPPORTS))} of {tested} for it"
    against = claim.counted(Outcome.CONTRADICTS)
    if not claim.counted(Outcome.CONTRADICTS, alone=True):
        text += "; none against"
    else:
        text += f", {against} against" if against else "; against it none clearly"
    return f"{text}; {untestable} untestable" if untestable else text


def difference(inputs: Inputs, claim: ClaimResult) -> str:
    """The value with its interval; of several, the mean over the benchmarks or from which to which they go."""
    measured = claim.measured
    if not measured:
        return formatting.NONE
    if len(claim.comparisons) == 1:
        value, interval = claim.written(claim.comparisons[0])
        return f"{value} ({interval})" if interval else value
    means = _means(inputs, claim)
    if len(means) == 1:
        return f"mean {means[0]} %"
    values = [comparison.measurement.value for comparison in measured if comparison.measurement]
    return _span(min(values), max(values), claim)


def _means(inputs: Inputs, claim: ClaimResult) -> list[str]:
    """The means over benchmarks by model and pair, in percent of the unpruned score, if the claim is of them all."""
    keys = dict.fromkeys(
        (c.measurement.experiment, c.measurement.model, c.measurement.method, c.measurement.keep)
        for c in claim.measured
        if c.measurement
    )
    found = [
        inputs.results.difference(experiment, model, term, MEAN, keep)
        for experiment, model, term, keep in keys
        if " - " in term and _is_about_all(inputs, claim, experiment, model)
    ]
    return [mean.text(sign=True) for mean in found if mean]


def _is_about_all(inputs: Inputs, claim: ClaimResult, experiment: str, model: str) -> bool:
    asked = {c.measurement.benchmark for c in claim.measured if c.measurement}
    return asked == set(inputs.results.benchmarks(experiment, model)) - {MEAN, "mme_cognition"}


def _span(low: float, high: float, claim: ClaimResult) -> str:
    write = formatting.signed if claim.signed else formatting.number
    return f"{write(low, claim.digits)} to {write(high, claim.digits)}"


def items_table(claim: ClaimResult) -> Table:
    """Every comparison of a claim."""
    lines = []
    for comparison in claim.comparisons:
        value, interval = claim.written(comparison)
        p = comparison.p
        lines.append(
            (
                comparison.case,
                [
                    term_label(comparison.term),
                    value,
                    interval,
                    "" if p != p else formatting.number(p, 4) if p >= 0.0001 else "< 0.0001",
                    f"{comparison.outcome}" + (f" ({comparison.why})" if comparison.why else ""),
                ],
            )
        )
    heads = ["Compared", "Ours", "Interval", "Corrected p", "Outcome"]
    return Table("", heads, lines, first="Case", left=("Compared", "Outcome"))
