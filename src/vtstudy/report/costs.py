"""Table 3's counterpart: exact costs on the papers' models, how FLOPs can have been counted, this machine's times."""

from dataclasses import dataclass, field

import pandas as pd

from vtstudy.report import fmt
from vtstudy.report.labels import method_label
from vtstudy.report.results import Inputs

KEEP = 0.1  # of the captions and of Table 3
_LAYER = {"0": "pruned before the first layer"}
_ATTENTION = {
    "none": "no FLOPs of attention itself",
    "whole": "attention counted whole",
    "causal": "causal attention counted half",
}
_SCOPE = {"image": "the image tokens alone", "prompt": "the whole prompt", "model": "the vision tower too"}


@dataclass(frozen=True)
class Costs:
    """What there is to show: empty where the stages ``cost`` and ``timings`` were not run."""

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


def costs(inputs: Inputs) -> Costs:
    """The tables cost.csv, conventions.csv and timings.csv, as far as they are there."""
    found = Costs()
    if (rows := inputs.tables.get("cost.csv")) is not None:
        rows = _numbers(rows, "keep", "flops", "flops_saved_percent", "cache_bytes", "cache_saved_percent")
        rows = rows[rows["keep"].isna() | rows["keep"].isin([1.0, KEEP])]
        found.lines.extend(_line(row) for row in rows.itertuples())
        others = rows[rows["method"] == "baseline"].groupby("other_tokens", sort=False)["model"].unique()
        texts = [f"{count} for {fmt.names(list(models))}" for count, models in others.items()]
        found.sentences.append(
            f"Counted exactly, not measured: a prompt of one image and some tokens of text ({'; '.join(texts)}), batch 1, 16 bits; "
            f"{100 * (1 - KEEP):g} % pruned, VTW all image tokens. The vision tower and the projector are counted; weights are not cache. Numbers: results/cost.csv."
        )
    if (rows := inputs.tables.get("conventions.csv")) is not None:
        found.sentences.append(_conventions(rows))
    if (rows := inputs.tables.get("timings.csv")) is not None:
        found.sentences.extend(_times(rows))
    return found


def _numbers(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table, read as text, with numbers in those columns."""
    return rows.assign(**{column: pd.to_numeric(rows[column]) for column in columns})


def _line(row) -> tuple[str, ...]:
    return (
        row.model,
        method_label(row.method),
        f"{row.kept_tokens} of {row.image_tokens}",
        fmt.number(row.flops / 1e12, 2),
        f"{fmt.number(row.flops_saved_percent, 1)} %",
        fmt.number(row.cache_bytes / 1e6, 0),
        f"{fmt.number(row.cache_saved_percent, 1)} %",
    )


def _conventions(rows: pd.DataFrame) -> str:
    """Which way of counting gives the captions' percentages."""
    way, models = ["layer", "attention", "scope", "mlp"], rows["model"].nunique()
    # A prompt's length was tried in two sizes: a model counts once.
    each = rows[rows["agrees"] == "yes"].groupby(way)["model"].nunique()
    if each.empty:
        return f"None of {rows.groupby(way).ngroups} ways of counting gives the captions’ percentages of FLOPs saved."
    best = each[each == each.max()]
    ways = dict.fromkeys(
        f"{_LAYER.get(layer, f'pruned before layer {layer}')}, {_ATTENTION[attention]}, {_SCOPE[scope]}"
        for layer, attention, scope, _ in best.index
    )
    return (
        f"The captions’ 81, 87 and 88 % come out, for {each.max()} of {models} models at once, only if one counts like this: "
        f"{'; or '.join(ways)}. That is little else than the share of the prompt’s tokens that is dropped; the exact count is the table’s. Every way: "
        "results/conventions.csv."
    )


def _times(rows: pd.DataFrame) -> list[str]:
    """End-to-end speed-ups of the miniature on this machine, by batch."""
    rows = _numbers(rows, "batch", "median", "quartile_low", "quartile_high")
    whole = rows[rows["quantity"] == "speedup_end_to_end"]
    told = []
    for batch, here in whole.groupby("batch"):
        each = [
            f"{method_label(r.method)} {fmt.estimate(r.median, r.quartile_low, r.quartile_high, digits=2, bound=1)}"
            for r in here.itertuples()
            if not r.method.endswith("_loop")
        ]
        told.append(
            f"{here['model'].iloc[0]} on this machine, batch {batch}: speed-up from image to answer over the unpruned model, {fmt.names(each)} "
            f"(median and quartiles of the ratios of {here['rounds'].iloc[0]} rounds; above 1 pruning is faster, below 1 slower; results/timings.csv)."
        )
    return told
