"""The verdicts on the papers' claims, as data/published/claims.yaml declares them.

Each claim is judged on our results and, by the same rule, on the paper's own printed numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.errors import ReportError
from vtstudy.report.inputs import Inputs, Mapping
from vtstudy.report.labels import term_label
from vtstudy.report.published import PrintedNumbers
from vtstudy.report.results import rounded, row_names
from vtstudy.report.table_links import MAIN_TABLES
from vtstudy.report.verdicts.claim_comparisons import (
    CONTRADICTS,
    EACH,
    MISSING,
    OPEN,
    SUPPORTS,
    ClaimComparison,
    Expectation,
    case_name,
    gather,
    models_of,
)

REPRODUCED, DIFFERS, UNDECIDED, NOT_RUN = "reproduced", "differs", "undecided", "not run"
KINDS = {
    "difference": ("experiment", "benchmarks", "pairs"),
    "level": ("experiment", "benchmarks", "method"),
    "change": ("experiment", "benchmarks", "pairs", "from_keep"),
    "measure": ("file", "where", "value", "compared"),
}
"""The keys that a claim of each kind must have, besides those of every claim."""
_KEYS = ("id", "statement", "place", "kind", "expected", "model", "keep", "quantifier", "tolerance")
_PRINTED_IN = {"table1": MAIN_TABLES["table1"], "table4": 4, "table5": 5}
CASES_NAMED = 8
"""A reason names at most so many cases; claim_items.csv has all."""
TERMS_NAMED = 2
"""A reason names at most so many comparisons that contradict one case."""


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its verdict.

    Attributes:
        id: its name.
        statement: the paper's sentence.
        place: where the paper says it.
        note: what had to be decided to make the sentence testable.
        expected: what each comparison should be, as text.
        terms: the compared methods or pairs.
        comparisons: case by case.
        verdict: one of the constants of this module.
        reason: why.
        paper: "holds", "fails" or "not printed": the same rule applied to the paper's own numbers.
        paper_detail: on which cases.
        digits: least number of decimals of its values.
        signed: whether its values are differences.
        bounds: a value beyond them decides the claim.
        exact: whether the values are counted, not measured.
    """

    id: str
    statement: str
    place: str
    note: str
    expected: str
    terms: tuple[str, ...]
    comparisons: tuple[ClaimComparison, ...]
    verdict: str
    reason: str
    paper: str
    paper_detail: str
    digits: int
    signed: bool
    bounds: tuple[float, ...]
    exact: bool

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
    printed = PrintedNumbers(inputs.published)
    return [_judge(inputs, printed, {**defaults, **entry}) for entry in claims.get("claims") or ()]


def _judge(inputs: Inputs, printed: PrintedNumbers, claim: Mapping) -> ClaimResult:
    _check(claim)
    expected = Expectation.parse(claim["expected"], claim["tolerance"])
    terms = _terms(claim)
    comparisons = gather(inputs, claim, expected, terms)
    verdict, reason = combine(comparisons, claim["quantifier"])
    paper, detail = _on_paper(printed, claim, expected, terms)
    within = f" within {claim['tolerance']:g}" if claim["tolerance"] else ""
    result = ClaimResult(
        id=claim["id"],
        statement=claim["statement"],
        place=claim["place"],
        note=_note(inputs, claim),
        expected=f"{claim['expected']}{within}",
        terms=terms,
        comparisons=tuple(comparisons),
        verdict=verdict,
        reason=reason,
        paper=paper,
        paper_detail=detail,
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


def _check(claim: Mapping) -> None:
    kind, name = claim.get("kind"), claim.get("id", "?")
    if kind not in KINDS:
        raise ReportError(f"claims.yaml: claim '{name}' is of the unknown kind '{kind}'.")
    for key in (*_KEYS, *KINDS[kind]):
        if key not in claim:
            raise ReportError(f"claims.yaml: claim '{name}' has no '{key}'.")


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


def combine(comparisons: list[ClaimComparison], quantifier: str | float) -> tuple[str, str]:
    """The verdict over all cases, and why.

    The intervals are those of single cases and are not corrected for their number. A claim about all of many cases
    can fail by chance, so the reason names the cases, or says how many more there are.

    Args:
        comparisons: of one claim.
        quantifier: "all", or the least share of the cases that must support the claim.
    """
    outcomes = _outcome_by_case(comparisons)
    cases, total = _cases_by_outcome(outcomes), len(outcomes)
    needed = _needed(quantifier, total)
    if total > 1:
        named = _with_terms(comparisons, outcomes)
    else:  # the reason names the terms
        named = {term_label(comparison.term): comparison.outcome for comparison in comparisons}
    missing = dict.fromkeys(comparison.why for comparison in comparisons if comparison.outcome == MISSING)
    reason = "; ".join([*_reasons(named), *missing])
    if len(cases[SUPPORTS]) >= needed:
        return REPRODUCED, reason
    if len(cases[CONTRADICTS]) > total - needed:
        return DIFFERS, reason
    return (NOT_RUN if cases[MISSING] else UNDECIDED), reason


def _outcome_by_case(comparisons: list[ClaimComparison]) -> dict[str, str]:
    """A case supports a claim when all its terms do, and contradicts it when one does."""
    outcomes: dict[str, str] = {}
    for case in dict.fromkeys(comparison.case for comparison in comparisons):
        of_case = {comparison.outcome for comparison in comparisons if comparison.case == case}
        outcomes[case] = next((outcome for outcome in (MISSING, CONTRADICTS, OPEN) if outcome in of_case), SUPPORTS)
    return outcomes


def _needed(quantifier: str | float, total: int) -> int:
    """How many cases must support a claim."""
    return total if quantifier == "all" else math.ceil(float(quantifier) * total - 1e-9)


def _with_terms(comparisons: list[ClaimComparison], outcomes: dict[str, str]) -> dict[str, str]:
    """A contradicted case of several comparisons is followed by those that contradict the claim."""
    named = {}
    for case, outcome in outcomes.items():
        of_case = [comparison for comparison in comparisons if comparison.case == case]
        if len(of_case) > 1 and outcome == CONTRADICTS:
            against = [term_label(comparison.term) for comparison in of_case if comparison.outcome == CONTRADICTS]
            if len(against) > TERMS_NAMED:
                against = [*against[:TERMS_NAMED], f"{len(against) - TERMS_NAMED} more"]
            case += f" [{'; '.join(against)}]"
        named[case] = outcome
    return named


def _cases_by_outcome(outcomes: dict[str, str]) -> dict[str, list[str]]:
    return {
        outcome: [case for case, of_case in outcomes.items() if of_case == outcome]
        for outcome in (SUPPORTS, CONTRADICTS, OPEN, MISSING)
    }


def _reasons(outcomes: dict[str, str]) -> list[str]:
    cases, total = _cases_by_outcome(outcomes), len(outcomes)
    parts = []
    if cases[SUPPORTS]:
        parts.append(f"{len(cases[SUPPORTS])} of {total} support it" if total > 1 else "it supports the claim")
    if cases[CONTRADICTS]:
        parts.append(f"contradicted on {_named(cases[CONTRADICTS])}" if total > 1 else "it contradicts the claim")
    if cases[OPEN]:
        parts.append(f"undecided on {_named(cases[OPEN])}" if total > 1 else "the interval includes the bound")
    return parts


def _named(cases: list[str]) -> str:
    if len(cases) > CASES_NAMED:
        shown = CASES_NAMED - 2
        cases = [*cases[:shown], f"{len(cases) - shown} more"]
    return ", ".join(cases)


def _on_paper(
    printed: PrintedNumbers, claim: Mapping, expected: Expectation, terms: tuple[str, ...]
) -> tuple[str, str]:
    """The same rule applied to the printed numbers, which have no intervals: "holds" or "fails", and where."""
    supported, failed, total, worst = 0, [], 0, ""
    for case, values in _printed_cases(printed, claim, terms):
        if any(math.isnan(value) for value in values):
            continue
        total += 1
        decisive = min(values) if expected.wants_more else max(values)
        worst = _write(decisive, _is_signed(claim), claim.get("digits", 1))
        if expected.holds(decisive):
            supported += 1
        else:
            failed.append(f"{case} ({worst})")
    if not total:
        return "not printed", ""
    holds = "holds" if supported >= _needed(claim["quantifier"], total) else "fails"
    if total == 1:
        return holds, worst
    if failed:
        return holds, f"{supported} of {total}; not on {', '.join(failed)}"
    return holds, f"{supported} of {total}"


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
                "verdict": claim.verdict,
                "reason": claim.reason,
                "expected": claim.expected,
                "compared": "; ".join(claim.terms),
                "paper": claim.paper,
                "paper_detail": claim.paper_detail,
                "place": claim.place,
                "statement": claim.statement,
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
                    "case": comparison.case,
                    "compared": comparison.term,
                    "value": rounded(measurement.value) if measurement else "",
                    "ci_low": rounded(measurement.low) if measurement else "",
                    "ci_high": rounded(measurement.high) if measurement else "",
                    "expected": claim.expected,
                    "outcome": comparison.outcome,
                    "why": comparison.why,
                    **row_names(measurement),
                }
            )
    return pd.DataFrame(rows)
