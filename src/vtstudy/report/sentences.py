"""The sentences of the report. Each is made from the numbers, whatever their sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report import formatting
from vtstudy.report.differences import Comparison
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, in_sentence
from vtstudy.report.results import HIGHER, LOWER, OPEN, Results
from vtstudy.report.sanity import SanityRow
from vtstudy.report.table_links import TableLink
from vtstudy.report.verdicts.printed_values import AS_RATIO, DIFFERS, NOT_RUN, REPRODUCED, PrintedValue

_SHORT = 12
"""So many digits of a revision are shown."""


def what_was_run(inputs: Inputs) -> list[str]:
    """Which models were run on how many questions, and what was not run."""
    results, runs = inputs.results, []
    models = {results.model_for(paper): model for paper, model in inputs.models.items()}
    for name in results.models:
        counts = question_counts(results, name)
        total = sum(counts.values())
        details = [formatting.counted(len(counts), "benchmark"), f"{total:,} questions" if total else ""]
        run, model = name, models.get(name)
        if model and model.paper != name:
            run += f" ({model.title})"
        if model and model.revision:
            details.insert(0, f"revision {model.revision[:_SHORT]}")
        runs.append(f"{run}: {', '.join(detail for detail in details if detail)}")
    sentences = [*runs, _limits_sentence(inputs), *left_out_sentences(inputs)]
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
    counts = (comparison.count(HIGHER), comparison.count(LOWER), comparison.count(OPEN) - without)
    higher, lower, unclear = map(formatting.how_many, counts)
    sentence = (
        f"Of {formatting.counted(len(comparison.items), noun)}, {a} is higher{against} on {higher} and lower on "
        f"{lower}; on {unclear} the interval includes zero"
    )
    if without:
        sentence += f"; without an interval: {without}"
    return f"{sentence}."


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


def not_judged_sentence(values: list[PrintedValue]) -> str:
    """Why printed values have no verdict, with how many for each reason."""
    reasons = Counter(value.reason for value in values if value.verdict == NOT_RUN)
    return "; ".join(f"{count} not run ({reason})" for reason, count in reasons.most_common())
