"""The verdicts on the papers' claims, as data/published/claims.yaml declares them.

Each claim is judged on our results and, by the same rule, on the paper's own printed numbers. The rule is the same for
both directions: what is clear after the correction must lie on one side alone, and the share of the cases that the
claim needs must be clear. A claim that a failed control stands before cannot be tested on a stand-in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.controls import Control, controls
from vtstudy.report.errors import ReportError
from vtstudy.report.evidence import AGREES_OTHERWISE, DISAGREES, Kind, Outcome, word
from vtstudy.report.inputs import Inputs, Mapping
from vtstudy.report.labels import term_label
from vtstudy.report.published import PrintedNumbers
from vtstudy.report.results import rounded, row_names
from vtstudy.report.table_links import MAIN_TABLES
from vtstudy.report.verdicts.claim_comparisons import (
    EACH,
    ClaimComparison,
    Expectation,
    case_name,
    gather,
    models_of,
)

FORMS = {
    "difference": ("experiment", "benchmarks", "pairs"),
    "level": ("experiment", "benchmarks", "method"),
    "change": ("experiment", "benchmarks", "pairs", "from_keep"),
    "measure": ("file", "where", "value", "compared"),
}
"""The keys that a claim of each form (its key `kind`) must have, besides those of every claim."""
WORDS = ("quoted", "ours")
"""Whose words a statement is in."""
_KEYS = ("id", "statement", "place", "kind", "expected", "model", "keep", "quantifier", "tolerance")
_PRINTED_IN = {"table1": MAIN_TABLES["table1"], "table4": 4, "table5": 5}
CASES_NAMED = 4
"""A reason names at most so many cases; claim_items.csv has all."""
_UNDER_CONVENTION = "conventions.csv"


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its verdict.

    Attributes:
        id: its name.
        kind: of the evidence.
        statement: the paper's sentence, or ours.
        quoted: whether the statement is in the paper's words.
        own_threshold: whether a threshold is ours.
        place: where the paper says it.
        note: what had to be decided to make the sentence testable.
        expected: what each comparison should be, as text.
        terms: the compared methods or pairs.
        comparisons: case by case.
        verdict: a word of its kind of evidence.
        reason: why.
        failed: the controls that it needs and that are not met.
        paper: "consistent", "inconsistent" or "not printed": the same rule applied to the paper's own numbers.
        paper_detail: on which cases.
        paper_values: the printed numbers of the cases, or their differences.
        digits: least number of decimals of its values.
        signed: whether its values are differences.
        bounds: a value beyond them decides the claim.
        exact: whether the values are counted, not measured.
    """

    id: str
    kind: Kind
    statement: str
    quoted: bool
    own_threshold: bool
    place: str
    note: str
    expected: str
    terms: tuple[str, ...]
    comparisons: tuple[ClaimComparison, ...]
    verdict: str
    reason: str
    failed: tuple[Control, ...]
    paper: str
    paper_detail: str
    paper_values: tuple[float, ...]
    digits: int
    signed: bool
    bounds: tuple[float, ...]
    exact: bool

    @property
    def measured(self) -> list[ClaimComparison]:
        """The comparisons that have a measurement."""
        return [comparison for comparison in self.comparisons if comparison.measurement]

    def counted(self, outcome: Outcome, *, alone: bool = False) -> int:
        """How many comparisons have an outcome, corrected or by their own intervals."""
        return sum((c.alone if alone else c.outcome) == outcome for c in self.comparisons)

    def written(self, comparison: ClaimComparison) -> tuple[str, str]:
        """A comparison's value and its interval, as text."""
        measurement = comparison.measurement
        if measurement is None:
            return formatting.NONE, ""
        digits = formatting.decimals(measurement.low, measurement.high, (*self.bounds, 0.0), self.digits)
        interval = (
            "exact" if self.exact else formatting.interval(measurement.low, measurement.high, self.signed, digits)
        )
        return _write(measurement.value, self.signed, digits), interval


def judge_claims(inputs: Inputs, claims: Mapping) -> list[ClaimResult]:
    """The verdicts on all claims, in the order of their file.

    Args:
        inputs: the measurements and the printed numbers.
        claims: what claims.yaml, or the second paper's file, holds.

    Raises:
        ReportError: if a claim cannot be read, or if a table of results lacks a column that one reads.
    """
    defaults = claims.get("defaults") or {}
    printed = inputs.printed
    checked = controls(inputs)
    return [_judge(inputs, printed, checked, {**defaults, **entry}) for entry in claims.get("claims") or ()]


def _judge(inputs: Inputs, printed: PrintedNumbers, checked: Sequence[Control], claim: Mapping) -> ClaimResult:
    _check(claim, checked)
    expected = Expectation.parse(claim["expected"], claim["tolerance"])
    terms, kind = _terms(claim), kind_of(inputs, claim)
    comparisons = gather(inputs, claim, expected, terms)
    outcome, reason = combine(comparisons, claim["quantifier"], expected)
    verdict = word(kind, outcome)
    if verdict == DISAGREES and _agrees_otherwise(inputs, claim):
        verdict, reason = AGREES_OTHERWISE, f"{reason}; {_UNDER_CONVENTION} names the ways of counting that do"
    failed = _failed(claim, checked) if kind == Kind.STAND_IN and outcome != Outcome.MISSING else ()
    if failed:
        verdict = word(kind, Outcome.UNTESTABLE)
        reason = f"control not met: {'; '.join(control.title for control in failed)}; {reason}"
    paper, detail, values = _on_paper(printed, claim, expected, terms)
    within = f" within {claim['tolerance']:g}" if claim["tolerance"] else ""
    result = ClaimResult(
        id=claim["id"],
        kind=kind,
        statement=claim["statement"],
        quoted=claim.get("words", WORDS[0]) == WORDS[0],
        own_threshold=claim.get("threshold") == "ours",
        place=claim["place"],
        note=_note(inputs, claim),
        expected=f"{claim['expected']}{within}",
        terms=terms,
        comparisons=tuple(comparisons),
        verdict=verdict,
        reason=reason,
        failed=failed,
        paper=paper,
        paper_detail=detail,
        paper_values=values,
        digits=claim.get("digits", 1),
        signed=_is_signed(claim),
        bounds=expected.bounds,
        exact=bool(claim.get("exact")),
    )
    return _with_value(result)


def _note(inputs: Inputs, claim: Mapping) -> str:
    """What was decided, and what is to be known of this repository's own models where the claim is judged on one."""
    notes = [claim.get("note", "")]
    run = [inputs.models[model] for model in models_of(claim) if inputs.results.model_for(model)]
    if any(model.is_miniature for model in run):
        notes.append(claim.get("note_miniature", ""))
    return " ".join(note for note in notes if note)


def kind_of(inputs: Inputs, claim: Mapping) -> Kind:
    """What a claim's verdict rests on: the claim says it, or the models that were run do."""
    if claim.get("exact"):
        return Kind.EXACT
    if "evidence" in claim:
        return Kind(claim["evidence"])
    models = [inputs.models[model] for model in models_of(claim) if model in inputs.models]
    run = [model for model in models if inputs.results.model_for(model.paper)] or models or inputs.run_models()
    return Kind.CHECKPOINT if all(model.is_papers for model in run) else Kind.STAND_IN


def _failed(claim: Mapping, checked: Sequence[Control]) -> tuple[Control, ...]:
    return tuple(control for control in checked if control.id in claim.get("controls", ()) and control.is_failed)


def _agrees_otherwise(inputs: Inputs, claim: Mapping) -> bool:
    """Whether a count that does not agree would do so if it were made in another way."""
    ways = inputs.tables.get(_UNDER_CONVENTION)
    if ways is None or not claim.get("exact"):
        return False
    of_model = ways[ways["model"] == claim["where"].get("model")]
    return bool((of_model["agrees"] == "yes").any())


def _check(claim: Mapping, checked: Sequence[Control]) -> None:
    form, name = claim.get("kind"), claim.get("id", "?")
    if form not in FORMS:
        raise ReportError(f"claims.yaml: claim '{name}' is of the unknown kind '{form}'.")
    for key in (*_KEYS, *FORMS[form]):
        if key not in claim:
            raise ReportError(f"claims.yaml: claim '{name}' has no '{key}'.")
    if claim.get("words", WORDS[0]) not in WORDS:
        raise ReportError(f"claims.yaml: the words of claim '{name}' are {' or '.join(WORDS)}.")
    unknown = set(claim.get("controls", ())) - {control.id for control in checked}
    if unknown:
        raise ReportError(f"claims.yaml: claim '{name}' names the unknown control '{min(unknown)}'.")


def _terms(claim: Mapping) -> tuple[str, ...]:
    if claim["kind"] == "level":
        return (claim["method"],)
    if claim["kind"] == "measure":
        return (claim["compared"],)
    return tuple(claim["pairs"])


def _is_signed(claim: Mapping) -> bool:
    return claim["kind"] in ("difference", "change")


def _write(value: float, sign: bool, digits: int) -> str:
    return formatting.signed(value, digits) if sign else formatting.number(value, digits)


def _with_value(result: ClaimResult) -> ClaimResult:
    """The reason of a claim about one comparison begins with its value; several values have a table of their own."""
    if len(result.comparisons) != 1 or result.comparisons[0].measurement is None:
        return result
    value, interval = result.written(result.comparisons[0])
    if not interval:
        return replace(result, reason=f"{value} without an interval, so nothing can be said")
    return replace(result, reason=f"{value} ({interval}): {result.reason}")


def combine(comparisons: list[ClaimComparison], quantifier: str | float, expected: Expectation) -> tuple[Outcome, str]:
    """What all cases say together, and why.

    The rule does not favour a side. The claim's side is supported when every clear case lies on it and the share that
    the claim needs is clear; so is the other side. Cases that cannot be tested are left out.

    Args:
        comparisons: of one claim, corrected.
        quantifier: "all", or the least share of the cases that must support the claim.
        expected: what each comparison is compared with.
    """
    counts = Counter(_outcome_by_case(comparisons).values())
    total = counts.total() - counts[Outcome.UNTESTABLE]
    reason = _reason(comparisons, expected)
    if not total:
        return Outcome.UNTESTABLE, reason
    needed = _needed(quantifier, total)
    for side, other in ((Outcome.SUPPORTS, Outcome.CONTRADICTS), (Outcome.CONTRADICTS, Outcome.SUPPORTS)):
        if counts[side] >= needed and not counts[other]:
            return side, reason
    return (Outcome.MISSING if counts[Outcome.MISSING] else Outcome.OPEN), reason


def _outcome_by_case(comparisons: list[ClaimComparison]) -> dict[str, Outcome]:
    """A case supports a claim when all its terms do, and contradicts it when one does."""
    outcomes: dict[str, Outcome] = {}
    for case in dict.fromkeys(comparison.case for comparison in comparisons):
        of_case = {comparison.outcome for comparison in comparisons if comparison.case == case}
        for outcome in (Outcome.MISSING, Outcome.CONTRADICTS, Outcome.OPEN, Outcome.SUPPORTS, Outcome.UNTESTABLE):
            if outcome in of_case:
                outcomes[case] = outcome
                break
    return outcomes


def _needed(quantifier: str | float, total: int) -> int:
    """How many cases must support a claim."""
    return total if quantifier == "all" else max(1, math.ceil(float(quantifier) * total - 1e-9))


def _reason(comparisons: list[ClaimComparison], expected: Expectation) -> str:
    """On which side of the bound the comparisons lie, what cannot be tested, and what is missing."""
    tested = [c for c in comparisons if c.outcome in (Outcome.SUPPORTS, Outcome.CONTRADICTS, Outcome.OPEN)]
    parts = []
    if len(tested) == 1:
        parts.append(_single(tested[0], expected))
    elif tested:
        parts.extend(_several(tested, expected))
    untested = Counter(c.why for c in comparisons if c.outcome == Outcome.UNTESTABLE)
    parts.extend(f"{count} cannot be tested ({why})" for why, count in untested.items())
    missing = dict.fromkeys(c.why for c in comparisons if c.outcome == Outcome.MISSING)
    return "; ".join([*parts, *missing])


def _single(comparison: ClaimComparison, expected: Expectation) -> str:
    side, other = expected.sides
    return {
        Outcome.SUPPORTS: f"it lies {side}",
        Outcome.CONTRADICTS: f"it lies {other}",
    }.get(comparison.outcome, "the interval includes the bound")


def _several(tested: list[ClaimComparison], expected: Expectation) -> list[str]:
    side, other = expected.sides
    for_it = [c for c in tested if c.outcome == Outcome.SUPPORTS]
    against = [c for c in tested if c.outcome == Outcome.CONTRADICTS]
    total = len(tested)
    clearly, otherwise = formatting.how_many(len(for_it)), formatting.how_many(len(against))
    parts = [f"{clearly} of {total} lie clearly {side}, {otherwise} clearly {other}"]
    for lies, clear, outcome in ((other, against, Outcome.CONTRADICTS), (side, for_it, Outcome.SUPPORTS)):
        alone = sum(c.alone == outcome for c in tested)
        if not alone:
            parts.append(f"none of {total} intervals lies {lies}")
        elif alone > len(clear) and outcome == Outcome.CONTRADICTS:
            parts.append(f"{alone} did before the correction")
    if against:
        parts.append(f"{other}: {_named(against)}")
    return parts


def _named(comparisons: list[ClaimComparison]) -> str:
    names = [f"{c.case} [{term_label(c.term)}]" for c in comparisons]
    if len({c.term for c in comparisons}) == 1:
        names = [c.case for c in comparisons]
    if len(names) > CASES_NAMED:
        names = [*names[: CASES_NAMED - 1], f"{len(names) - CASES_NAMED + 1} more"]
    return ", ".join(names)


def _on_paper(
    printed: PrintedNumbers, claim: Mapping, expected: Expectation, terms: tuple[str, ...]
) -> tuple[str, str, tuple[float, ...]]:
    """The same rule applied to the printed numbers, which have no intervals: a word, where, and the numbers."""
    supported, failed, total, worst = 0, [], 0, ""
    numbers: list[float] = []
    for case, values in _printed_cases(printed, claim, terms):
        if any(math.isnan(value) for value in values):
            continue
        total += 1
        numbers.extend(values)
        decisive = min(values) if expected.wants_more else max(values)
        worst = _write(decisive, _is_signed(claim), claim.get("digits", 1))
        if expected.holds(decisive):
            supported += 1
        else:
            failed.append(f"{case} ({worst})")
    if not total:
        return word(Kind.PAPER, Outcome.MISSING), "", ()
    holds = supported >= _needed(claim["quantifier"], total)
    verdict = word(Kind.PAPER, Outcome.SUPPORTS if holds else Outcome.CONTRADICTS)
    detail = worst if total == 1 else f"{supported} of {total}"
    if failed and total > 1:
        detail += f"; not on {', '.join(failed)}"
    return verdict, detail, tuple(numbers)


def _printed_cases(printed: PrintedNumbers, claim: Mapping, terms: tuple[str, ...]) -> list[tuple[str, list[float]]]:
    """Each printed case with the values of its terms; NaN where one is not printed."""
    if claim["kind"] == "measure":
        return [("", [_printed_cost(printed, claim)])]
    table, keep = _PRINTED_IN.get(claim["experiment"]), claim["keep"]
    if keep == EACH:  # drawn in a figure, not printed
        return []
    cases = []
    for model in models_of(claim):
        for benchmark in claim["benchmarks"]:
            values = [printed.term(model, term, benchmark, table, keep) for term in terms]
            if claim["kind"] == "change":
                starts = [printed.term(model, term, benchmark, table, claim["from_keep"]) for term in terms]
                values = [value - start for value, start in zip(values, starts, strict=True)]
            cases.append((case_name(claim, model, keep, benchmark), values))
    return cases


def _printed_cost(printed: PrintedNumbers, claim: Mapping) -> float:
    """The claim's `printed`: a number of the text, or a cost of Table 3, over another one if it names `over`."""
    place = claim.get("printed", math.nan)
    if not isinstance(place, dict):
        return float(place)
    value = printed.cost(claim["model"], place["row"], place["column"])
    if "over" in place:
        return value / printed.cost(claim["model"], place["over"], place["column"])
    return value


def claims_frame(claims: list[ClaimResult]) -> pd.DataFrame:
    """claims.csv: one row for each claim."""
    return pd.DataFrame(
        [
            {
                "id": claim.id,
                "kind": claim.kind.value,
                "verdict": claim.verdict,
                "reason": claim.reason,
                "controls_not_met": "; ".join(control.id for control in claim.failed),
                "expected": claim.expected,
                "compared": "; ".join(claim.terms),
                "paper": claim.paper,
                "paper_detail": claim.paper_detail,
                "place": claim.place,
                "statement": claim.statement,
                "words": WORDS[0] if claim.quoted else WORDS[1],
                "threshold": "ours" if claim.own_threshold else "",
                "note": claim.note,
            }
            for claim in claims
        ]
    )


def comparisons_frame(claims: list[ClaimResult]) -> pd.DataFrame:
    """claim_items.csv: one row for each comparison, with the names of its row of results.csv.

    A comparison from another table of results has that file's name in the column `experiment`.
    """
    rows = []
    for claim in claims:
        for comparison in claim.comparisons:
            measurement = comparison.measurement
            rows.append(
                {
                    "id": claim.id,
                    "kind": claim.kind.value,
                    "case": comparison.case,
                    "compared": comparison.term,
                    "value": rounded(measurement.value) if measurement else "",
                    "ci_low": rounded(measurement.low) if measurement else "",
                    "ci_high": rounded(measurement.high) if measurement else "",
                    "p_corrected": rounded(comparison.p),
                    "expected": claim.expected,
                    "alone": comparison.alone.value,
                    "outcome": comparison.outcome.value,
                    "why": comparison.why,
                    **row_names(measurement),
                }
            )
    return pd.DataFrame(rows)
