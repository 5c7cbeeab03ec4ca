"""Everything that a template shows, gathered once, so that HTML and Markdown say the same."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path

from vtstudy.report import figure_sections as paper
from vtstudy.report import figures, fmt, text
from vtstudy.report.audit import audit
from vtstudy.report.claims import ClaimResult
from vtstudy.report.costs import costs
from vtstudy.report.differences import LOWER, OPEN, comparisons
from vtstudy.report.differences import table as table_of
from vtstudy.report.labels import LINKS, benchmark_label, method_label, metric_label, term_label
from vtstudy.report.printed_values import Cell
from vtstudy.report.results import Inputs
from vtstudy.report.tables import MAIN, Block, blocks, overview, percents

_AT_90 = ("fastv", "adaptprune", "adaptprune_as_written", "random", "vtw")
# The tables that have a section of their own: experiment, table, methods of its relative table and chart.
STUDIES = (
    ("table1", 1, _AT_90),
    ("table2", 2, _AT_90),
    ("table4", 4, ("(a)", "(b)", "(c)", "(d)")),
    (
        "table5",
        5,
        ("fastv", "adaptprune", "fitprune", "skip", "random", "random3x3", "maxpool3x3", "avgpool3x3", "last"),
    ),
    ("table6_7", 6, ()),
    ("table6_7", 7, ()),
    ("table8", 8, ()),
)
# The comparisons that open the report.
HEADLINES = (("adaptprune", "fastv"), ("adaptprune", "random"))
KEY_MODEL = "LLaVA-1.5-7B"


def build_view(inputs: Inputs, cells: list[Cell], claims: list[ClaimResult], data: Path, folder: Path) -> dict:
    """All that the templates need; draws the figures into ``folder``/figures on the way.

    ``data`` is the folder of what the paper's figures are drawn from.
    """
    ours = inputs.results.model_for(KEY_MODEL)
    drawn = blocks(inputs, cells)
    studies = []
    for paper_model in inputs.models:
        model = inputs.results.model_for(paper_model)
        studies += [
            _study(inputs, name, table, paper_model, list(methods), drawn, folder)
            for name, table, methods in STUDIES
            if model and name in inputs.results.experiments_of(model)
        ]
    studies.sort(key=lambda study: study["table"])  # a table's models stay in their order
    alone = {(block.table, block.model) for study in studies for block in study["blocks"]}
    sanity = [row for study in studies if study["experiment"] in MAIN for row in study["sanity"]]
    parts = [row for study in studies if LINKS[study["table"]].turned for row in study["sanity"]]
    return {
        "title": "AdaptPrune, replicated",
        "profile": inputs.profile,
        "interval": inputs.interval,
        "model": ours,
        "summary": text.what_was_run(inputs),
        "findings": _findings(inputs, studies, claims, cells, ours),
        "counts": text.claim_counts(claims),
        "claims": claims,
        "sanity": sanity,
        "sanity_sentence": f"{text.sanity_sentence(sanity)} {text.parts_sentence(parts)}".strip(),
        "studies": studies,
        "overview": _overview(inputs, studies, folder),
        "pictured": paper.sections(inputs, ours, data, folder / "figures"),
        "others": [b for b in drawn if (b.table, b.model) not in alone],
        "audit": audit(inputs.published),
        "costs": costs(inputs),
        "own_failures": [c for c in claims if c.paper == "fails"],
        "not_judged": text.not_judged_sentence(cells),
        "provenance": _flat(inputs.provenance),
        "tolerances": sorted(inputs.tolerances.items()),
        "label": benchmark_label,
        "method": method_label,
        "term": term_label,
    }


def _findings(inputs: Inputs, studies: list[dict], claims, cells, ours: str | None) -> list[str]:
    found = [text.claims_sentence(claims), *text.why_not_run(claims)]
    main = [study for study in studies if study["experiment"] in MAIN]
    for pair in HEADLINES:
        by_model = [(study["ours"], c) for study in main for c in study["compared"] if c.pair == " - ".join(pair)]
        first = next((c for model, c in by_model if model == ours), None)
        found.append(
            text.comparison_sentence(first, inputs.interval, pair, model=(ours or "") if len(main) > 1 else "")
        )
        # The lead over FastV is the paper's claim: there every model is named.
        sign = first.mean.sign if first and first.mean and pair != HEADLINES[0] else OPEN
        found.append(text.elsewhere_sentence([(model, c) for model, c in by_model if model != ours], sign))
    if ours:
        found.append(text.random_rank_sentence(inputs, "table1", ours))
    # Not only what the paper compares itself with: whatever is ahead of its method.
    for study in studies:
        if study["table"] == 5:
            found += [
                f"Table 5: {text.comparison_sentence(c, inputs.interval)}"
                for c in study["compared"]
                if c.pair.startswith("adaptprune - ") and c.mean and c.mean.sign == LOWER
            ]
    found.append(text.cells_sentence(cells))
    return [sentence for sentence in found if sentence]


def _study(
    inputs: Inputs, name: str, table: int, paper: str, methods: list[str], drawn: list[Block], folder: Path
) -> dict:
    """The section of one published table and one of its models."""
    link, ours = LINKS[table], inputs.results.model_for(paper)
    stem = f"table{table}" if paper == KEY_MODEL else f"table{table}_{ours}"
    # Parts of one benchmark have the same units, and too few questions each for a percent of the unpruned score.
    compared = [
        c
        for c in comparisons(inputs, name, ours, list(link.benchmarks.values()), scale=not link.turned)
        if "blind" not in c.pair
    ]  # whether the model looks has a section of its own
    percent = percents(inputs, table, paper, name, methods) if methods else None
    charts = []
    if percent and table == 4:
        charts.append(figures.ablation(percent, folder / "figures", "ablation", inputs.interval))
    elif percent:
        charts.append(figures.retention(percent, folder / "figures", f"retention_{stem}", inputs.interval))
    charted = [c for c in compared if c.charted and table != 5]  # of Table 5's pairs there are too many for one chart
    if charted:
        charts.append(
            figures.forest(
                charted,
                folder / "figures",
                f"differences_{stem}",
                f"Paired differences: Table {table}, {ours}",
                inputs.interval,
                scaled=not link.turned,
            )
        )
    opening = {" - ".join(pair) for pair in HEADLINES if name in MAIN and paper == KEY_MODEL}
    heads, lines = table_of(compared)
    # Of the many pairs of Table 5 those with AdaptPrune are told in words.
    told = [c for c in compared if c.pair not in opening and (table != 5 or c.pair.startswith("adaptprune"))]
    sentences = [text.comparison_sentence(c, inputs.interval, noun=link.noun) for c in told]
    sanity = _sanity(inputs, ours, name, [*link.benchmarks.values(), *(["mme_cognition"] if name in MAIN else [])])
    if link.turned:
        sentences.append(text.sanity_sentence(sanity, link.noun))
    if note := text.grid_note(inputs.profile, table):
        sentences.append(note)
    mine = [b for b in drawn if b.table == table and b.model == paper]
    return {
        "table": table,
        "experiment": name,
        "ours": ours,
        "id": stem.replace("_", "-"),
        "asked": text.asked(inputs.results, ours, name, link),
        "title": f"{mine[0].title}, {paper}" if name in MAIN else mine[0].title,
        "blocks": mine,
        "percent": percent,
        "charts": charts,
        "compared": compared,
        "heads": heads,
        "lines": lines,
        "sentences": sentences,
        "sanity": sanity,
        "noun": link.noun.capitalize(),
    }


def _overview(inputs: Inputs, studies: list[dict], folder: Path) -> dict | None:
    """All models side by side: the mean percent of the unpruned score, and AdaptPrune's lead over FastV."""
    percent = overview(inputs, _AT_90)
    if percent is None:
        return None
    main = {study["blocks"][0].model: study for study in studies if study["experiment"] in MAIN}
    rows = []
    for model, line in percent.rows:
        lead = next((c.mean for c in main[model]["compared"] if c.pair == " - ".join(HEADLINES[0]) and c.mean), None)
        printed = percent.numbers[model, HEADLINES[0][0]][0] - percent.numbers[model, HEADLINES[0][1]][0]
        rows.append(
            {
                "model": model,
                "ours": main[model]["ours"],
                "asked": main[model]["asked"],
                "line": line,
                "printed": fmt.signed(printed),
                "lead": lead,
            }
        )
    return {
        "percent": percent,
        "rows": rows,
        "chart": figures.retention(percent, folder / "figures", "models", inputs.interval),
    }


def _sanity(inputs: Inputs, model: str, experiment: str, benchmarks: list[str]) -> list[dict]:
    """Unpruned against the blank image and chance: a model that does not look cannot lose by pruning."""
    found = []
    for benchmark in benchmarks:
        whole, blind, chance = (
            inputs.results.cell(experiment, model, m, benchmark) for m in ("baseline", "blind", "chance")
        )
        if whole is None:
            continue
        floor = max((v for v in (blind and _high(blind), chance and chance.value) if v is not None), default=-math.inf)
        found.append(
            {
                "model": model,
                "benchmark": benchmark_label(benchmark),
                "metric": metric_label(whole.metric, benchmark),
                "n": whole.n,
                "unpruned": fmt.number(whole.value),
                "interval": fmt.interval(whole.low, whole.high),
                "blind": fmt.number(blind and blind.value),
                "blind_interval": fmt.interval(blind.low, blind.high) if blind else "",
                "chance": fmt.number(chance and chance.value),
                "gap": fmt.signed(whole.value - blind.value) if blind else fmt.NONE,
                "clear": (whole.low if whole.has_interval else whole.value) > floor,
            }
        )
    return found


def _high(measure) -> float:
    return measure.high if measure.has_interval else measure.value


def _flat(mapping: dict, prefix: str = "", runs: Collection[str] = ()) -> list[tuple[str, str]]:
    """Nested provenance as (name, value) lines; what differs between runs is one line, with the runs of each value.

    No path of this machine gets into a report.
    """
    runs = runs or mapping.get("seconds_by_experiment", ())
    lines = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and set(value) <= set(runs):
            by_value: dict[str, list[str]] = {}
            for run, own in value.items():
                by_value.setdefault(_told(key, own), []).append(run)
            lines.append((name, "; ".join(f"{told} ({', '.join(names)})" for told, names in by_value.items())))
        elif isinstance(value, dict):
            lines += _flat(value, f"{name}.", runs)
        else:
            lines.append((name, _told(key, value)))
    return lines


def _told(key: str, value) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or fmt.NONE
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(own)}" for name, own in value.items())
    if key.startswith("seconds") and isinstance(value, (int, float)):
        return fmt.seconds(value)
    return _plain(value)


def _plain(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return fmt.NONE
    # An absolute path keeps its last part only.
    return re.sub(r"(?<![\w./:])(?:/|[A-Za-z]:\\)[^\s,;]*[/\\]([^\s,;/\\]+)", r"\1", str(value))
