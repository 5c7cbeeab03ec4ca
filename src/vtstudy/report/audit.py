"""Do the paper's own tables agree with one another? Found by code, from the printed cells alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vtstudy.benchmarks import MMBENCH_CATEGORIES, MMBENCH_GROUPS, MME_PERCEPTION
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.published import Printed

AGREE, DISAGREE, NOT_DERIVABLE = "agree", "disagree", "cannot be derived"


@dataclass(frozen=True)
class Finding:
    check: str
    where: str
    found: str
    verdict: str


def audit(published: pd.DataFrame) -> list[Finding]:
    """Every check, disagreements first within each."""
    return [*_shared_cells(published), *_mme_sums(published), *_l2_bounds(published), *_pruned_above(published)]


def _shared_cells(published: pd.DataFrame) -> list[Finding]:
    """The same quantity printed in several tables must be one number."""
    check = "Cells printed in more than one table"
    findings, agreeing = [], {}
    for (model, method, benchmark, _), tables in Printed(published).by_quantity.items():
        if len(tables) < 2:
            continue
        if len(set(tables.values())) > 1:
            found = ", ".join(f"{value:g} in Table {table}" for table, value in sorted(tables.items()))
            findings.append(
                Finding(check, f"{model}, {method_label(method)}, {benchmark_label(benchmark)}", found, DISAGREE)
            )
        else:
            agreeing.setdefault(tuple(sorted(tables)), []).append(benchmark)
    for tables, cells in sorted(agreeing.items()):
        where = "Tables " + ", ".join(map(str, tables))
        findings.append(Finding(check, where, f"{len(cells)} cell{'s' * (len(cells) > 1)} the same", AGREE))
    return findings


def _mme_sums(published: pd.DataFrame) -> list[Finding]:
    """MME's score is the sum of its ten perception sub-tasks. Only the 90 % columns have a score in Table 1."""
    findings = []
    score = _lookup(published, 1)
    for column, row in (("baseline", "baseline"), ("FastV 90%", "FastV"), ("AdaptPrune 90%", "AdaptPrune")):
        parts = published[
            (published["table"] == 8) & (published["column"] == column) & published["row"].isin(MME_PERCEPTION.values())
        ]
        whole = score.get(("LLaVA-1.5-7B", row, "MME"), math.nan)
        if len(parts) != len(MME_PERCEPTION) or math.isnan(whole):
            continue
        total = parts["number"].sum()
        # Each printed number is rounded to 0.1, so that eleven of them can differ by 0.55 and still agree.
        agrees = abs(total - whole) <= 0.05 * (len(parts) + 1) + 1e-9
        findings.append(
            Finding(
                "MME of Table 1 against the ten perception rows of Table 8",
                method_label(row.lower()),
                f"{whole:.1f} in Table 1, {total:.1f} as the sum",
                AGREE if agrees else DISAGREE,
            )
        )
    return sorted(findings, key=lambda f: f.verdict == AGREE)


def _l2_bounds(published: pd.DataFrame) -> list[Finding]:
    """Table 7 averages groups of Table 6's categories; without their sizes only the bounds can be checked."""
    categories = {MMBENCH_GROUPS[group]: tuple(names.values()) for group, names in MMBENCH_CATEGORIES.items()}
    fine, coarse = _lookup(published, 6), _lookup(published, 7)
    outside, inside = [], 0
    for (model, group, column), value in coarse.items():
        parts = [fine.get((model, name, column), math.nan) for name in categories.get(group, ())]
        if not parts or any(map(math.isnan, parts)):
            continue
        if min(parts) - 0.1 <= value <= max(parts) + 0.1:
            inside += 1
        else:
            outside.append(
                Finding(
                    "Table 7 within the range of its categories in Table 6",
                    f"{group}, {column}",
                    f"{value:g}, categories from {min(parts):g} to {max(parts):g}",
                    DISAGREE,
                )
            )
    if not (inside or outside):
        return []
    return [
        *outside,
        Finding(
            "Table 7 against Table 6",
            f"{inside} of {inside + len(outside)} cells",
            "within the range of their categories; the exact means need the number of questions per category, "
            "which is not printed",
            NOT_DERIVABLE,
        ),
    ]


def _pruned_above(published: pd.DataFrame) -> list[Finding]:
    """No contradiction, but a reader should know where losing tokens is printed as a gain."""
    numbers = Printed(published)
    above = []
    for model, method, benchmark, _ in numbers.by_quantity:
        if "/" in benchmark:  # a category of some tens of questions
            continue
        value, whole = numbers.value(model, method, benchmark), numbers.value(model, "baseline", benchmark)
        if value > whole:
            above.append(
                f"{method_label(method)} on {benchmark_label(benchmark)} of {model} ({value:g}, unpruned {whole:g})"
            )
    return [Finding("Pruned above unpruned", "Tables 1 to 5", "; ".join(above), "noted")] if above else []


def _lookup(published: pd.DataFrame, table: int) -> dict[tuple[str, str, str], float]:
    part = published[published["table"] == table]
    return {(r.model, r.row, r.column): r.number for r in part.itertuples(index=False)}
