"""The sentences of the report. Each is made from the numbers, whatever their sign."""

from __future__ import annotations

from collections import Counter

from . import fmt
from .cells import DIFFERS, REPRODUCED, Cell
from .claims import NOT_RUN, ClaimResult
from .differences import HIGHER, LOWER, OPEN, Comparison
from .inputs import Inputs
from .relations import BENCHMARKS, IN_SENTENCES, MODELS, benchmark_label, method_label


def what_was_run(inputs: Inputs) -> list[str]:
    """Which models, how many questions, and whether absolute scores may be compared."""
    results, sentences = inputs.results, []
    for model in results.models:
        benchmarks = [b for b in BENCHMARKS.values()
                      if any(b in results.benchmarks(e, model) for e in results.experiments)]
        asked: dict[str, int] = {}
        for m in results.measures:  # an experiment may ask only some of a benchmark's questions
            if m.model == model and m.method == "baseline" and m.benchmark in benchmarks and m.n:
                asked[m.benchmark] = max(m.n, asked.get(m.benchmark, 0))
        questions = f" with {sum(asked.values()):,} questions" if asked else ""
        sentences.append(f"The {inputs.profile} profile ran {model} on {fmt.counted(len(benchmarks), 'benchmark')}"
                         f"{questions}.")
    if inputs.profile == "miniature":
        sentences.append("The miniature is not the paper's model: the claims are judged on it, the absolute scores "
                         "only stand beside the paper's.")
    absent = [paper for paper in MODELS if inputs.results.model_for(paper) is None]
    if absent:
        sentences.append(f"Of the paper's {len(MODELS)} models nothing was run for {fmt.names(absent)}.")
    if inputs.provenance.get("dirty"):
        sentences.append("The working tree had uncommitted changes when it ran.")
    return sentences


def claim_counts(claims: list[ClaimResult]) -> dict[str, int]:
    found = Counter(c.verdict for c in claims)
    return {verdict: found[verdict] for verdict in (REPRODUCED, DIFFERS, "undecided", "not run")}


def claims_sentence(claims: list[ClaimResult]) -> str:
    counts = claim_counts(claims)
    parts = [f"{counts[REPRODUCED]} reproduced", f"{counts[DIFFERS]} {'differs' if counts[DIFFERS] == 1 else 'differ'}",
             f"{counts['undecided']} {'is' if counts['undecided'] == 1 else 'are'} undecided",
             f"{counts['not run']} {'was' if counts['not run'] == 1 else 'were'} not run"]
    failing = sum(c.paper == "fails" for c in claims)
    own = ""
    if failing:
        own = f" {fmt.counted(failing, 'claim')} {'fails' if failing == 1 else 'fail'} in the paper's own tables."
    return f"Of {fmt.counted(len(claims), 'claim')}, {fmt.names(parts)}.{own}"


def why_not_run(claims: list[ClaimResult]) -> list[str]:
    """What the claims that were not run wait for, in one sentence; none if all were run."""
    whys = Counter(why for c in claims if c.verdict == NOT_RUN for why in dict.fromkeys(i.why for i in c.items if i.why))
    return [f"Claims not run wait for this: {'; '.join(f'{why} ({n})' for why, n in whys.most_common())}."] if whys else []


def cells_sentence(cells: list[Cell]) -> str:
    counts = Counter(c.verdict for c in cells)
    beside = sum(c.ours is not None for c in cells)
    if not counts[REPRODUCED] + counts[DIFFERS]:
        return (f"None of the {len(cells)} printed cells is judged; {beside} of them have a measurement of ours "
                "beside them.")
    return (f"Of the {len(cells)} printed cells, {counts[REPRODUCED]} are reproduced within the declared tolerance, "
            f"{counts[DIFFERS]} differ and {counts['not run']} were not run.")


def comparison_sentence(found: Comparison | None, interval: float, pair: tuple[str, str] = ("", "")) -> str:
    """Who is ahead of whom, on average and by benchmark. ``pair`` names what was looked for and not found."""
    if found is None:
        a, b = (IN_SENTENCES.get(method_label(name), method_label(name)) for name in pair)
        return f"{a} and {b} were not compared in this run."
    a, b = (IN_SENTENCES.get(name, name) for name in found.names)
    parts = []
    if found.mean:
        value, sign = found.mean.measure.value, found.mean.sign
        if sign == OPEN:
            lead = f"{a} and {b} cannot be told apart on average"
        else:
            lead = f"{a} is {'better' if sign == HIGHER else 'worse'} than {b} on average"
        between = fmt.interval(found.mean.measure.low, found.mean.measure.high, sign=True)
        between = f", {interval:g} % interval {between}" if between else ""
        parts.append(f"{lead[0].upper()}{lead[1:]}: {fmt.signed(value)} percentage points of the unpruned "
                     f"score{between}.")
    if found.items:
        total = len(found.items)
        if total == 1:
            parts.append(f"On {benchmark_label(found.items[0].benchmark)} it is {found.items[0].text}.")
        else:
            parts.append(f"Of {total} benchmarks, {a} is higher on {found.count(HIGHER)} and lower on "
                         f"{found.count(LOWER)}; on {found.count(OPEN)} the interval includes zero.")
    return " ".join(parts)


def random_rank_sentence(inputs: Inputs, experiment: str, model: str) -> str:
    """Where random selection stands among the methods, by mean percent of the unpruned score."""
    means = {m: inputs.results.cell(experiment, model, m, "mean")
             for m in inputs.results.methods(experiment, model) if m not in ("baseline", "blind", "chance")}
    means = {m: v.value for m, v in means.items() if v}
    if "random" not in means or len(means) < 2:
        return ""
    order = sorted(means, key=means.get, reverse=True)
    listed = fmt.names([f"{method_label(m)} {fmt.number(means[m])} %" for m in order])
    rank = order.index("random")
    place = "the best" if rank == 0 else "the worst" if rank == len(order) - 1 else f"number {rank + 1}"
    return f"Mean share of the unpruned score: {listed}. Random selection is {place} of {len(order)}."


def sanity_sentence(rows: list[dict]) -> str:
    """Whether the unpruned model beats its blind baseline and chance, benchmark by benchmark."""
    several = len({r["model"] for r in rows}) > 1
    failing = [r["benchmark"] + (f" ({r['model']})" if several else "") for r in rows if not r["clear"]]
    if not rows:
        return "The unpruned model was not run."
    if not failing:
        return (f"On all {len(rows)} benchmarks the unpruned model's interval lies above the blank image's and above "
                "chance, where they were measured.")
    return (f"On {fmt.names(failing)} the unpruned model is not clearly above the blank image or chance: there, no "
            "conclusion about pruning should be drawn.")


def not_judged_sentence(cells: list[Cell]) -> str:
    reasons = Counter(c.reason for c in cells if c.verdict == "not run")
    return "; ".join(f"{count} not run ({reason})" for reason, count in reasons.most_common())
