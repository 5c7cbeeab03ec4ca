"""The sentences of E-AdaPrune's part. Each is made from the numbers, whatever their sign."""

from __future__ import annotations

import pandas as pd

from vtstudy.report import formatting
from vtstudy.report.eadaprune.data import SPECTRAL, SpectralData
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label, variant_label
from vtstudy.report.results import HIGHER, LOWER, OPEN, Measurement
from vtstudy.report.table_links import KEY_MODEL
from vtstudy.report.verdicts.correction import clear_sides
from vtstudy.results_table import MEAN

AVERAGE_TOKENS = (
    "“Average tokens” are the image tokens left when the last stage has pruned, of each question asked; their mean "
    "over a benchmark’s questions, and the mean of those over the benchmarks. In the field’s other convention, which "
    "is given beside it, the count is averaged over all decoder layers, those before pruning included. Budgets are "
    "matched in the first convention, on pictures that no benchmark shows."
)


def _mean_gains(data: SpectralData) -> list[tuple[str, float, Measurement]]:
    """Host, budget, and spectral minus fixed on the mean over benchmarks, of every comparison that was run."""
    gains = [(host, keep, data.gain(host, MEAN, keep)) for host in data.hosts for keep in data.keeps]
    return [(host, keep, gain) for host, keep, gain in gains if gain]


def _answer(total: int, better: int, worse: int) -> str:
    if better == total:
        return "Yes"
    if better and worse:
        return "Not in general"
    if better:
        return "Only in part"
    if worse:
        return "No"
    return "No gain can be shown"


def whether_spectral_wins(data: SpectralData) -> str:
    """Whether spectral budgets beat fixed ones at the same average, all comparisons read together."""
    gains = _mean_gains(data)
    if not gains:
        return "Whether spectral budgets beat fixed ones at matched averages was not run."
    sides = clear_sides([gain for _, _, gain in gains], data.inputs.interval / 100)
    places: dict[str, list[tuple[str, float]]] = {HIGHER: [], LOWER: [], "": []}
    for (host, keep, _), side in zip(gains, sides, strict=True):
        places[side].append((host, keep))
    total = len(gains)
    better, worse = places[HIGHER], places[LOWER]
    times, others = formatting.how_many(len(better)), formatting.how_many(len(worse))
    hosts = formatting.listed([method_label(host) for host in data.hosts])
    budgets = formatting.listed([f"{100 * keep:g}" for keep in data.keeps])
    return (
        f"Do spectral budgets beat fixed ones of the same average? {_answer(total, len(better), len(worse))}. On "
        f"{data.inputs.named(KEY_MODEL)} and the mean of the benchmarks, spectral budgets are clearly better in "
        f"{times} of {formatting.counted(total, 'comparison')}{_where(better, total)} and clearly worse in "
        f"{others}{_where(worse, total)} ({hosts} at {budgets} % of the tokens; corrected for the number of "
        "comparisons)."
    )


def _where(places: list[tuple[str, float]], total: int) -> str:
    """ " (FastV at 10 %)"; "" for none or all comparisons."""
    if not places or len(places) == total:
        return ""
    return f" ({formatting.listed([f'{method_label(host)} at {100 * keep:g} %' for host, keep in places])})"


def gains_elsewhere(inputs: Inputs, model: str | None) -> list[str]:
    """What spectral budgets gain on the other models that they were run on, a sentence for each.

    Args:
        inputs: the measurements.
        model: the one that the rest of the part is about.
    """
    sentences = []
    for paper in inputs.models:
        other = inputs.results.model_for(paper)
        data = SpectralData(inputs, other, {})
        gains = [] if other == model else _mean_gains(data)
        if gains:
            sides = clear_sides([gain for _, _, gain in gains], inputs.interval / 100)
            better, worse = (formatting.how_many(sides.count(side)) for side in (HIGHER, LOWER))
            host, keep, gain = max(gains, key=lambda entry: entry[2].value)
            sentences.append(
                f"On {inputs.named(paper)} spectral budgets are clearly better in {better} of "
                f"{formatting.counted(len(gains), 'comparison')} and clearly worse in {worse}; the "
                f"largest gain is {gain.text(sign=True)} percentage points, {method_label(host)} at {100 * keep:g} % "
                "of the tokens."
            )
    return sentences


def largest_gain(data: SpectralData) -> str:
    """The largest difference at a matched average, of either sign; "" without any."""
    gains = _mean_gains(data)
    if not gains:
        return ""
    host, keep, gain = max(gains, key=lambda entry: abs(entry[2].value))
    return (
        f"The largest difference is {gain.text(sign=True)} percentage points of the unpruned score, "
        f"{method_label(host)} at {100 * keep:g} % of the tokens, mean over the benchmarks."
    )


def gains_by_host(data: SpectralData, keep: float) -> list[str]:
    """A sentence for each host, at one budget."""
    sentences = []
    for host in data.hosts:
        mean = data.gain(host, MEAN, keep)
        if not mean:
            continue
        gains = [gain for name in data.benchmarks if (gain := data.gain(host, name, keep))]
        sides = [gain.side for gain in gains]
        higher, lower, unclear = (formatting.how_many(sides.count(side)) for side in (HIGHER, LOWER, OPEN))
        sentences.append(
            f"{method_label(host)}, {100 * keep:g} % kept: spectral {formatting.MINUS} fixed is {mean.text(sign=True)} "
            f"percentage points of the unpruned score. Of {formatting.counted(len(gains), 'benchmark')} it is higher "
            f"on {higher} and lower on {lower}; on {unclear} the interval includes zero."
        )
    if sentences:
        sentences.append(
            "Budgets are matched over all benchmarks together. On one benchmark, spectral budgets may be larger or "
            "smaller than the fixed one, so part of a benchmark’s difference comes from the number of tokens; the "
            "counts are in results/eadaprune/tokens.csv."
        )
    return sentences


def token_ratios(data: SpectralData) -> str:
    """How well the average budgets are matched on the questions that were asked."""
    ratios = [
        data.tokens(host + SPECTRAL, keep)[0] / data.tokens(host, keep)[0] for host in data.hosts for keep in data.keeps
    ]
    if not ratios:
        return ""
    low, high = f"{100 * min(ratios):.0f}", f"{100 * max(ratios):.0f}"
    span = f"{low} %" if low == high else f"{low} to {high} %"
    sentence = f"On the questions asked, spectral budgets leave {span} of the fixed budgets’ tokens"
    if max(ratios) > 1.02:
        sentence += "; a gain of that part could be bought by any method with more tokens"
    return f"{sentence}."


def questions_asked(data: SpectralData) -> str:
    """How many questions each method was asked, and why not all."""
    rows = data.tables["matched"]
    first = rows.iloc[0]
    of_first = (rows["method"] == first["method"]) & (rows["keep"] == first["keep"]) & (rows["benchmark"] != MEAN)
    counts = rows[of_first].set_index("benchmark")["n"].astype(int)
    usual = int(counts.mode().iloc[0])
    others = "".join(f", {n} of {benchmark_label(str(name))}" for name, n in counts.items() if n != usual)
    asked = f"With each method and budget {counts.sum():,} questions were asked"
    if _limit(data) is None:
        return f"{asked}: all questions of each benchmark."
    sentence = (
        f"{asked}: the first {usual} of each benchmark{others}. That limit (experiments.eadaprune.limit, or "
        "evaluation.limit, of the parameters) keeps the whole study within its time; it also keeps the intervals wide."
    )
    if "mme" not in counts:
        sentence += " MME is left out: of so few questions its sum over fourteen sub-tasks would say nothing."
    return sentence


def _limit(data: SpectralData) -> object:
    """The limit of the matched comparison's questions; None for all questions."""
    settings = data.inputs.settings
    section = (settings.get("experiments") or {}).get("eadaprune") or {}
    if "limit" in section:
        return section["limit"]
    model: dict = next((entry for entry in settings["models"].values() if entry["paper"] == KEY_MODEL), {})
    return model["limit"] if "limit" in model else (settings.get("evaluation") or {}).get("limit")


def assumptions(data: SpectralData) -> list[str]:
    """Which assumptions matter, with paired differences from the assumed variant."""
    pairs = data.inputs.results.pairs("sensitivity", data.model) if data.model else []
    changes, over_fixed = {}, []
    for pair in pairs:
        change = data.difference("sensitivity", pair, MEAN)
        name, _, reference = pair.partition(" - ")
        if change and reference.endswith(SPECTRAL):
            changes[name] = change
        elif change:
            over_fixed.append(change)
    if not changes:
        return ["Which assumptions matter was not run."]
    questions = next(iter(changes.values())).n or 0
    caveat = "These intervals are not corrected for the number of comparisons."
    sentences = [f"{_changes_sentence(changes)} {questions:,} questions were asked. {caveat}"]
    lead = f"For comparison, the assumed reading {formatting.MINUS} the fixed budget"
    sentences += [f"{lead}: {change.text(sign=True)} percentage points." for change in over_fixed]
    if "variants" in data.tables:
        sentences.append(_ranks_sentence(data.tables["variants"].iloc[1:]))
    return sentences


def _changes_sentence(changes: dict[str, Measurement]) -> str:
    apart = [
        f"{variant_label(name)} {change.text(sign=True)}" for name, change in changes.items() if change.side != OPEN
    ]
    if apart:
        verb = "differs" if len(apart) == 1 else "differ"
        return (
            f"Of {len(changes)} other readings, each calibrated to the same mean budget, {len(apart)} {verb} from the "
            f"assumed one on the mean over benchmarks: {formatting.listed(apart)} percentage points."
        )
    name, change = max(changes.items(), key=lambda entry: abs(entry[1].value))
    return (
        f"None of the {len(changes)} other readings, each calibrated to the same mean budget, can be told from the "
        f"assumed one by its score; furthest is {variant_label(name)}, {change.text(sign=True)} percentage points."
    )


def _ranks_sentence(rows: pd.DataFrame) -> str:
    """How alike the other readings rank the budgets."""
    least = rows.loc[rows["spearman"].idxmin()]
    span = f"{least['spearman']:.2f} ({variant_label(least['method'])}) and {rows['spearman'].max():.2f}"
    if least["spearman"] > 0.7:
        return (
            "Their budgets are ranked much as the assumed one’s: Spearman’s correlation over the questions is between "
            f"{span}."
        )
    return (
        "The budgets themselves differ: Spearman’s correlation with the assumed one’s, over the questions, is between "
        f"{span}."
    )


def density(data: SpectralData) -> list[str]:
    """How budgets follow what the world put into the images."""
    rows = data.of_assumed("correlation")
    sentences = []
    for target in sorted(rows["target"].unique(), reverse=True):
        of_target = rows[rows["target"] == target]
        over_all = of_target[of_target["benchmark"] == "all"].set_index("measure")["spearman"]
        by_content = of_target[of_target["measure"] == "content"].set_index("benchmark")
        total, single = by_content.loc["all"], by_content.drop("all")["spearman"]
        estimate = formatting.estimate(total["spearman"], total["ci_low"], total["ci_high"], digits=2)
        alone = {name: formatting.signed(over_all[name], 2) for name in ("objects", "characters", "chart_parts")}
        sentences.append(
            f"Budgets matched to {100 * target:g} %: Spearman’s correlation with the image’s content (objects, "
            f"characters and chart parts) is {estimate} over all images; within a benchmark from "
            f"{formatting.number(single.min(), 2)} ({benchmark_label(str(single.idxmin()))}) to "
            f"{formatting.number(single.max(), 2)} ({benchmark_label(str(single.idxmax()))}). Over all images, with "
            f"the number of objects alone {alone['objects']}, of characters {alone['characters']}, of chart parts "
            f"{alone['chart_parts']}."
        )
    return sentences


def density_in_brief(data: SpectralData) -> str:
    """What the budget follows over all images: objects, characters or parts of charts; "" if that is not known."""
    if "correlation" not in data.tables or "calibration" not in data.tables:
        return ""
    rows = data.of_assumed("correlation")
    rows = rows[(rows["benchmark"] == "all") & (rows["target"] == data.target)].set_index("measure")["spearman"]
    named = {"objects": "objects", "characters": "characters", "chart_parts": "parts of charts"}
    if not set(named) <= set(rows.index):
        return ""
    listed = [f"{formatting.signed(rows[measure], 2)} with the number of {name}" for measure, name in named.items()]
    return (
        f"Over all images, budgets matched to {100 * data.target:g} % correlate by {formatting.listed(listed)} "
        "(Spearman)."
    )


def agreement(data: SpectralData) -> str:
    """How often the randomised budget is the exact one."""
    rows = data.of_assumed("agreement")
    rows = rows[rows["benchmark"] == "all"]
    at_first_rank = 100 * (rows["at_first_rank"] / rows["n"])
    furthest = formatting.counted(int(rows["furthest"].max()), "token")
    return (
        f"The randomised budget is the exact one on {rows['percent'].min():.2f} % of the images or more "
        f"({formatting.counted(len(rows), 'budget')}, {int(rows['n'].iloc[0]):,} images each), and never more than "
        f"{furthest} away. The first target rank settles it on {at_first_rank.min():.0f} to {at_first_rank.max():.0f} "
        "% of the images; on the others it is doubled, in the end to all energies."
    )


def latency(data: SpectralData) -> list[str]:
    """CPU times of the routes to a budget, and the times that were recorded on a GPU."""
    rows, sentences = data.tables["latency"], []
    measured = (
        rows[rows["source"] == "measured"]
        .drop_duplicates(["shape", "rank", "route"])
        .set_index(["shape", "rank", "route"])
    )
    for shape in ("576x1024", "576x4096"):
        if (shape, 64, "gram") not in measured.index:
            continue
        gram, randomised, leading = (
            measured.loc[(shape, 64, route)] for route in ("gram", "randomised", "randomised, rank t")
        )
        ratio = randomised["times_gram"]
        times = f"{ratio:.1f} times as long as" if ratio >= 1 else f"{ratio:.2f} of"
        sentences.append(
            f"On this machine’s CPU ({gram['device']}), a {shape.replace('x', ' × ')} matrix: the Gram matrix’s "
            f"eigenvalues take {gram['median_ms']:.1f} ms; the randomised route, run until the budget is certain, "
            f"{randomised['median_ms']:.1f} ms, {times} the Gram route (median of the rounds’ ratios); the first 64 "
            f"randomised energies alone {leading['median_ms']:.1f} ms."
        )
    recorded = rows[(rows["source"] == "recorded") & (rows["route"] == "randomised")]
    if recorded.empty:
        sentences.append("No recorded GPU measurement: the paper’s “at most 8 ms per image” cannot be judged.")
    for _, row in recorded.iterrows():
        sentences.append(
            f"Recorded on {row['device']}, {row['shape'].replace('x', ' × ')}: the randomised route, run until the "
            f"budget is certain, takes {row['median_ms']:.1f} ms ({row['quartile_low_ms']:.1f} to "
            f"{row['quartile_high_ms']:.1f})."
        )
    return sentences
