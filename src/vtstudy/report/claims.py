"""Judge the paper's claims, as data/published/claims.yaml declares them, on our results and on its own tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vtstudy.report import fmt
from vtstudy.report.claim_comparisons import (
    CONTRADICTS,
    MISSING,
    OPEN,
    SUPPORTS,
    Expectation,
    Item,
    case_name,
    gather,
    models_of,
)
from vtstudy.report.labels import term_label
from vtstudy.report.published import Printed
from vtstudy.report.results import Inputs, ReportError, source

LISTED = 8  # so many cases are named in a reason, and
NAMED = 2  # so many of the comparisons that contradict one; claim_items.csv and the page's details have all
REPRODUCED, DIFFERS, UNDECIDED, NOT_RUN = "reproduced", "differs", "undecided", "not run"
# What a claim of each kind must say, beside what all must.
KINDS = {
    "difference": ("experiment", "benchmarks", "pairs"),
    "level": ("experiment", "benchmarks", "method"),
    "change": ("experiment", "benchmarks", "pairs", "from_keep"),
    "measure": ("file", "where", "value", "compared"),
}
_ALL = ("id", "statement", "place", "kind", "expected", "model", "keep", "quantifier", "tolerance")
_PRINTED_IN = {"table1": 1, "table4": 4, "table5": 5}


@dataclass(frozen=True)
class ClaimResult:
    id: str
    statement: str
    place: str
    note: str
    expected: str
    terms: tuple[str, ...]
    items: tuple[Item, ...]
    verdict: str
    reason: str
    paper: str  # "holds", "fails" or "not printed": the same predicate on the paper's own numbers
    paper_detail: str
    digits: int  # at least
    signed: bool
    bounds: tuple[float, ...]  # a value beyond them decides the claim
    exact: bool  # counted, not measured

    def written(self, item: Item) -> tuple[str, str]:
        """A comparison's value and its interval, as text."""
        m = item.measure
        if m is None:
            return fmt.NONE, ""
        write = fmt.signed if self.signed else fmt.number
        digits = fmt.decimals(m.low, m.high, (*self.bounds, 0.0), self.digits)
        return write(m.value, digits), "exact" if self.exact else fmt.interval(m.low, m.high, self.signed, digits)


def judge_claims(inputs: Inputs) -> list[ClaimResult]:
    """All claims, in the order of the file.

    Raises:
        ReportError: if one cannot be read, or a table of results lacks what one reads.
    """
    defaults = inputs.claims.get("defaults") or {}
    printed = Printed(inputs.published)
    return [_judge(inputs, printed, {**defaults, **entry}) for entry in inputs.claims.get("claims") or ()]


def _judge(inputs: Inputs, printed: Printed, claim: dict) -> ClaimResult:
    kind, name = claim.get("kind"), claim.get("id", "?")
    if kind not in KINDS:
        raise ReportError(f"claims.yaml: claim '{name}' is of the unknown kind '{kind}'.")
    if lacking := [key for key in (*_ALL, *KINDS[kind]) if key not in claim]:
        raise ReportError(f"claims.yaml: claim '{name}' has no '{lacking[0]}'.")
    expected = Expectation.parse(claim["expected"], claim["tolerance"])
    terms = {"level": [claim.get("method")], "measure": [claim.get("compared")]}.get(kind) or claim["pairs"]
    items = gather(inputs, claim, expected, tuple(terms))
    verdict, reason = combine(items, claim["quantifier"])
    paper, detail = _on_paper(printed, claim, expected, terms)
    within = f" within {claim['tolerance']:g}" if claim["tolerance"] else ""
    result = ClaimResult(
        name,
        claim["statement"],
        claim["place"],
        claim.get("note", ""),
        f"{claim['expected']}{within}",
        tuple(terms),
        tuple(items),
        verdict,
        reason,
        paper,
        detail,
        claim.get("digits", 1),
        kind in ("difference", "change"),
        expected.bounds,
        bool(claim.get("exact")),
    )
    return _with_figure(result)


def _with_figure(result: ClaimResult) -> ClaimResult:
    """The reason of a claim about one comparison begins with its figure; several stand in a table of their own."""
    if len(result.items) != 1 or result.items[0].measure is None:
        return result
    value, interval = result.written(result.items[0])
    reason = (
        f"{value} ({interval}): {result.reason}" if interval else f"{value} without an interval, so nothing can be said"
    )
    return ClaimResult(**(vars(result) | {"reason": reason}))


def _by_case(items: list[Item]) -> dict[str, str]:
    """A case supports a claim when all its terms do, and contradicts it when one does."""
    outcomes: dict[str, str] = {}
    for case in dict.fromkeys(i.case for i in items):
        found = {i.outcome for i in items if i.case == case}
        outcomes[case] = next((o for o in (MISSING, CONTRADICTS, OPEN) if o in found), SUPPORTS)
    return outcomes


def _needed(quantifier: str | float, total: int) -> int:
    return total if quantifier == "all" else math.ceil(float(quantifier) * total - 1e-9)


def combine(items: list[Item], quantifier: str | float) -> tuple[str, str]:
    """The verdict over all cases, and why.

    The intervals are those of single cases and are not corrected for their number, so a claim
    about "all" of many can fail by chance: the reason names the cases, or how many more there are.
    """
    outcomes = _by_case(items)
    of, total = _by_outcome(outcomes), len(outcomes)
    needed = _needed(quantifier, total)
    # Of one case with several terms the reason names the terms.
    told = _with_terms(items, outcomes) if total > 1 else {term_label(i.term): i.outcome for i in items}
    reason = "; ".join([*_reasons(told), *dict.fromkeys(i.why for i in items if i.outcome == MISSING)])
    if len(of[SUPPORTS]) >= needed:
        return REPRODUCED, reason
    if len(of[CONTRADICTS]) > total - needed:
        return DIFFERS, reason
    return (NOT_RUN if of[MISSING] else UNDECIDED), reason


def _with_terms(items: list[Item], outcomes: dict[str, str]) -> dict[str, str]:
    """A contradicted case that holds several comparisons is followed by those that contradict the claim."""
    told = {}
    for case, outcome in outcomes.items():
        terms = [i for i in items if i.case == case]
        against = [term_label(i.term) for i in terms if i.outcome == CONTRADICTS]
        if len(terms) > 1 and outcome == CONTRADICTS:
            more = [f"{len(against) - NAMED} more"] if len(against) > NAMED else []
            case += f" [{'; '.join(against[:NAMED] + more)}]"
        told[case] = outcome
    return told


def _by_outcome(outcomes: dict[str, str]) -> dict[str, list[str]]:
    return {
        kind: [name for name, o in outcomes.items() if o == kind] for kind in (SUPPORTS, CONTRADICTS, OPEN, MISSING)
    }


def _reasons(outcomes: dict[str, str]) -> list[str]:
    of, total = _by_outcome(outcomes), len(outcomes)
    parts = []
    if of[SUPPORTS]:
        parts.append(f"{len(of[SUPPORTS])} of {total} support it" if total > 1 else "it supports the claim")
    if of[CONTRADICTS]:
        parts.append(f"contradicted on {_listed(of[CONTRADICTS])}" if total > 1 else "it contradicts the claim")
    if of[OPEN]:
        parts.append(f"undecided on {_listed(of[OPEN])}" if total > 1 else "the interval includes the bound")
    return parts


def _listed(cases: list[str]) -> str:
    shown = cases if len(cases) <= LISTED else [*cases[: LISTED - 2], f"{len(cases) - LISTED + 2} more"]
    return ", ".join(shown)


def _on_paper(printed: Printed, claim: dict, expected: Expectation, terms: list[str]) -> tuple[str, str]:
    """The same predicate on the printed numbers, which have no intervals."""
    write = fmt.number if claim["kind"] in ("level", "measure") else fmt.signed
    supported, failed, total, worst = 0, [], 0, math.nan
    for case, values in _printed_cases(printed, claim, terms):
        if any(math.isnan(v) for v in values):
            continue
        total += 1
        worst = min(values) if expected.wants_more else max(values)
        if expected.holds(worst):
            supported += 1
        else:
            failed.append(f"{case} ({write(worst, claim.get('digits', 1))})")
    if not total:
        return "not printed", ""
    holds = supported >= _needed(claim["quantifier"], total)
    if total == 1:
        return ("holds" if holds else "fails"), write(worst, claim.get("digits", 1))
    return ("holds" if holds else "fails"), f"{supported} of {total}" + (
        f"; not on {', '.join(failed)}" if failed else ""
    )


def _printed_cases(printed: Printed, claim: dict, terms: list[str]) -> list[tuple[str, list[float]]]:
    """Each printed case with the values of its terms; NaN where one is not printed."""
    if claim["kind"] == "measure":
        return [("", [_printed_measure(printed, claim)])]
    table, keep, found = _PRINTED_IN.get(claim["experiment"]), claim["keep"], []
    if keep == "each":  # drawn in a figure, not printed
        return []
    for model in models_of(claim):
        for benchmark in claim["benchmarks"]:
            values = [printed.term(model, term, benchmark, table, keep) for term in terms]
            if claim["kind"] == "change":
                values = [
                    v - printed.term(model, term, benchmark, table, claim["from_keep"])
                    for v, term in zip(values, terms, strict=True)
                ]
            found.append((case_name(claim, model, keep, benchmark), values))
    return found


def _printed_measure(printed: Printed, claim: dict) -> float:
    """``printed``: a number of the text, or a cell of Table 3, over another where it has ``over``."""
    source = claim.get("printed", math.nan)
    if not isinstance(source, dict):
        return float(source)
    value = printed.cost(claim["model"], source["row"], source["column"])
    return value / printed.cost(claim["model"], source["over"], source["column"]) if "over" in source else value


def claims_frame(results: list[ClaimResult]) -> pd.DataFrame:
    """claims.csv: one row for each claim."""
    return pd.DataFrame(
        [
            {
                "id": r.id,
                "verdict": r.verdict,
                "reason": r.reason,
                "expected": r.expected,
                "compared": "; ".join(r.terms),
                "paper": r.paper,
                "paper_detail": r.paper_detail,
                "place": r.place,
                "statement": r.statement,
                "note": r.note,
            }
            for r in results
        ]
    )


def items_frame(results: list[ClaimResult]) -> pd.DataFrame:
    """claim_items.csv: one row for each comparison behind a verdict, with the names that its row of results.csv bears.

    What comes from another table of results has that file's name for ``experiment``.
    """
    return pd.DataFrame(
        [
            {
                "id": r.id,
                "case": i.case,
                "compared": i.term,
                "value": _round(i.measure and i.measure.value),
                "ci_low": _round(i.measure and i.measure.low),
                "ci_high": _round(i.measure and i.measure.high),
                "expected": r.expected,
                "outcome": i.outcome,
                "why": i.why,
                **source(i.measure),
            }
            for r in results
            for i in r.items
        ]
    )


def _round(value: float | None) -> float | str:
    return "" if value is None or math.isnan(value) else round(value, 4)
