"""Whether the paper's own tables agree with one another, found from the printed values alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vtstudy.benchmarks import MMBENCH_CATEGORIES, MMBENCH_GROUPS, MME_PERCEPTION
from vtstudy.report.evidence import CONSISTENT, INCONSISTENT
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.published import PrintedNumbers

AGREE, DISAGREE, NOT_DERIVABLE, NOTED = CONSISTENT, INCONSISTENT, "cannot be derived", "noted"


@dataclass(frozen=True)
class Finding:
    """What a check found in one place of the tables."""

    check: str
    where: str
    found: str
    verdict: str


def audit(published: pd.DataFrame) -> list[Finding]:
    """The findings of every check, disagreements first within each."""
    return [
        *_values_printed_twice(published),
        *_mme_sums(published),
        *_bounds_of_groups(published),
        *_pruned_above_unpruned(published),
    ]


def _values_printed_twice(published: pd.DataFrame) -> list[Finding]:
    """A quantity that several tables print must be the same number in all."""
    check = "Cells printed in more than one table"
    findings = []
    agreeing: dict[tuple[int, ...], int] = {}
    for (model, method, benchmark, _), tables in PrintedNumbers(published).by_quantity.items():
        if len(tables) < 2:
            continue
        if len(set(tables.values())) > 1:
            found = ", ".join(f"{value:g} in Table {table}" for table, value in sorted(tables.items()))
            where = f"{model}, {method_label(method)}, {benchmark_label(benchmark)}"
            findings.append(Finding(check, where, found, DISAGREE))
        else:
            key = tuple(sorted(tables))
            agreeing[key] = agreeing.get(key, 0) + 1
    for key, count in sorted(agreeing.items()):
        noun = "cell" if count == 1 else "cells"
        findings.append(Finding(check, f"Tables {', '.join(map(str, key))}", f"{count} {noun} the same", AGREE))
    return findings


def _mme_sums(published: pd.DataFrame) -> list[Finding]:
    """MME's score is the sum of its ten perception sub-tasks. Only the 90 % columns have a score in Table 1."""
    findings = []
    scores = _lookup(published, 1)
    for column, row in (("baseline", "baseline"), ("FastV 90%", "FastV"), ("AdaptPrune 90%", "AdaptPrune")):
        parts = published[
            (published["table"] == 8) & (published["column"] == column) & published["row"].isin(MME_PERCEPTION.values())
        ]
        score = scores.get(("LLaVA-1.5-7B", row, "MME"), math.nan)
        if len(parts) != len(MME_PERCEPTION) or math.isnan(score):
            continue
        total = parts["number"].sum()
        # Each printed number is rounded to 0.1, so that eleven of them can differ by 0.55 and still agree.
        agrees = abs(total - score) <= 0.05 * (len(parts) + 1) + 1e-9
        findings.append(
            Finding(
                "MME of Table 1 against the ten perception rows of Table 8",
                method_label(row.lower()),
                f"{score:.1f} in Table 1, {total:.1f} as the sum",
                AGREE if agrees else DISAGREE,
            )
        )
    return sorted(findings, key=lambda finding: finding.verdict == AGREE)


def _bounds_of_groups(published: pd.DataFrame) -> list[Finding]:
    """Table 7 averages groups of Table 6's categories; without their sizes only the bounds can be checked."""
    categories = {MMBENCH_GROUPS[group]: tuple(names.values()) for group, names in MMBENCH_CATEGORIES.items()}
    of_categories, of_groups = _lookup(published, 6), _lookup(published, 7)
    outside, inside = [], 0
    for (model, group, column), value in of_groups.items():
        parts = [of_categories.get((model, name, column), math.nan) for name in categories.get(group, ())]
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


def _pruned_above_unpruned(published: pd.DataFrame) -> list[Finding]:
    """Where a pruned model is printed above the unpruned one: no contradiction, but a reader should know."""
    numbers = PrintedNumbers(published)
    above = []
    for model, method, benchmark, _ in numbers.by_quantity:
        if "/" in benchmark:  # a category of some tens of questions
            continue
        value, unpruned = numbers.value(model, method, benchmark), numbers.value(model, "baseline", benchmark)
        if value > unpruned:
            above.append(
                f"{method_label(method)} on {benchmark_label(benchmark)} of {model} ({value:g}, unpruned {unpruned:g})"
            )
    if not above:
        return []
    return [Finding("Pruned above unpruned", "Tables 1 to 5", "; ".join(above), NOTED)]


def _lookup(published: pd.DataFrame, table: int) -> dict[tuple[str, str, str], float]:
    rows = published[published["table"] == table]
    return {(row.model, row.row, row.column): row.number for row in rows.itertuples(index=False)}
