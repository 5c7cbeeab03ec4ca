"""Everything that a template shows, gathered once, so that HTML and Markdown say the same."""

from __future__ import annotations

import math
import re
from pathlib import Path

from . import figures, fmt, paper, text
from .audit import audit
from .cells import Cell
from .claims import ClaimResult
from .differences import Comparison, comparisons
from .differences import table as table_of
from .inputs import Inputs
from .relations import benchmark_label, method_label, term_label
from .tables import blocks, percents

_AT_90 = ("fastv", "adaptprune", "adaptprune_as_written", "random", "vtw")
# The experiments that have a section of their own: name, published table, methods of its relative table and chart.
STUDIES = (
    ("table1", 1, _AT_90),
    ("table2", 2, _AT_90),
    ("table4", 4, ("(a)", "(b)", "(c)", "(d)")),
    ("table5", 5, ("fastv", "adaptprune", "fitprune", "skip", "random", "random3x3", "maxpool3x3", "avgpool3x3", "last")),
)
# The comparisons that open the report.
HEADLINES = (("table1", ("adaptprune", "fastv")), ("table1", ("adaptprune", "random")))
KEY_MODEL = "LLaVA-1.5-7B"


def build_view(inputs: Inputs, cells: list[Cell], claims: list[ClaimResult], data: Path, folder: Path) -> dict:
    """All that the templates need; draws the figures into ``folder``/figures on the way.

    ``data`` is the folder of what the paper's figures are drawn from.
    """
    ours = inputs.results.model_for(KEY_MODEL)
    compared = {(name, paper): comparisons(inputs, name, inputs.results.model_for(paper))
                for name, _, _ in STUDIES for paper in inputs.models if inputs.results.model_for(paper)}
    sanity = [row for paper in inputs.models for row in _sanity(inputs, inputs.results.model_for(paper))]
    drawn = blocks(inputs, cells)
    studies = [_study(inputs, name, table, paper, list(methods), compared[name, paper], drawn, folder)
               for name, table, methods in STUDIES for paper in inputs.models
               if (name, paper) in compared and name in inputs.results.experiments_of(inputs.results.model_for(paper))]
    alone = {(block.table, block.model) for study in studies for block in study["blocks"]}
    return {
        "title": "AdaptPrune, replicated",
        "profile": inputs.profile, "interval": inputs.interval, "model": ours,
        "summary": text.what_was_run(inputs), "findings": _findings(inputs, compared, claims, cells, ours),
        "counts": text.claim_counts(claims), "claims": claims,
        "sanity": sanity, "sanity_sentence": text.sanity_sentence(sanity), "studies": studies,
        "pictured": paper.sections(inputs, ours, data, folder / "figures"),
        "others": [b for b in drawn if (b.table, b.model) not in alone],
        "audit": audit(inputs.published),
        "own_failures": [c for c in claims if c.paper == "fails"],
        "not_judged": text.not_judged_sentence(cells),
        "provenance": _flat(inputs.provenance), "tolerances": sorted(inputs.tolerances.items()),
        "label": benchmark_label, "method": method_label, "term": term_label,
    }


def _findings(inputs: Inputs, compared: dict[tuple[str, str], list[Comparison]], claims, cells, ours: str | None) -> list[str]:
    found = [text.claims_sentence(claims), *text.why_not_run(claims)]
    for experiment, pair in HEADLINES:
        match = next((c for c in compared.get((experiment, KEY_MODEL), ()) if c.pair == " - ".join(pair)), None)
        found.append(text.comparison_sentence(match, inputs.interval, pair))
    if ours:
        found.append(text.random_rank_sentence(inputs, "table1", ours))
    found.append(text.cells_sentence(cells))
    return [sentence for sentence in found if sentence]


def _study(inputs, name, table, paper, methods, compared, drawn, folder: Path) -> dict:
    """The section of one published table and one of its models."""
    ours = inputs.results.model_for(paper)
    stem = name if paper == KEY_MODEL else f"{name}_{ours}"
    percent = percents(inputs, table, paper, name, methods)
    charts = []
    if percent and table == 4:
        charts.append(figures.ablation(percent, folder / "figures", "ablation", inputs.interval))
    elif percent:
        charts.append(figures.retention(percent, folder / "figures", f"retention_{stem}", inputs.interval))
    charted = [c for c in compared if c.charted and table != 5]  # of Table 5's pairs there are too many for one chart
    if charted:
        charts.append(figures.forest(charted, folder / "figures", f"differences_{stem}",
                                     "Paired differences", inputs.interval))
    opening = {" - ".join(pair) for experiment, pair in HEADLINES if experiment == name and paper == KEY_MODEL}
    heads, lines = table_of(compared)
    # Of the many pairs of Table 5 those with AdaptPrune are told in words.
    told = [c for c in compared if c.pair not in opening and (table != 5 or c.pair.startswith("adaptprune"))]
    mine = [b for b in drawn if b.table == table and b.model == paper]
    return {
        "table": table, "id": f"table{table}" if paper == KEY_MODEL else f"table{table}-{ours}",
        "title": f"{mine[0].title}, {paper}" if table < 3 else mine[0].title, "blocks": mine, "percent": percent,
        "charts": charts, "heads": heads, "lines": lines,
        "sentences": [text.comparison_sentence(c, inputs.interval) for c in told],
    }


def _sanity(inputs: Inputs, model: str | None) -> list[dict]:
    """Unpruned against the blank image and chance: a model that does not look cannot lose by pruning."""
    if model is None:
        return []
    found = []
    name = next((name for name in ("table1", "table2") if name in inputs.results.experiments_of(model)), "table1")
    for benchmark in inputs.results.benchmarks(name, model):
        whole, blind, chance = (inputs.results.cell(name, model, m, benchmark)
                                for m in ("baseline", "blind", "chance"))
        if whole is None or benchmark == "mean":
            continue
        floor = max((v for v in (blind and _high(blind), chance and chance.value) if v is not None), default=-math.inf)
        found.append({
            "model": model, "benchmark": benchmark_label(benchmark), "metric": whole.metric, "n": whole.n,
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
