"""What the notebooks show: the report's figures with their captions, and rows of its tables in words instead of names."""

from __future__ import annotations

import html
from pathlib import Path

import pandas as pd

from .inputs import ReportError
from .relations import benchmark_label, metric_label, term_label
from .spectral_figures import ROUTE_LABEL

CAPTIONS = "captions.csv"  # beside the figures; build_report writes it
FIGURES = "../reports/figures"  # as a notebook sees it
HEADS = {
    "model": "Model", "method": "Method", "keep": "Kept, %", "benchmark": "Benchmark", "value": "Value", "metric": "Unit", "interval": "95 % interval",
    "n": "Questions", "energy": "τ", "target": "Budget, %", "tokens": "Tokens left", "tokens_by_layer": "Tokens, mean over layers", "mean": "Mean tokens",
    "calibrated_mean": "Mean tokens, calibration", "sd": "SD", "least": "Fewest", "most": "Most", "k_min": "At least", "k_max": "At most",
    "spearman": "Spearman’s ρ", "measure": "Compared with", "features": "Features", "centre": "Centred", "power": "Singular values", "same": "The same",
    "percent": "The same, %", "furthest": "Furthest, tokens", "at_first_rank": "Settled at the first rank", "source": "Source", "device": "Device",
    "shape": "Tokens × width", "route": "Route", "median_ms": "Median, ms", "quartiles": "Quartiles, ms", "times_gram": "Times the Gram route",
    "cost": "Multiplications", "settled_at": "Settled at rank", "statement": "Claim", "place": "Place", "verdict": "Verdict", "reason": "Why",
    "paper": "Paper’s own numbers",
}  # fmt: skip
_FEATURES = {"vision": "vision tower", "projected": "projector (assumed)", "hidden": "pruned layer’s input"}
_PERCENT = ("keep", "target")
_PAIRS = {"interval": ("ci_low", "ci_high"), "quartiles": ("quartile_low_ms", "quartile_high_ms")}
_VALUES = {
    "method": term_label, "benchmark": lambda v: "Mean" if v == "mean" else benchmark_label(v), "features": lambda v: _FEATURES.get(v, v), "measure": lambda v: v.replace("_", " "),
    "centre": lambda v: "yes" if v else "no", "power": lambda v: {1: "plain", 2: "squared"}.get(v, v), "shape": lambda v: v.replace("x", " × "),
    "route": lambda v: ROUTE_LABEL.get(v, v),
}  # fmt: skip


def in_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv, or of an experiment's table: headings and names in words, shares in percent, an interval in one column."""
    told = frame.copy()
    if {"metric", "benchmark"} <= set(told):
        told["metric"] = [metric_label(m, b) for m, b in zip(told["metric"], told["benchmark"], strict=True)]
    for name, (low, high) in _PAIRS.items():
        if {low, high} <= set(told):
            ends = zip(told[low], told[high], strict=True)
            told.insert(told.columns.get_loc(low), name, ["" if pd.isna(a) or pd.isna(b) else f"{a:.4g} to {b:.4g}" for a, b in ends])
            told = told.drop(columns=[low, high])
    for name in told.columns.intersection(_PERCENT):
        told[name] = (100 * told[name]).round(6)
        if (told[name].dropna() % 1 == 0).all():
            told[name] = told[name].astype("Int64")
    for name, word in _VALUES.items():
        if name in told:
            told[name] = told[name].map(word)
    return told.rename(columns=HEADS)


def show(frame: pd.DataFrame, **options):
    """The table as HTML, in words; ``options`` are those of ``DataFrame.to_html``."""
    from IPython.display import HTML

    with pd.option_context("display.max_colwidth", None):
        return HTML(in_words(frame).to_html(**{"index": False, "border": 0, "na_rep": "", "float_format": "{:.4g}".format} | options))


def figures(pattern: str, folder: str = FIGURES):
    """Every figure whose file matches, with the report's caption.

    Raises:
        ReportError: if there is none.
    """
    from IPython.display import HTML

    paths = sorted(Path(folder).glob(pattern))
    if not paths:
        raise ReportError(f"{folder} holds no figure {pattern}: run the report first.")
    return HTML("\n".join(captioned(f"{folder}/{path.name}", path) or f'<img src="{folder}/{path.name}" alt="{path.stem}">' for path in paths))


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
    return f'<figure><img src="{source}" alt="{alt}"><figcaption><strong>{title}.</strong> {caption}</figcaption></figure>'


def _captions(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Title, caption and alternative text by name; empty where no report wrote any."""
    if not (folder / CAPTIONS).is_file():
        return {}
    frame = pd.read_csv(folder / CAPTIONS)
    return {row.name: (row.title, row.caption, row.alt) for row in frame.itertuples(index=False)}
