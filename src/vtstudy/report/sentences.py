"""The sentences of the report. Each is made from the numbers, whatever their sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report import formatting
from vtstudy.report.differences import Comparison
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import READINGS, benchmark_label, in_sentence, method_label
from vtstudy.report.results import HIGHER, LOWER, OPEN, Results
from vtstudy.report.sanity import SanityRow
from vtstudy.report.table_links import TableLink
from vtstudy.report.verdicts.claims import DIFFERS, NOT_RUN, REPRODUCED, UNDECIDED, ClaimResult
from vtstudy.report.verdicts.printed_values import AS_RATIO, PrintedValue
from vtstudy.results_table import MEAN, UNPRUNED

_SHORT = 12
"""So many digits of a revision are shown."""


def what_was_run(inputs: Inputs) -> list[str]:
    """Which models were run on how many questions, and whether absolute scores may be compared."""
    results, runs = inputs.results, []
    models = {results.model_for(paper): model for paper, model in inputs.models.items()}
    for name in results.models:
        counts = question_counts(results, name)
        total = sum(counts.values())
        details = [formatting.counted(len(counts), "benchmark"), f"{total:,} questions" if total else ""]
        run, model = name, models.get(name)
        if model and model.paper != name:
            run += f" for {model.paper}"
        if model and model.revision:
            details.insert(0, f"revision {model.revision[:_SHORT]}")
        runs.append(f"{run} ({', '.join(detail for detail in details if detail)})")
    sentences = [f"The {inputs.profile} profile ran {formatting.listed(runs)}."]
    others = [model for model in inputs.run_models() if not model.is_papers]
    if any(model.is_miniature for model in others):
        sentences.append(
            "A miniature, small and trained by us, is not the paper's model, and its pictures are rendered: the "
            "paper's claims are judged on it, the absolute scores only stand beside the paper's."
        )
    elif others:
        listed = formatting.listed([f"{model.name or model.checkpoint} for {model.paper}" for model in others])
        sentences.append(
            f"Not the paper's own checkpoint: {listed}. The paper's claims are judged there, too, but the absolute "
            "scores only stand beside the paper's."
        )
    sentences += [_limits_sentence(inputs), *left_out_sentences(inputs)]
    papers = list(dict.fromkeys(inputs.published["model"]))
    absent = [paper for paper in papers if results.model_for(paper) is None]
    if absent:
        sentences.append(f"Of the paper's {len(papers)} models nothing was run for {formatting.listed(absent)}.")
    if inputs.provenance.get("dirty"):
        sentences.append("The working tree had uncommitted changes when it ran.")
    return [sentence for sentence in sentences if sentence]


def _limits_sentence(inputs: Inputs) -> str:
    """That scores of the paper's own checkpoints are of a part of the questions; "" where they are of all."""
    limit = (inputs.settings.get("evaluation") or {}).get("limit")
    if limit is None or not any(model.is_papers for model in inputs.run_models()):
        return ""
    numbers = limit if isinstance(limit, dict) else {"default": limit}
    asked = [
        f"{number:,} of {'each other benchmark' if name == 'default' and len(numbers) > 1 else 'each benchmark'}"
        if name == "default"
        else f"{'all' if number is None else format(number, ',')} of {benchmark_label(name)}"
        for name, number in sorted(numbers.items(), key=lambda entry: entry[0] == "default")
        if not (name == "default" and number is None)
    ]
    return (
        f"At most the first questions were asked: {formatting.listed(asked)}. A score of some of the questions is not "
        "the paper's score, and CIDEr even depends on which captions are scored together."
    )


def left_out_sentences(inputs: Inputs) -> list[str]:
    """What was left out, each with its reason."""
    return [f"Left out: {benchmark_label(name)}, because {reason}." for name, reason in inputs.left_out.items()]


def grid_note(miniature: bool, table: int) -> str:
    """What can be tested of AdaptPrune on the InternVL miniatures' small tiles; "" where there is nothing to say.

    Args:
        miniature: whether the table's model is one that this repository trained.
        table: its number.

    The distance decay of equation 1 at four grid cells is exp(-4^2 / (2 * 1.5^2)) = 2.9 %; the decay of similarity is
    at most 1.
    """
    if not miniature or table != 2:
        return ""
    return (
        "A tile of our models has 6 × 6 cells, so a neighbour counts as four cells of the paper's 24 × 24 grid away, "
        "where the radius is five: a kept token lowers its neighbours' scores by at most 2.9 %, and what this table "
        "tests of AdaptPrune is the centre prior."
    )


def question_counts(
    results: Results, model: str, experiments: Sequence[str] = (), benchmarks: Sequence[str] = ADAPTPRUNE
) -> dict[str, int]:
    """By benchmark, how many questions were asked at most (0 if that is not known); MME's two parts together.

    Args:
        results: the measurements.
        model: ours.
        experiments: only of these; empty for all.
        benchmarks: only these.
    """
    counts: dict[str, int] = {}
    for experiment in experiments or results.experiments_of(model):
        for benchmark in benchmarks:
            score = results.score(experiment, model, "baseline", benchmark)
            if score is None:
                continue
            count = score.n or 0
            cognition = results.score(experiment, model, "baseline", f"{benchmark}_cognition")
            if cognition:
                count += cognition.n or 0
            counts[benchmark] = max(counts.get(benchmark, 0), count)
    return counts


def questions_phrase(results: Results, model: str, experiment: str, link: TableLink) -> str:
    """ "n = 150 questions a benchmark", or from how many to how many; "" if it is not known."""
    counts = question_counts(results, model, [experiment], list(link.benchmarks.values())).values()
    known = sorted({count for count in counts if count})
    if not known:
        return ""
    few, many = known[0], known[-1]
    span = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    return f"n = {span} questions a {link.noun}"


def claim_counts(claims: list[ClaimResult]) -> dict[str, int]:
    """How many claims have each verdict."""
    counts = Counter(claim.verdict for claim in claims)
    return {verdict: counts[verdict] for verdict in (REPRODUCED, DIFFERS, UNDECIDED, NOT_RUN)}


def claims_sentence(claims: list[ClaimResult]) -> str:
    counts = claim_counts(claims)
    parts = [
        f"{formatting.agreeing(counts[REPRODUCED], 'is', 'are')} reproduced",
        formatting.agreeing(counts[DIFFERS], "differs", "differ"),
        f"{formatting.agreeing(counts[UNDECIDED], 'is', 'are')} undecided",
        f"{formatting.agreeing(counts[NOT_RUN], 'was', 'were')} not run",
    ]
    sentences = [f"Of {formatting.counted(len(claims), 'claim')}, {formatting.listed(parts)}."]
    read_off = sum(claim.place.startswith(("read off", "suggested by")) for claim in claims)
    if read_off:
        verb = "is" if read_off == 1 else "are"
        sentences.append(
            f"{read_off} of the {len(claims)} {verb} read off or suggested by the paper's tables, not said in it."
        )
    failing = sum(claim.paper == "fails" for claim in claims)
    if failing:
        sentences.append(f"On the paper's own numbers {formatting.agreeing(failing, 'fails', 'fail')}.")
    return " ".join(sentences)


def why_not_run(claims: list[ClaimResult]) -> list[str]:
    """One sentence that says what the claims that were not run wait for; none if all were run."""
    reasons: Counter[str] = Counter()
    for claim in claims:
        if claim.verdict == NOT_RUN:  # each reason once
            reasons.update(list(dict.fromkeys(comparison.why for comparison in claim.comparisons if comparison.why)))
    if not reasons:
        return []
    return [f"Claims not run wait for this: {'; '.join(f'{why} ({n})' for why, n in reasons.most_common())}."]


def printed_values_sentence(values: list[PrintedValue]) -> str:
    """How many printed values have each verdict."""
    counts = Counter(value.verdict for value in values)
    if not counts[REPRODUCED] + counts[DIFFERS]:
        beside = sum(value.ours is not None for value in values)
        return (
            f"None of the {len(values)} printed cells is judged, since none of the paper's checkpoints was run; "
            f"{beside} of them have a measurement of ours beside them."
        )
    return (
        f"Of the {len(values)} printed cells, {counts[REPRODUCED]} are reproduced within the declared tolerance, "
        f"{counts[DIFFERS]} differ, {counts[AS_RATIO]} are costs that are compared as ratios, and "
        f"{counts[NOT_RUN]} were not run."
    )


def not_compared_sentence(pair: tuple[str, str]) -> str:
    """That two methods were not compared."""
    a, b = (in_sentence(method_label(name)) for name in pair)
    return f"{a} and {b} were not compared in this run."


def comparison_sentence(comparison: Comparison, interval: float, noun: str = "benchmark", model: str = "") -> str:
    """Which of two methods is ahead, on average and by benchmark.

    Args:
        comparison: the two methods.
        interval: level of the intervals in percent.
        noun: what a benchmark is called here.
        model: ours, if a reader may wonder which.
    """
    sentences = []
    if comparison.mean:
        sentences.append(_mean_sentence(comparison, interval, model))
    if len(comparison.items) == 1:
        item = comparison.items[0]
        sentences.append(f"On {benchmark_label(item.benchmark)} it is {item.text}.")
    elif comparison.items:
        sentences.append(_benchmarks_sentence(comparison, noun))
    return " ".join(sentences)


def _mean_sentence(comparison: Comparison, interval: float, model: str) -> str:
    a, b = (in_sentence(name) for name in comparison.names)
    mean = comparison.mean
    assert mean is not None
    where = f" on average{comparison.at}"
    if model:
        where += f", on {model}"
    if not mean.measurement.has_interval:
        lead = f"how {a} and {b} compare{where} cannot be said without an interval"
    elif mean.sign == OPEN:
        lead = f"{a} and {b} cannot be told apart{where}"
    else:
        lead = f"{a} is {'better' if mean.sign == HIGHER else 'worse'} than {b}{where}"
    between = formatting.interval(mean.measurement.low, mean.measurement.high, True, mean.digits)
    if between:
        between = f", {interval:g} % interval {between}"
    value = formatting.signed(mean.measurement.value, mean.digits)
    return f"{lead[0].upper()}{lead[1:]}: {value} percentage points of the unpruned score{between}."


def _benchmarks_sentence(comparison: Comparison, noun: str) -> str:
    a, b = (in_sentence(name) for name in comparison.names)
    against = "" if comparison.mean else f" than {b}{comparison.at}"
    without = sum(not item.measurement.has_interval for item in comparison.items)
    sentence = (
        f"Of {formatting.counted(len(comparison.items), noun)}, {a} is higher{against} on {comparison.count(HIGHER)} "
        f"and lower on {comparison.count(LOWER)}; on {comparison.count(OPEN) - without} the interval includes zero"
    )
    if without:
        sentence += f"; without an interval: {without}"
    return f"{sentence}."


def elsewhere_sentence(compared: Sequence[tuple[str, Comparison]], sign: str = OPEN) -> str:
    """The mean of the same comparison on other models of ours; "" if there are none.

    Args:
        compared: our models, and their comparisons.
        sign: of the first model. Where all others agree with it, the range of their means says enough.
    """
    means = [(model, comparison.mean) for model, comparison in compared if comparison.mean]
    if not means:
        return ""
    label = compared[0][1].label
    if sign != OPEN and len(means) > 1 and all(mean.sign == sign for _, mean in means):
        values = [mean.measurement.value for _, mean in means]
        side = "above" if sign == HIGHER else "below"
        return (
            f"{label} lies {side} zero on the other {len(means)} models too: {formatting.signed(min(values))} to "
            f"{formatting.signed(max(values))} of the same points."
        )
    listed = formatting.listed([f"{mean.text} on {model}" for model, mean in means])
    return f"{label} on the other models, in the same points: {listed}."


def random_rank_sentence(inputs: Inputs, experiment: str, model: str) -> str:
    """Where random selection stands among the methods, by mean percent of the unpruned score."""
    means = {}
    for method in inputs.results.methods(experiment, model):
        score = inputs.results.score(experiment, model, method, MEAN)
        if score and method not in UNPRUNED:
            means[method] = score.value
    if "random" not in means or len(means) < 2:
        return ""
    # A second reading of a method is listed beside it, and not counted as a method.
    readings = {READINGS[name]: name for name in means if READINGS.get(name) in means}
    order = sorted(means.keys() - readings.values(), key=means.__getitem__, reverse=True)
    shares = []
    for method in order:
        share = f"{method_label(method)} {formatting.number(means[method])} %"
        if method in readings:
            reading = readings[method]
            share += f" ({method_label(reading)} {formatting.number(means[reading])} %)"
        shares.append(share)
    rank = order.index("random")
    if rank == 0:
        place = "the best"
    elif rank == len(order) - 1:
        place = "the worst"
    else:
        place = f"number {rank + 1}"
    of_model = f" on {model}" if len(inputs.results.models) > 1 else ""
    return (
        f"Mean share of the unpruned score{of_model}: {formatting.listed(shares)}. Random selection is {place} of "
        f"these {len(order)} methods."
    )


def sanity_sentence(rows: Sequence[SanityRow], noun: str = "benchmark") -> str:
    """Whether the unpruned model beats its blind baseline and chance, benchmark by benchmark."""
    if not rows:
        return "The unpruned model was not run."
    if all(row.blind == row.chance == formatting.NONE for row in rows):
        return "Neither the blank image nor chance was measured."
    several = len({row.model for row in rows}) > 1
    failing = [f"{row.benchmark} ({row.model})" if several else row.benchmark for row in rows if not row.clear]
    if failing:
        return (
            f"On {formatting.listed(failing)} the unpruned model is not clearly above the blank image or chance: "
            "there, no conclusion about pruning should be drawn."
        )
    models = ", for every model," if several else ""
    return (
        f"On every {noun}{models} the unpruned model's interval lies above the blank image's and above chance, where "
        "they were measured."
    )


def parts_sentence(rows: Sequence[SanityRow]) -> str:
    """Of how many parts of benchmarks the unpruned model has not clearly learnt anything; "" if of none."""
    failing = sum(not row.clear for row in rows)
    if not failing:
        return ""
    return (
        f"Of the {len(rows)} parts into which Tables 6 to 8 split MMBench and MME, {failing} are not clearly above "
        "these floors; their sections name them."
    )


def not_judged_sentence(values: list[PrintedValue]) -> str:
    """Why printed values have no verdict, with how many for each reason."""
    reasons = Counter(value.reason for value in values if value.verdict == NOT_RUN)
    return "; ".join(f"{count} not run ({reason})" for reason, count in reasons.most_common())
