"""The sentences of the report. Each is made from the numbers, whatever their sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report import fmt
from vtstudy.report.claims import NOT_RUN, ClaimResult
from vtstudy.report.differences import HIGHER, LOWER, OPEN, Comparison
from vtstudy.report.labels import (
    IN_SENTENCES,
    MODELS,
    READINGS,
    Link,
    benchmark_label,
    method_label,
)
from vtstudy.report.printed_values import DIFFERS, REPRODUCED, Cell
from vtstudy.report.results import Inputs, Results


def what_was_run(inputs: Inputs) -> list[str]:
    """Which models, how many questions, and whether absolute scores may be compared."""
    results, ran = inputs.results, []
    papers = {results.model_for(paper): paper for paper in inputs.models}
    for model in results.models:
        counts = questions(results, model)
        of = f" for {papers[model]}" if papers.get(model) not in (None, model) else ""
        asked = f", {sum(counts.values()):,} questions" if any(counts.values()) else ""
        ran.append(f"{model}{of} ({fmt.counted(len(counts), 'benchmark')}{asked})")
    sentences = [f"The {inputs.profile} profile ran {fmt.names(ran)}."]
    if inputs.profile == "miniature":
        sentences.append(
            "A miniature, small and trained by us, is not the paper's model, and its pictures are rendered: the paper's "
            "claims are judged on it, the absolute scores only stand beside the paper's."
        )
    absent = [paper for paper in MODELS if inputs.results.model_for(paper) is None]
    if absent:
        sentences.append(f"Of the paper's {len(MODELS)} models nothing was run for {fmt.names(absent)}.")
    if inputs.provenance.get("dirty"):
        sentences.append("The working tree had uncommitted changes when it ran.")
    return sentences


def grid_note(profile: str, table: int) -> str:
    """What the InternVL miniatures' tiles leave of AdaptPrune; "" for other tables, and for the papers' checkpoints.

    The distance decay of equation 1 at four cells is exp(-4^2 / (2 * 1.5^2)) = 2.9 %; that of similarity is at most 1.
    """
    if profile != "miniature" or table != 2:
        return ""
    return (
        "A tile of our models has 6 × 6 cells, so a neighbour counts as four cells of the paper's 24 × 24 grid away, where the radius "
        "is five: a kept token lowers its neighbours' scores by at most 2.9 %, and what this table tests of AdaptPrune is the centre prior."
    )


def questions(
    results: Results,
    model: str,
    experiments: Sequence[str] = (),
    benchmarks: Sequence[str] = ADAPTPRUNE,
) -> dict[str, int]:
    """By benchmark, how many questions were asked at most (0 if that is not known); MME's count together.

    Args:
        experiments: of these; empty for all.
    """
    found: dict[str, int] = {}
    for name in experiments or results.experiments_of(model):
        for benchmark in benchmarks:
            parts = [results.cell(name, model, "baseline", b) for b in (benchmark, f"{benchmark}_cognition")]
            if parts[0]:
                found[benchmark] = max(found.get(benchmark, 0), sum(p.n or 0 for p in parts if p))
    return found


def asked(results: Results, model: str, experiment: str, link: Link) -> str:
    """ "n = 150 questions a benchmark", or from how many to how many; "" if it is not known."""
    counts = sorted({n for n in questions(results, model, [experiment], list(link.benchmarks.values())).values() if n})
    if not counts:
        return ""
    return f"n = {' to '.join(f'{n:,}' for n in dict.fromkeys((counts[0], counts[-1])))} questions a {link.noun}"


def claim_counts(claims: list[ClaimResult]) -> dict[str, int]:
    found = Counter(c.verdict for c in claims)
    return {verdict: found[verdict] for verdict in (REPRODUCED, DIFFERS, "undecided", "not run")}


def claims_sentence(claims: list[ClaimResult]) -> str:
    counts = claim_counts(claims)
    parts = [
        f"{counts[REPRODUCED]} {'is' if counts[REPRODUCED] == 1 else 'are'} reproduced",
        f"{counts[DIFFERS]} {'differs' if counts[DIFFERS] == 1 else 'differ'}",
        f"{counts['undecided']} {'is' if counts['undecided'] == 1 else 'are'} undecided",
        f"{counts['not run']} {'was' if counts['not run'] == 1 else 'were'} not run",
    ]
    failing, read_off = (
        sum(c.paper == "fails" for c in claims),
        sum(c.place.startswith(("read off", "suggested by")) for c in claims),
    )
    own = (
        f" {read_off} of the {len(claims)} {'is' if read_off == 1 else 'are'} read off or suggested by the paper's tables, not said in it."
        if read_off
        else ""
    )
    own += f" On the paper's own numbers {failing} {'fails' if failing == 1 else 'fail'}." if failing else ""
    return f"Of {fmt.counted(len(claims), 'claim')}, {fmt.names(parts)}.{own}"


def why_not_run(claims: list[ClaimResult]) -> list[str]:
    """What the claims that were not run wait for, in one sentence; none if all were run."""
    whys = Counter(
        why for c in claims if c.verdict == NOT_RUN for why in dict.fromkeys(i.why for i in c.items if i.why)
    )
    return (
        [f"Claims not run wait for this: {'; '.join(f'{why} ({n})' for why, n in whys.most_common())}."] if whys else []
    )


def cells_sentence(cells: list[Cell]) -> str:
    counts = Counter(c.verdict for c in cells)
    beside = sum(c.ours is not None for c in cells)
    if not counts[REPRODUCED] + counts[DIFFERS]:
        return (
            f"None of the {len(cells)} printed cells is judged, since none of the paper's checkpoints was run; {beside} of them have a "
            "measurement of ours beside them."
        )
    return (
        f"Of the {len(cells)} printed cells, {counts[REPRODUCED]} are reproduced within the declared tolerance, "
        f"{counts[DIFFERS]} differ and {counts['not run']} were not run."
    )


def comparison_sentence(
    found: Comparison | None,
    interval: float,
    pair: tuple[str, str] = ("", ""),
    noun: str = "benchmark",
    model: str = "",
) -> str:
    """Who is ahead of whom, on average and by benchmark.

    Args:
        pair: names what was looked for and not found.
        noun: what a benchmark is called here.
        model: ours, where a reader may wonder which.
    """
    if found is None:
        a, b = (IN_SENTENCES.get(method_label(name), method_label(name)) for name in pair)
        return f"{a} and {b} were not compared in this run."
    a, b = (IN_SENTENCES.get(name, name) for name in found.names)
    parts = []
    if found.mean:
        value, sign = found.mean.measure.value, found.mean.sign
        where = f" on average{found.at}{f', on {model}' if model else ''}"
        if not found.mean.measure.has_interval:
            lead = f"how {a} and {b} compare{where} cannot be said without an interval"
        elif sign == OPEN:
            lead = f"{a} and {b} cannot be told apart{where}"
        else:
            lead = f"{a} is {'better' if sign == HIGHER else 'worse'} than {b}{where}"
        digits = found.mean.digits
        between = fmt.interval(found.mean.measure.low, found.mean.measure.high, True, digits)
        between = f", {interval:g} % interval {between}" if between else ""
        parts.append(
            f"{lead[0].upper()}{lead[1:]}: {fmt.signed(value, digits)} percentage points of the unpruned "
            f"score{between}."
        )
    if found.items:
        total = len(found.items)
        if total == 1:
            parts.append(f"On {benchmark_label(found.items[0].benchmark)} it is {found.items[0].text}.")
        else:
            against = "" if found.mean else f" than {b}{found.at}"
            without = sum(not d.measure.has_interval for d in found.items)
            parts.append(
                f"Of {fmt.counted(total, noun)}, {a} is higher{against} on {found.count(HIGHER)} and lower on "
                f"{found.count(LOWER)}; on {found.count(OPEN) - without} the interval includes zero"
                f"{f'; without an interval: {without}' * bool(without)}."
            )
    return " ".join(parts)


def elsewhere_sentence(found: Sequence[tuple[str, Comparison]], sign: str = OPEN) -> str:
    """The mean of the same comparison on other models of ours; "" if there are none.

    Args:
        sign: of the first model. Where all others agree with it, the range of their means says enough.
    """
    means = [(model, c.mean) for model, c in found if c.mean]
    if not means:
        return ""
    if sign != OPEN and len(means) > 1 and all(mean.sign == sign for _, mean in means):
        low, high = (pick(mean.measure.value for _, mean in means) for pick in (min, max))
        side = "above" if sign == HIGHER else "below"
        return (
            f"{found[0][1].label} lies {side} zero on the other {len(means)} models too: {fmt.signed(low)} to {fmt.signed(high)} of the same "
            "points."
        )
    told = [f"{mean.text} on {model}" for model, mean in means]
    return f"{found[0][1].label} on the other models, in the same points: {fmt.names(told)}."


def random_rank_sentence(inputs: Inputs, experiment: str, model: str) -> str:
    """Where random selection stands among the methods, by mean percent of the unpruned score."""
    means = {
        m: inputs.results.cell(experiment, model, m, "mean")
        for m in inputs.results.methods(experiment, model)
        if m not in ("baseline", "blind", "chance")
    }
    means = {m: v.value for m, v in means.items() if v}
    if "random" not in means or len(means) < 2:
        return ""
    again = {READINGS[m]: m for m in means if READINGS.get(m) in means}  # not counted: a reading is no method
    order = sorted(means.keys() - again.values(), key=means.get, reverse=True)
    listed = fmt.names(
        [
            f"{method_label(m)} {fmt.number(means[m])} %"
            + (f" ({method_label(again[m])} {fmt.number(means[again[m]])} %)" if m in again else "")
            for m in order
        ]
    )
    rank = order.index("random")
    place = "the best" if rank == 0 else "the worst" if rank == len(order) - 1 else f"number {rank + 1}"
    of = f" on {model}" if len(inputs.results.models) > 1 else ""
    return f"Mean share of the unpruned score{of}: {listed}. Random selection is {place} of these {len(order)} methods."


def sanity_sentence(rows: list[dict], noun: str = "benchmark") -> str:
    """Whether the unpruned model beats its blind baseline and chance, benchmark by benchmark."""
    several = len({r["model"] for r in rows}) > 1
    failing = [r["benchmark"] + (f" ({r['model']})" if several else "") for r in rows if not r["clear"]]
    if not rows:
        return "The unpruned model was not run."
    if all(r["blind"] == r["chance"] == fmt.NONE for r in rows):
        return "Neither the blank image nor chance was measured."
    if not failing:
        return (
            f"On every {noun}{', for every model,' * several} the unpruned model's interval lies above the blank image's and "
            "above chance, where they were measured."
        )
    return (
        f"On {fmt.names(failing)} the unpruned model is not clearly above the blank image or chance: there, no "
        "conclusion about pruning should be drawn."
    )


def parts_sentence(rows: list[dict]) -> str:
    """How many parts of benchmarks, of those that tables split, the unpruned model has not clearly learnt; "" if none is split."""
    failing = sum(not r["clear"] for r in rows)
    if not failing:
        return ""
    return (
        f"Of the {len(rows)} parts into which Tables 6 to 8 split MMBench and MME, {failing} are not clearly above these floors; "
        "their sections name them."
    )


def not_judged_sentence(cells: list[Cell]) -> str:
    reasons = Counter(c.reason for c in cells if c.verdict == "not run")
    return "; ".join(f"{count} not run ({reason})" for reason, count in reasons.most_common())
