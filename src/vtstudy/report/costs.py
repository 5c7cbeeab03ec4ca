"""What pruning costs and saves: exact counts for the paper's models, ways of counting FLOPs, times on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.labels import method_label
from vtstudy.report.table_links import KEEP

_LAYER = {0: "pruned before the first layer"}
_ATTENTION = {
    "none": "no FLOPs of attention itself",
    "whole": "attention counted whole",
    "causal": "causal attention counted half",
}
_SCOPE = {"image": "the image tokens alone", "prompt": "the whole prompt", "model": "the vision tower too"}


@dataclass(frozen=True)
class Costs:
    """The table of costs and sentences about it; empty if the experiments `costs` and `timings` were not run."""

    heads: tuple[str, ...] = (
        "Model",
        "Method",
        "Image tokens",
        "Prefill, TFLOPs",
        "FLOPs saved",
        "Cache, MB",
        "Cache saved",
    )
    lines: list[tuple[str, ...]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def costs(tables: Mapping[str, pd.DataFrame]) -> Costs:
    """What cost.csv, conventions.csv and timings.csv say, as far as they exist.

    Args:
        tables: by file name.
    """
    shown = Costs()
    if "cost.csv" in tables:
        rows = tables["cost.csv"]
        rows = rows[rows["keep"].isna() | rows["keep"].isin([1.0, KEEP])]
        shown.lines.extend(_lines(rows))
        shown.sentences.append(_counting_sentence(rows))
    if "conventions.csv" in tables:
        shown.sentences.append(_conventions_sentence(tables["conventions.csv"]))
    if "timings.csv" in tables:
        shown.sentences.extend(_timing_sentences(tables["timings.csv"]))
    return shown


def _lines(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    return [
        (
            row.model,
            method_label(row.method),
            f"{row.kept_tokens} of {row.image_tokens}",
            formatting.number(row.flops / 1e12, 2),
            f"{formatting.number(row.flops_saved_percent, 1)} %",
            formatting.number(row.cache_bytes / 1e6, 0),
            f"{formatting.number(row.cache_saved_percent, 1)} %",
        )
        for row in rows.itertuples()
    ]


def _counting_sentence(rows: pd.DataFrame) -> str:
    by_count = rows[rows["method"] == "baseline"].groupby("other_tokens", sort=False)["model"].unique()
    texts = [f"{count} for {formatting.listed(list(models))}" for count, models in by_count.items()]
    return (
        f"Counted exactly, not measured: a prompt of one image and some tokens of text ({'; '.join(texts)}), batch 1, "
        f"16 bits; {100 * (1 - KEEP):g} % pruned, VTW all image tokens. The vision tower and the projector are "
        "counted; weights are not cache. Numbers: results/cost.csv."
    )


def _conventions_sentence(rows: pd.DataFrame) -> str:
    """Which way of counting gives the captions' percentages."""
    way, models = ["layer", "attention", "scope", "mlp"], rows["model"].nunique()
    # A prompt's length was tried in two sizes: a model counts once.
    agreeing = rows[rows["agrees"] == "yes"].groupby(way)["model"].nunique()
    if agreeing.empty:
        count = rows.groupby(way).ngroups
        return f"None of {count} ways of counting gives the captions’ percentages of FLOPs saved."
    best = agreeing[agreeing == agreeing.max()]
    ways = dict.fromkeys(
        f"{_LAYER.get(layer, f'pruned before layer {layer}')}, {_ATTENTION[attention]}, {_SCOPE[scope]}"
        for layer, attention, scope, _ in best.index
    )
    return (
        f"The captions’ 81, 87 and 88 % come out, for {agreeing.max()} of {models} models at once, only if one counts "
        f"like this: {'; or '.join(ways)}. That is little else than the share of the prompt’s tokens that is dropped; "
        "the exact count is the table’s. Every way: results/conventions.csv."
    )


def _timing_sentences(rows: pd.DataFrame) -> list[str]:
    """End-to-end speed-ups of the miniature on this machine, by batch."""
    sentences = []
    for batch, of_batch in rows[rows["quantity"] == "speedup_end_to_end"].groupby("batch"):
        speedups = []
        for row in of_batch.itertuples():
            if row.method.endswith("_loop"):
                continue
            estimate = formatting.estimate(row.median, row.quartile_low, row.quartile_high, digits=2, bound=1)
            speedups.append(f"{method_label(row.method)} {estimate}")
        first = of_batch.iloc[0]
        sentences.append(
            f"{first['model']} on this machine, batch {batch}: speed-up from image to answer over the unpruned model, "
            f"{formatting.listed(speedups)} (median and quartiles of the ratios of {first['rounds']} rounds; above 1 "
            "pruning is faster, below 1 slower; results/timings.csv)."
        )
    return sentences
