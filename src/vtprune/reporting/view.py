"""Everything that a template shows, gathered once, so that HTML and Markdown say the same."""

from __future__ import annotations

import math
import re
from pathlib import Path

from . import figures, fmt, paper, text
from .audit import audit
from .cells import Cell
from .claims import ClaimResult
from .differences import Comparison, comparisons, rows
from .inputs import Inputs
from .relations import benchmark_label, method_label, term_label
from .tables import blocks, percents

# The experiments of this report: name, published table, methods of its relative table and chart.
STUDIES = (
    ("table1", 1, ("fastv", "adaptprune", "adaptprune_as_written", "random")),
    ("table4", 4, ("(a)", "(b)", "(c)", "(d)")),
)
# The comparisons that open the report.
HEADLINES = (("table1", ("adaptprune", "fastv")), ("table1", ("adaptprune", "random")))
KEY_MODEL = "LLaVA-1.5-7B"


def build_view(inputs: Inputs, cells: list[Cell], claims: list[ClaimResult], data: Path, folder: Path) -> dict:
    """All that the templates need; draws the figures into ``folder``/figures on the way.

    ``data`` is the folder of what the paper's figures are drawn from.
    """
    ours = inputs.results.model_for(KEY_MODEL)
    compared = {name: comparisons(inputs, name, ours) if ours else [] for name, _, _ in STUDIES}
    sanity = _sanity(inputs, ours)
    drawn = blocks(inputs, cells)
    return {
        "title": "AdaptPrune, replicated",
        "profile": inputs.profile, "interval": inputs.interval, "model": ours,
        "summary": text.what_was_run(inputs), "findings": _findings(inputs, compared, claims, cells, ours),
        "counts": text.claim_counts(claims), "claims": claims,
        "sanity": sanity, "sanity_sentence": text.sanity_sentence(sanity),
        "studies": [_study(inputs, name, table, list(methods), compared[name], drawn, folder)
                    for name, table, methods in STUDIES],
        "pictured": paper.sections(inputs, ours, data, folder / "figures"),
        "others": [b for b in drawn if b.table not in {table for _, table, _ in STUDIES}],
        "audit": audit(inputs.published),
        "own_failures": [c for c in claims if c.paper == "fails"],
        "not_judged": text.not_judged_sentence(cells),
        "provenance": _flat(inputs.provenance), "tolerances": sorted(inputs.tolerances.items()),
        "label": benchmark_label, "method": method_label, "term": term_label,
    }


def _findings(inputs: Inputs, compared: dict[str, list[Comparison]], claims, cells, ours: str | None) -> list[str]:
    found = [text.claims_sentence(claims)]
    for experiment, pair in HEADLINES:
        match = next((c for c in compared[experiment] if c.pair == " - ".join(pair)), None)
        found.append(text.comparison_sentence(match, inputs.interval, pair))
    if ours:
        found.append(text.random_rank_sentence(inputs, "table1", ours))
    found.append(text.cells_sentence(cells))
    return [sentence for sentence in found if sentence]


def _study(inputs, name, table, methods, compared, drawn, folder: Path) -> dict:
    percent = percents(inputs, table, KEY_MODEL, name, methods)
    charts = []
    if percent and table == 4:
        charts.append(figures.ablation(percent, folder / "figures", "ablation", inputs.interval))
    elif percent:
        charts.append(figures.retention(percent, folder / "figures", f"retention_{name}", inputs.interval))
    charted = [c for c in compared if c.charted]
    if charted:
        charts.append(figures.forest(charted, folder / "figures", f"differences_{name}",
                                     "Paired differences", inputs.interval))
    opening = {" - ".join(pair) for experiment, pair in HEADLINES if experiment == name}
    mine = [b for b in drawn if b.table == table]
    return {
        "table": table, "title": mine[0].title if mine else name, "blocks": mine, "percent": percent,
        "charts": charts, "pairs": [c.names for c in compared], "rows": rows(compared),
        "sentences": [text.comparison_sentence(c, inputs.interval) for c in compared
                      if c.pair not in opening],
    }


def _sanity(inputs: Inputs, model: str | None) -> list[dict]:
    """Unpruned against the blank image and chance: a model that does not look cannot lose by pruning."""
    if model is None:
        return []
    found = []
    for benchmark in inputs.results.benchmarks("table1", model):
        whole, blind, chance = (inputs.results.cell("table1", model, m, benchmark)
                                for m in ("baseline", "blind", "chance"))
        if whole is None or benchmark == "mean":
            continue
        floor = max((v for v in (blind and _high(blind), chance and chance.value) if v is not None), default=-math.inf)
        found.append({
            "benchmark": benchmark_label(benchmark), "metric": whole.metric, "n": whole.n,
            "unpruned": fmt.number(whole.value), "interval": fmt.interval(whole.low, whole.high),
            "blind": fmt.number(blind and blind.value),
            "blind_interval": fmt.interval(blind.low, blind.high) if blind else "",
            "chance": fmt.number(chance and chance.value),
            "gap": fmt.signed(whole.value - blind.value) if blind else fmt.NONE,
            "clear": (whole.low if whole.has_interval else whole.value) > floor,
        })
    return found


def _high(measure) -> float:
    return measure.high if measure.has_interval else measure.value


def _flat(mapping: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as (name, value) lines. No path of this machine gets into a report."""
    lines = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            lines += _flat(value, f"{name}.")
        elif isinstance(value, list):
            lines.append((name, ", ".join(_plain(v) for v in value)))
        else:
            lines.append((name, fmt.seconds(value) if key == "seconds" and isinstance(value, (int, float))
                          else _plain(value)))
    return lines


def _plain(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return fmt.NONE
    # An absolute path keeps its last part only.
    return re.sub(r"(?<![\w./:])(?:/|[A-Za-z]:\\)[^\s,;]*[/\\]([^\s,;/\\]+)", r"\1", str(value))
