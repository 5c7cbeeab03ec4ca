"""The sentences of E-AdaPrune's part. Each is made from the numbers, whatever their sign."""

from __future__ import annotations

from vtstudy.report import fmt
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.results import Measure
from vtstudy.report.spectral_data import SPECTRAL, Spectral

AVERAGE = (
    "“Average tokens” are the image tokens left when the last stage has pruned, of each question asked; their mean over a "
    "benchmark’s questions, and the mean of those over the benchmarks. In the field’s other convention, which is given "
    "beside it, the count is averaged over all decoder layers, those before pruning included. Budgets are matched in the "
    "first convention, on pictures that no benchmark shows."
)


def side(measure: Measure) -> str:
    """On which side of zero an interval lies."""
    if not measure.has_interval:
        return "open"
    return "higher" if measure.low > 0 else "lower" if measure.high < 0 else "open"


def _on_average(found: Spectral) -> list[tuple[str, float, Measure]]:
    """Host, budget and spectral minus fixed on the mean over benchmarks, of every comparison that was run."""
    return [(host, keep, m) for host in found.hosts for keep in found.keeps if (m := found.gain(host, "mean", keep))]


def beats(found: Spectral, brief: bool = False) -> str:
    """Whether spectral budgets beat fixed ones at matched averages, said plainly; ``brief`` gives the counts alone."""
    compared = _on_average(found)
    if not compared:
        return "Whether spectral budgets beat fixed ones at matched averages was not run."
    by = {name: [(h, k) for h, k, m in compared if side(m) == name] for name in ("higher", "lower", "open")}
    total, high, low = len(compared), len(by["higher"]), len(by["lower"])
    of = f"{fmt.counted(total, 'comparison')} ({fmt.names([method_label(h) for h in found.hosts])} at {_percents(found.keeps)} of the tokens)"
    if high == total:
        answer = "Yes"
    elif high and low:
        answer = "Not in general"
    elif high:
        answer = "Only in part"
    elif low:
        answer = "No"
    else:
        answer = "No gain can be shown"
    if brief:
        return (
            f"Do spectral budgets beat fixed ones at the same average? {answer}: of {fmt.counted(total, 'comparison')} they are better in "
            f"{high}, worse in {low} and not to be told apart in {len(by['open'])}."
        )
    listed = [
        f"better in {high}" + (f" ({_where(by['higher'])})" if high and high < total else ""),
        f"worse in {low}" + (f" ({_where(by['lower'])})" if low and low < total else ""),
        f"not to be told apart in {len(by['open'])}",
    ]
    return (
        f"Do spectral budgets beat fixed ones at the same average on {found.model}? {answer}: on the mean over benchmarks, of {of}, they are "
        f"{fmt.names(listed)}; the intervals are not corrected for the number of comparisons."
    )


def largest(found: Spectral) -> str:
    """The largest difference at a matched average, of either sign; "" without any."""
    compared = _on_average(found)
    if not compared:
        return ""
    host, keep, m = max(compared, key=lambda entry: abs(entry[2].value))
    return (
        f"The largest difference is {signed(m)} percentage points of the unpruned score, {method_label(host)} at {100 * keep:g} % of "
        "the tokens, mean over the benchmarks."
    )


def gains(found: Spectral, keep: float) -> list[str]:
    """By host, at one budget."""
    told = []
    for host in found.hosts:
        mean = found.gain(host, "mean", keep)
        each = [
            m
            for b in found.inputs.results.benchmarks("eadaprune", found.model)
            if b != "mean" and (m := found.gain(host, b, keep))
        ]
        sides = [side(m) for m in each]
        if mean:
            told.append(
                f"{method_label(host)}, {100 * keep:g} % kept: spectral {fmt.MINUS} fixed is {signed(mean)} percentage points of the "
                f"unpruned score. Of {fmt.counted(len(each), 'benchmark')} it is higher on "
                f"{sides.count('higher')} and lower on {sides.count('lower')}; on {sides.count('open')} the interval includes zero."
            )
    if told:
        told.append(
            "Budgets are matched over all benchmarks together. On a single one a spectral budget is larger or smaller than the fixed "
            "one, by design, so that part of such a difference is that of more or fewer tokens; the counts are in reports/results/eadaprune/tokens.csv."
        )
    return told


def achieved(found: Spectral) -> str:
    """How well the averages are matched on the questions asked."""
    ratios = [
        found.tokens(host + SPECTRAL, keep)[0] / found.tokens(host, keep)[0]
        for host in found.hosts
        for keep in found.keeps
    ]
    if not ratios:
        return ""
    low, high = min(ratios), max(ratios)
    between = (
        f"{100 * low:.0f} %" if round(100 * low) == round(100 * high) else f"{100 * low:.0f} to {100 * high:.0f} %"
    )
    more = "; a gain of that part could be bought by any method with more tokens" if high > 1.02 else ""
    return f"On the questions asked, spectral budgets leave {between} of the fixed budgets’ tokens{more}."


def asked(found: Spectral) -> str:
    """How many questions each cell was asked, and why not all."""
    rows = found.tables["matched"]
    counts = rows[
        (rows["method"] == rows["method"].iloc[0])
        & (rows["keep"] == rows["keep"].iloc[0])
        & (rows["benchmark"] != "mean")
    ]
    counts = counts.set_index("benchmark")["n"].astype(int)
    usual = int(counts.mode().iloc[0])
    others = [f"{n} of {benchmark_label(name)}" for name, n in counts.items() if n != usual]
    left_out = (
        ""
        if "mme" in counts
        else " MME is left out: of so few questions its sum over fourteen sub-tasks would say nothing."
    )
    return (
        f"With each method and budget {counts.sum():,} questions were asked: the first {usual} of each benchmark{''.join(', ' + other for other in others)}. "
        "That limit (figures.eadaprune.limit in params.yaml) keeps the whole study within its time; it also keeps the intervals wide."
        + left_out
    )


def assumptions(found: Spectral) -> list[str]:
    """Which assumptions matter, with paired differences to the assumed variant."""
    results = found.inputs.results
    pairs = [pair for pair in results.pairs("sensitivity", found.model)] if found.model else []
    changes = {pair: results.difference("sensitivity", found.model, pair, "mean") for pair in pairs}
    fixed = [m for pair, m in changes.items() if m and not pair.partition(" - ")[2].endswith(SPECTRAL)]
    changes = {
        pair.partition(" - ")[0]: m for pair, m in changes.items() if m and pair.partition(" - ")[2].endswith(SPECTRAL)
    }
    if not changes:
        return ["Which assumptions matter was not run."]
    apart = {name: m for name, m in changes.items() if side(m) != "open"}
    asked = next(iter(changes.values())).n
    if apart:
        lead = (
            f"Of {len(changes)} other readings, each calibrated to the same mean budget, {len(apart)} "
            f"{'differs' if len(apart) == 1 else 'differ'} from the assumed one on the mean over benchmarks: "
            f"{fmt.names([f'{variant(name)} {signed(m)}' for name, m in apart.items()])} percentage points."
        )
    else:
        name, m = max(changes.items(), key=lambda entry: abs(entry[1].value))
        lead = (
            f"None of the {len(changes)} other readings, each calibrated to the same mean budget, can be told from the assumed one "
            f"by its score; furthest is {variant(name)}, {signed(m)} percentage points."
        )
    told = [f"{lead} {asked:,} questions were asked. These intervals are not corrected for the number of comparisons."]
    told += [
        f"For comparison, the assumed reading {fmt.MINUS} the fixed budget: {signed(m)} percentage points."
        for m in fixed
    ]
    if "variants" in found.tables:
        rows = found.tables["variants"].iloc[1:]
        least = rows.loc[rows["spearman"].idxmin()]
        told.append(
            f"Their budgets are ranked much as the assumed one’s: Spearman’s correlation over the questions is between "
            f"{least['spearman']:.2f} ({variant(least['method'])}) and {rows['spearman'].max():.2f}."
            if least["spearman"] > 0.7
            else f"The budgets themselves differ: Spearman’s correlation with the assumed one’s, over the questions, is between "
            f"{least['spearman']:.2f} ({variant(least['method'])}) and {rows['spearman'].max():.2f}."
        )
    return told


def density(found: Spectral) -> list[str]:
    """Budget against what the world put into the images."""
    rows = found.ours("correlation")
    told = []
    for target in sorted(rows["target"].unique(), reverse=True):
        alone = rows[(rows["target"] == target) & (rows["benchmark"] == "all")].set_index("measure")["spearman"]
        here = rows[(rows["target"] == target) & (rows["measure"] == "content")].set_index("benchmark")
        every, single = here.loc["all"], here.drop("all")["spearman"]
        told.append(
            f"Budgets matched to {100 * target:g} %: Spearman’s correlation with the image’s content (objects, characters and chart "
            f"parts) is {fmt.estimate(every['spearman'], every['ci_low'], every['ci_high'], digits=2)} over all images; within a "
            f"benchmark from {fmt.number(single.min(), 2)} ({benchmark_label(single.idxmin())}) to {fmt.number(single.max(), 2)} "
            f"({benchmark_label(single.idxmax())}). Over all images, with the number of objects alone {fmt.signed(alone['objects'], 2)}, of "
            f"characters {fmt.signed(alone['characters'], 2)}, of chart parts {fmt.signed(alone['chart_parts'], 2)}."
        )
    return told


def agreement(found: Spectral) -> str:
    rows = found.ours("agreement")
    rows = rows[rows["benchmark"] == "all"]
    return (
        f"The randomised budget is the exact one on {rows['percent'].min():.2f} % of the images or more ({fmt.counted(len(rows), 'budget')}, "
        f"{int(rows['n'].iloc[0]):,} images each), and never more than {fmt.counted(int(rows['furthest'].max()), 'token')} away. The first target rank settles "
        f"it on {100 * (rows['at_first_rank'] / rows['n']).min():.0f} to {100 * (rows['at_first_rank'] / rows['n']).max():.0f} % of the images; "
        "on the others it is doubled, in the end to all energies."
    )


def latency(found: Spectral) -> list[str]:
    """CPU times of the routes, and what a GPU's records say."""
    rows, told = found.tables["latency"], []
    here = (
        rows[rows["source"] == "measured"]
        .drop_duplicates(["shape", "rank", "route"])
        .set_index(["shape", "rank", "route"])
    )
    for shape in ("576x1024", "576x4096"):
        if (shape, 64, "gram") in here.index:
            gram, random, leading = (
                here.loc[(shape, 64, route)] for route in ("gram", "randomised", "randomised, rank t")
            )
            slower = random["times_gram"]
            word = f"{slower:.1f} times as long as" if slower >= 1 else f"{slower:.2f} of"
            told.append(
                f"On this machine’s CPU ({gram['device']}), a {shape.replace('x', ' × ')} matrix: the Gram matrix’s eigenvalues take "
                f"{gram['median_ms']:.1f} ms; the randomised route, run until the budget is certain, {random['median_ms']:.1f} ms, {word} "
                f"the Gram route (median of the rounds’ ratios); the first 64 randomised energies alone {leading['median_ms']:.1f} ms."
            )
    recorded = rows[(rows["source"] == "recorded") & (rows["route"] == "randomised")]
    if recorded.empty:
        told.append("No recorded GPU measurement: the paper’s “at most 8 ms per image” cannot be judged.")
    for _, row in recorded.iterrows():
        told.append(
            f"Recorded on {row['device']}, {row['shape'].replace('x', ' × ')}: the randomised route, run until the budget is certain, takes {row['median_ms']:.1f} ms "
            f"({row['quartile_low_ms']:.1f} to {row['quartile_high_ms']:.1f})."
        )
    return told


def variant(name: str) -> str:
    """A row of the sensitivity's without its host."""
    host, _, rest = name.partition(" ")
    return rest or ("projected (assumed)" if host.endswith(SPECTRAL) else f"{method_label(host)}, fixed")


def signed(measure: Measure, digits: int = 1) -> str:
    return fmt.estimate(measure.value, measure.low, measure.high, True, digits)


def _percents(keeps: list[float]) -> str:
    return f"{fmt.names([f'{100 * keep:g}' for keep in keeps])} %"


def _where(cells: list[tuple[str, float]]) -> str:
    return fmt.names([f"{method_label(host)} at {100 * keep:g} %" for host, keep in cells])
