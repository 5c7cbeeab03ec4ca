"""What the notebooks show: the report's figures with their captions, and rows of its tables in words instead of names."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pandas as pd

from vtstudy.report import fmt
from vtstudy.report.labels import benchmark_label, metric_label, term_label
from vtstudy.report.results import ReportError
from vtstudy.report.spectral_figures import ROUTE_LABEL

CAPTIONS = "captions.csv"  # beside the figures; build_report writes it
FIGURES = "../reports/figures"  # as a notebook sees it
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
_FEATURES = {"vision": "vision tower", "projected": "projector (assumed)", "hidden": "pruned layer’s input"}
_PERCENT = ("keep", "target")
# Scales that end at 1: three decimals; of percents, points and CIDEr one is enough. More where an interval needs them.
_UP_TO_ONE = (
    "pearson",
    "share_of_image_attention",
    "neighbour_similarity",
    "neighbour_key_similarity",
    "rank_correlation",
)
_CELL = re.compile(r"<t[dh]\b[^>]*>(?P<text>.*?)</t[dh]>", re.DOTALL)
_ONE = rf"[{fmt.MINUS}+]?[\d.]+(?:e[{fmt.MINUS}+]\d+)?"
_NUMBER = re.compile(rf"(?:{_ONE}(?: to {_ONE})?|{fmt.NONE})?")
_PAIRS = {"interval": ("ci_low", "ci_high"), "quartiles": ("quartile_low_ms", "quartile_high_ms")}
_VALUES = {
    "method": term_label,
    "benchmark": lambda v: "Mean" if v == "mean" else benchmark_label(v),
    "features": lambda v: _FEATURES.get(v, v),
    "measure": lambda v: v.replace("_", " "),
    "centre": lambda v: "yes" if v else "no",
    "power": lambda v: {1: "plain", 2: "squared"}.get(v, v),
    "shape": lambda v: v.replace("x", " × "),
    "route": lambda v: ROUTE_LABEL.get(v, v),
}


def in_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv, or of an experiment's table: headings and names in words, shares in percent, an interval in one column."""
    told = frame.copy()
    if {"metric", "value", "ci_low", "ci_high"} <= set(told):
        told = _estimates(told)
    if {"metric", "benchmark"} <= set(told):
        told["metric"] = [metric_label(m, b) for m, b in zip(told["metric"], told["benchmark"], strict=True)]
    for name, (low, high) in _PAIRS.items():
        if {low, high} <= set(told):
            ends = zip(told[low], told[high], strict=True)
            told.insert(
                told.columns.get_loc(low),
                name,
                ["" if pd.isna(a) or pd.isna(b) else _minus(f"{a:.4g} to {b:.4g}") for a, b in ends],
            )
            told = told.drop(columns=[low, high])
    for name in told.columns.intersection(_PERCENT):
        told[name] = (100 * told[name]).round(6)
        if (told[name].dropna() % 1 == 0).all():
            told[name] = told[name].astype("Int64")
    for name, word in _VALUES.items():
        if name in told:
            told[name] = told[name].map(word)
    return told.rename(columns=HEADS)


def _estimates(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv with value and interval as the report writes them, a difference with its sign."""
    values, intervals = [], []
    for row in rows[["metric", "value", "ci_low", "ci_high"]].itertuples(index=False):
        metric = row.metric.removeprefix("difference:")
        sign, digits = (
            metric != row.metric,
            fmt.decimals(row.ci_low, row.ci_high, least=3 if metric in _UP_TO_ONE else 1),
        )
        values.append((fmt.signed if sign else fmt.number)(row.value, digits))
        intervals.append(fmt.interval(row.ci_low, row.ci_high, sign, digits))
    told = rows.assign(value=values, ci_low=intervals).rename(columns={"ci_low": "interval"})
    return told.drop(columns="ci_high")


def show(frame: pd.DataFrame, **options):
    """The table as HTML, in words; ``options`` are those of ``DataFrame.to_html``."""
    from IPython.display import HTML

    options = {"index": False, "border": 0, "na_rep": "", "float_format": "{:.4g}".format} | options
    written = options.pop("float_format")
    told = in_words(frame)
    for name in told.select_dtypes("Int64"):  # whose missing values to_html writes as <NA>, whatever na_rep is
        told[name] = told[name].astype(object).where(told[name].notna(), "")
    with pd.option_context("display.max_colwidth", None):
        return HTML(_aligned(told.to_html(float_format=lambda value: _minus(written(value)), **options)))


def _minus(number: str) -> str:
    return number.replace("-", fmt.MINUS)


def _aligned(table: str) -> str:
    """A table with class "left" on the columns that hold words; numbers and intervals stay as the style sheet has them."""
    head, body = table.split("<tbody>")
    width = max(len(_CELL.findall(row)) for row in table.split("</tr>"))
    words = set()
    for row in body.split("</tr>"):
        cells = [cell["text"] for cell in _CELL.finditer(row)]
        # A cell that spans rows is missing in the later ones, always at the left.
        words |= {width - len(cells) + place for place, text in enumerate(cells) if not _NUMBER.fullmatch(text)}
    return "<tbody>".join(_marked(part, words, width) for part in (head, body))


def _marked(rows: str, words: set[int], width: int) -> str:
    marked = []
    for row in rows.split("</tr>"):
        places = iter(range(width - len(_CELL.findall(row)), width))
        marked.append(
            _CELL.sub(
                lambda cell, places=places: cell[0][:3] + ' class="left"' * (next(places) in words) + cell[0][3:], row
            )
        )
    return "</tr>".join(marked)


def figures(pattern: str, folder: str = FIGURES):
    """Every figure whose file matches, with the report's caption.

    Raises:
        ReportError: if there is none.
    """
    from IPython.display import HTML

    paths = sorted(Path(folder).glob(pattern))
    if not paths:
        raise ReportError(f"{folder} holds no figure {pattern}: run the report first.")
    return HTML(
        "\n".join(
            captioned(f"{folder}/{path.name}", path) or f'<img src="{folder}/{path.name}" alt="{path.stem}">'
            for path in paths
        )
    )


def captioned(source: str, path: Path) -> str:
    """A figure of the report with its caption, as HTML; "" where the report has none for it.

    Args:
        source: what the page is to refer to.
        path: the file.
    """
    found = _captions(path.parent).get(path.stem)
    if found is None:
        return ""
    title, caption, alt = map(html.escape, found)
    return (
        f'<figure><img src="{source}" alt="{alt}"><figcaption><strong>{title}.</strong> {caption}</figcaption></figure>'
    )


def _captions(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Title, caption and alternative text by name; empty where no report wrote any."""
    if not (folder / CAPTIONS).is_file():
        return {}
    frame = pd.read_csv(folder / CAPTIONS)
    return {row.name: (row.title, row.caption, row.alt) for row in frame.itertuples(index=False)}
