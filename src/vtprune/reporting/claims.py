"""Judge the paper's claims, as data/published/claims.yaml declares them, on our results and on its own tables."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass

import pandas as pd

from . import fmt
from .inputs import Inputs, Measure, ReportError
from .printed import Printed
from .relations import benchmark_label

REPRODUCED, DIFFERS, UNDECIDED, NOT_RUN = "reproduced", "differs", "undecided", "not run"
SUPPORTS, CONTRADICTS, OPEN, MISSING = "supports", "contradicts", "undecided", "missing"
_SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Expectation:
    """What a value should be: "> 0", "< 0", ">= 90"."""

    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Expectation:
        found = re.fullmatch(r"\s*([<>]=?)\s*(-?\d+(?:\.\d+)?)\s*", str(text))
        if not found:
            raise ReportError(f"claims.yaml: '{text}' is not an expectation such as '> 0'.")
        return cls(found[1], float(found[2]))

    def holds(self, value: float) -> bool:
        return _SIGNS[self.sign](value, self.bound)

    def outcome(self, measure: Measure | None) -> str:
        """The whole interval must lie on one side of the bound; a point without an interval decides nothing."""
        if measure is None:
            return MISSING
        if not measure.has_interval:
            return OPEN
        inner, outer = (measure.low, measure.high) if ">" in self.sign else (measure.high, measure.low)
        if self.holds(inner):
            return SUPPORTS
        return CONTRADICTS if not self.holds(outer) else OPEN


@dataclass(frozen=True)
class Item:
    """One benchmark of a claim: what was compared, and what came out."""

    benchmark: str
    term: str
    measure: Measure | None
    outcome: str


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


def judge_claims(inputs: Inputs) -> list[ClaimResult]:
    defaults = inputs.claims.get("defaults") or {}
    printed = Printed(inputs.published)
    return [_judge(inputs, printed, {**defaults, **entry}) for entry in inputs.claims.get("claims") or ()]


def _judge(inputs: Inputs, printed: Printed, claim: dict) -> ClaimResult:
    for name in ("id", "statement", "place", "kind", "experiment", "benchmarks", "expected", "model"):
        if name not in claim:
            raise ReportError(f"claims.yaml: claim '{claim.get('id', '?')}' has no '{name}'.")
    if claim["kind"] not in ("difference", "level"):
        raise ReportError(f"claims.yaml: claim '{claim['id']}' is of the unknown kind '{claim['kind']}'.")
    expected = Expectation.parse(claim["expected"])
    terms = tuple(claim["pairs"]) if claim["kind"] == "difference" else (claim["method"],)
    model = inputs.results.model_for(claim["model"])
    find = inputs.results.difference if claim["kind"] == "difference" else inputs.results.cell
    items = []
    for benchmark in claim["benchmarks"]:
        for term in terms:
            found = model and find(claim["experiment"], model, term, benchmark, claim.get("keep"))
            items.append(Item(benchmark, term, found or None, expected.outcome(found or None)))
    verdict, reason = combine(items, claim.get("quantifier", "all"))
    paper, detail = _on_paper(printed, claim, expected, terms)
    return ClaimResult(claim["id"], claim["statement"], claim["place"], claim.get("note", ""), str(claim["expected"]),
                       terms, tuple(items), verdict, reason, paper, detail)


def _by_benchmark(items: list[Item]) -> dict[str, str]:
    """A benchmark supports a claim when all its terms do, and contradicts it when one does."""
    outcomes: dict[str, str] = {}
    for benchmark in dict.fromkeys(i.benchmark for i in items):
        found = {i.outcome for i in items if i.benchmark == benchmark}
        outcomes[benchmark] = next((o for o in (MISSING, CONTRADICTS, OPEN) if o in found), SUPPORTS)
    return outcomes


def combine(items: list[Item], quantifier: str | float) -> tuple[str, str]:
    """The verdict over all benchmarks, and why.

    The intervals are those of single benchmarks and are not corrected for their number, so a
    claim about "all" of many can fail by chance: the reason names the benchmarks.
    """
    outcomes = _by_benchmark(items)
    of = {kind: [b for b, o in outcomes.items() if o == kind] for kind in (SUPPORTS, CONTRADICTS, OPEN, MISSING)}
    total = len(outcomes)
    needed = total if quantifier == "all" else math.ceil(float(quantifier) * total - 1e-9)
    parts = []
    if of[SUPPORTS]:
        parts.append(f"{len(of[SUPPORTS])} of {total} support it" if total > 1 else "the interval supports it")
    if of[CONTRADICTS]:
        parts.append(f"contradicted on {_names(of[CONTRADICTS])}" if total > 1 else "the interval contradicts it")
    if of[OPEN]:
        parts.append(f"interval open on {_names(of[OPEN])}" if total > 1 else "the interval holds the bound")
    if of[MISSING]:
        parts.append(f"no result for {_names(of[MISSING])}" if total > 1 else "no result")
    reason = "; ".join(parts)
    if len(items) == 1 and items[0].measure:
        m = items[0].measure
        write = fmt.signed if " - " in items[0].term else fmt.number
        reason = f"{write(m.value)} ({fmt.interval(m.low, m.high, ' - ' in items[0].term)}): {reason}"
    if len(of[SUPPORTS]) >= needed:
        return REPRODUCED, reason
    if len(of[CONTRADICTS]) > total - needed:
        return DIFFERS, reason
    return (NOT_RUN if of[MISSING] else UNDECIDED), reason


def _on_paper(printed: Printed, claim: dict, expected: Expectation, terms: tuple[str, ...]) -> tuple[str, str]:
    """The same predicate on the printed numbers, which have no intervals."""
    table = {"table1": 1, "table4": 4}.get(claim["experiment"])
    models = claim.get("published_models") or [claim["model"]]
    write = fmt.signed if claim["kind"] == "difference" else fmt.number
    supported, failed, total = 0, [], 0
    for model in models:
        for benchmark in claim["benchmarks"]:
            values = [printed.term(model, term, benchmark, table) for term in terms]
            if any(math.isnan(v) for v in values):
                continue
            total += 1
            worst = min(values) if ">" in expected.sign else max(values)
            if expected.holds(worst):
                supported += 1
            else:
                where = benchmark_label(benchmark) + (f" of {model}" if len(models) > 1 else "")
                failed.append(f"{where} ({write(worst)})")
    if not total:
        return "not printed", ""
    quantifier = claim.get("quantifier", "all")
    needed = total if quantifier == "all" else math.ceil(float(quantifier) * total - 1e-9)
    detail = f"{supported} of {total}" + (f"; not on {', '.join(failed)}" if failed else "")
    if claim["benchmarks"] == ["mean"] and not failed:
        detail = write(worst)
    return ("holds" if supported >= needed else "fails"), detail


def _names(benchmarks: list[str]) -> str:
    return ", ".join(benchmark_label(b) for b in benchmarks)


def claims_frame(results: list[ClaimResult]) -> pd.DataFrame:
    """claims.csv: one row for each claim."""
    return pd.DataFrame([{
        "id": r.id, "verdict": r.verdict, "reason": r.reason, "expected": r.expected,
        "compared": "; ".join(r.terms), "paper": r.paper, "paper_detail": r.paper_detail,
        "place": r.place, "statement": r.statement, "note": r.note,
    } for r in results])
