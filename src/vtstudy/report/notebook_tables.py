"""Tables and figures for the notebooks: names in words, numbers as the report writes them, figures with captions."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.captions import ENDINGS, captioned, embedded
from vtstudy.report.errors import ReportError
from vtstudy.report.labels import ROUTE_LABELS, benchmark_label, metric_label, term_label
from vtstudy.results_table import DIFFERENCE, MEAN

if TYPE_CHECKING:
    from IPython.display import HTML

Column = tuple[str, list[str]]
"""A column's head and its cells, as text."""
HEADS = {
    "model": "Model",
    "method": "Method",
    "keep": "Kept, %",
    "benchmark": "Benchmark",
    "value": "Value",
    "metric": "Unit",
    "interval": "95 % interval",
    "n": "Questions",
    "energy": "τ",
    "target": "Budget, %",
    "tokens": "Tokens left",
    "tokens_by_layer": "Tokens, mean over layers",
    "mean": "Mean tokens",
    "calibrated_mean": "Mean tokens, calibration",
    "sd": "SD",
    "least": "Fewest",
    "most": "Most",
    "k_min": "At least",
    "k_max": "At most",
    "spearman": "Spearman’s ρ",
    "measure": "Compared with",
    "features": "Features",
    "centre": "Centred",
    "power": "Singular values",
    "same": "The same",
    "percent": "The same, %",
    "furthest": "Furthest, tokens",
    "at_first_rank": "Settled at the first rank",
    "source": "Source",
    "device": "Device",
    "shape": "Tokens × width",
    "route": "Route",
    "median_ms": "Median, ms",
    "quartiles": "Quartiles, ms",
    "times_gram": "Times the Gram route",
    "cost": "Multiplications",
    "settled_at": "Settled at rank",
    "statement": "Claim",
    "place": "Place",
    "verdict": "Verdict",
    "reason": "Why",
    "paper": "Paper’s own numbers",
}
"""Headings by column."""
_FEATURES = {"vision": "vision tower", "projected": "projector (assumed)", "hidden": "pruned layer’s input"}
_SHARES = ("keep", "target")
_SCALES_UP_TO_ONE = (
    "pearson",
    "share_of_image_attention",
    "neighbour_similarity",
    "neighbour_key_similarity",
    "rank_correlation",
)
"""Metrics whose scale ends at 1: they are written with three decimals. One is enough for percents and points."""
_INTERVALS = {"interval": ("ci_low", "ci_high"), "quartiles": ("quartile_low_ms", "quartile_high_ms")}
_WORDS: dict[str, Callable] = {
    "method": term_label,
    "benchmark": lambda name: "Mean" if name == MEAN else benchmark_label(name),
    "features": lambda name: _FEATURES.get(name, name),
    "measure": lambda name: name.replace("_", " "),
    "centre": lambda centred: "yes" if centred else "no",
    "power": lambda power: {1: "plain", 2: "squared"}.get(power, power),
    "shape": lambda shape: shape.replace("x", " × "),
    "route": lambda route: ROUTE_LABELS.get(route, route),
}
"""How the values of a column are put into words."""
_ONE_NUMBER = rf"[{formatting.MINUS}+]?[\d.]+(?:e[{formatting.MINUS}+]\d+)?"
_NUMBER = re.compile(rf"(?:{_ONE_NUMBER}(?: to {_ONE_NUMBER})?|{formatting.NONE})?")


def in_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv or of an experiment's table, for readers.

    Headings and names are in words, shares in percent, and an interval in one column.
    """
    table = frame.copy()
    if {"metric", "value", "ci_low", "ci_high"} <= set(table):
        table = _with_estimates(table)
    if {"metric", "benchmark"} <= set(table):
        rows = zip(table["metric"], table["benchmark"], strict=True)
        table["metric"] = [metric_label(metric, benchmark) for metric, benchmark in rows]
    for name, (low, high) in _INTERVALS.items():
        if {low, high} <= set(table):
            ends = zip(table[low], table[high], strict=True)
            table.insert(table.columns.get_loc(low), name, [_interval(*pair) for pair in ends])
            table = table.drop(columns=[low, high])
    for name in table.columns.intersection(_SHARES):
        table[name] = (100 * table[name]).round(6)
        if (table[name].dropna() % 1 == 0).all():
            table[name] = table[name].astype("Int64")
    for name, words in _WORDS.items():
        if name in table:
            table[name] = table[name].map(words)
    return table.rename(columns=HEADS)


def _interval(low: float, high: float) -> str:
    if pd.isna(low) or pd.isna(high):
        return ""
    return _with_minus(f"{low:.4g} to {high:.4g}")


def _with_estimates(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv with value and interval as the report writes them, a difference with its sign."""
    values, intervals = [], []
    for row in rows[["metric", "value", "ci_low", "ci_high"]].itertuples(index=False):
        metric = row.metric.removeprefix(DIFFERENCE)
        is_difference = metric != row.metric
        digits = formatting.decimals(row.ci_low, row.ci_high, least=3 if metric in _SCALES_UP_TO_ONE else 1)
        write = formatting.signed if is_difference else formatting.number
        values.append(write(row.value, digits))
        intervals.append(formatting.interval(row.ci_low, row.ci_high, is_difference, digits))
    table = rows.assign(value=values, ci_low=intervals).rename(columns={"ci_low": "interval"})
    return table.drop(columns="ci_high")


def show(frame: pd.DataFrame, *, index: bool = False, digits: int = 4) -> HTML:
    """A table in words, as HTML; words are on the left, numbers on the right.

    Args:
        frame: rows of results.csv or of an experiment's table.
        index: whether the row labels are shown; a repeated label is left empty.
        digits: significant digits of a number.
    """
    from IPython.display import HTML

    table = in_words(frame)
    columns = [(str(name), [_text(value, digits) for value in table[name]]) for name in table.columns]
    labels = []
    if index:
        levels = table.index.to_frame()
        labels = [(str(name), [_text(value, digits) for value in levels[name]]) for name in levels]
    return HTML(_html_table(_without_repeats(labels), columns, str(table.columns.name or "")))


def _text(value: object, digits: int) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, float):
        return _with_minus(f"{value:.{digits}g}")
    return str(value)


def _with_minus(number: str) -> str:
    return number.replace("-", formatting.MINUS)


def _without_repeats(labels: list[Column]) -> list[Column]:
    """Row labels of which one is empty if it and all labels before it are those of the row above; the last stays."""
    rows = list(zip(*(texts for _, texts in labels), strict=True))
    shown = [list(row) for row in rows]
    for above, row, texts in zip(rows, rows[1:], shown[1:], strict=False):
        for place in range(len(labels) - 1):
            if above[: place + 1] == row[: place + 1]:
                texts[place] = ""
    return [(head, [texts[place] for texts in shown]) for place, (head, _) in enumerate(labels)]


def _html_table(labels: list[Column], columns: list[Column], name: str) -> str:
    """Row labels and columns as HTML; class "left" on those that hold anything but numbers and intervals.

    The table is in a box that the keyboard can scroll.

    Args:
        labels: the columns of row labels.
        columns: the other columns.
        name: what the heads of the other columns are; "" where they need no name.
    """
    every = [*labels, *columns]
    classes = ["" if all(map(_NUMBER.fullmatch, texts)) else ' class="left"' for _, texts in every]
    heads = [f"<th{css}>{html.escape(head)}</th>" for css, (head, _) in zip(classes, every, strict=True)]
    rows = [f"<tr>{''.join(heads)}</tr>"]
    if labels and name:
        above = f'<td colspan="{len(labels)}"></td>'
        rows.insert(0, f'<tr>{above}<th class="left" colspan="{len(columns)}">{html.escape(name)}</th></tr>')
    rows.append("</thead>\n<tbody>")
    for row in zip(*(texts for _, texts in every), strict=True):
        cells = [f"<td{css}>{html.escape(text)}</td>" for css, text in zip(classes, row, strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    label = html.escape(", ".join(head for head, _ in every))
    box = f'<div class="scroll" role="group" tabindex="0" aria-label="Table: {label}">'
    return "\n".join([f"{box}<table>\n<thead>", *rows, "</tbody>\n</table></div>"])


def answer(path: str | Path, notebook: str) -> HTML:
    """What a notebook answers, as the report computed it, with links to the report.

    Args:
        path: of the report's file of answers, from where the notebook runs.
        notebook: its name, such as `03-redundancy`.

    Raises:
        ReportError: if the report has no answer for it.
    """
    from IPython.display import HTML

    path = Path(path)
    if not path.is_file():
        raise ReportError(f"{path} does not exist; run the report first.")
    found = json.loads(path.read_text(encoding="utf-8")).get(notebook)
    if found is None:
        raise ReportError(f"{path} holds no answer for the notebook {notebook}.")
    report = path.parent.as_posix()
    sentences = "".join(f"<li>{html.escape(text)}</li>" for text in found["sentences"])
    claims = "".join(
        f'<li>{html.escape(claim["statement"])} <a href="{report}/README.md#{claim["id"]}">'
        f"{html.escape(claim['verdict'])}</a></li>"
        for claim in found["claims"]
    )
    lines = [
        "<h2>Answer</h2>",
        f"<p>{html.escape(found['about'])}: <strong>{html.escape(found['verdict'])}</strong>.</p>",
        f"<ul>{sentences}</ul>" if sentences else "",
        f"<p>The papers’ claims:</p><ul>{claims}</ul>" if claims else "",
        f'<p><a href="{report}/{found["place"]}">The same in the report</a></p>',
    ]
    return HTML("\n".join(line for line in lines if line))


def figures(pattern: str) -> HTML:
    """Every figure whose file matches the pattern, with the report's caption.

    Args:
        pattern: such as `../reports/miniature/figures/differences_*.png`, from where the notebook runs; a figure with
            the other ending matches, too.

    Raises:
        ReportError: if there is none.
    """
    from IPython.display import HTML

    folder, name = Path(pattern).parent, Path(pattern).name
    paths = sorted(path for ending in ENDINGS for path in folder.glob(Path(name).with_suffix(ending).name))
    if not paths:
        raise ReportError(f"{folder} holds no figure {name}; run the report first.")
    return HTML(
        "\n".join(captioned(path) or f'<img src="{embedded(path)}" alt="{html.escape(path.stem)}">' for path in paths)
    )
