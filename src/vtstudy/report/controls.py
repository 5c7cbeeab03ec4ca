"""What must be true before a claim can be tested, computed from the results: a small function for each control.

A control that is not met makes the claims that name it (`controls` in claims.yaml) "cannot be tested here" on a
stand-in. To add one, write a function and put it into `CONTROLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report import formatting
from vtstudy.report.floors import LEAST, MOST, floor_of, scale_of
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label
from vtstudy.report.results import HIGHER, OPEN, Measurement
from vtstudy.report.table_links import KEY_MODEL, MAIN_TABLES
from vtstudy.results_table import MEAN

HALF = 0.5
FASTV_AT_HALF, RANDOM_AT_HALF, WITHDRAWAL = 95.0, 90.0, 80.0
"""Thresholds in percent of the unpruned score, and ours: FastV's authors report no loss at half the tokens."""
SHARED_BIAS = 0.5
"""Maps of two benchmarks are at least so many times as alike as two halves of one benchmark's questions."""
READING = ("textvqa", "chartqa", "docvqa")
"""On these benchmarks, an answer is written in the image."""
AT_SEVERAL = ("methods", "figure5")
"""The experiments with several budgets; the first that was run counts."""


class State(StrEnum):
    """Whether a control is met."""

    MET = "met"
    NOT_MET = "not met"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Control:
    """What must be true before some claims can be tested.

    Attributes:
        id: its name in claims.yaml.
        title: what must be true.
        state: whether it is.
        figure: the numbers behind it, as text.
        follows: what follows from the state.
    """

    id: str
    title: str
    state: State
    figure: str
    follows: str

    @property
    def is_failed(self) -> bool:
        return self.state == State.NOT_MET


def controls(inputs: Inputs) -> list[Control]:
    """All controls, on the model that most tables are of."""
    ours = inputs.results.model_for(KEY_MODEL)
    return [control(inputs, ours) for control in CONTROLS]


def _made(
    id_: str,
    title: str,
    met: bool | None,
    figure: str,
    if_met: str,
    if_not: str,
    unmeasured: str = "Nothing is concluded.",
) -> Control:
    state = State.NOT_MEASURED if met is None else State.MET if met else State.NOT_MET
    return Control(id_, title, state, figure, {State.MET: if_met, State.NOT_MET: if_not}.get(state, unmeasured))


def _mean(inputs: Inputs, ours: str | None, method: str, keep: float) -> Measurement | None:
    """A method's mean percent of the unpruned score, from the first experiment that has several budgets."""
    if ours is None:
        return None
    found = (inputs.results.score(name, ours, method, MEAN, keep) for name in AT_SEVERAL)
    return next((score for score in found if score), None)


def _percent(score: Measurement | None) -> str:
    return f"{score.text()} % of the unpruned score" if score else formatting.NONE


def _at_half(
    inputs: Inputs, ours: str | None, method: str, least: float, title: str, if_met: str, if_not: str
) -> Control:
    """Whether a method keeps so many percent of the unpruned score with half of the tokens."""
    score = _mean(inputs, ours, method, HALF)
    met = score.value >= least if score else None
    return _made(f"{method}-at-half", title, met, _percent(score), if_met, if_not)


def fastv_at_half(inputs: Inputs, ours: str | None) -> Control:
    """FastV's authors prune half the tokens without harm: a model on which that costs much is of another kind."""
    return _at_half(
        inputs,
        ours,
        "fastv",
        FASTV_AT_HALF,
        f"FastV keeps at least {FASTV_AT_HALF:g} % of the score with half of the tokens",
        "How much is lost at other budgets may be compared.",
        "How much is lost does not carry over: claims about losses cannot be tested.",
    )


def random_at_half(inputs: Inputs, ours: str | None) -> Control:
    """Half of the tokens, chosen at random, still cover every object of a photograph."""
    return _at_half(
        inputs,
        ours,
        "random",
        RANDOM_AT_HALF,
        f"Random selection keeps at least {RANDOM_AT_HALF:g} % with half of the tokens",
        "The image tokens are redundant, as the papers assume.",
        "The image tokens are less redundant than a photograph’s: ratios do not carry over.",
    )


def _main_experiment(inputs: Inputs, ours: str | None) -> str | None:
    run = inputs.results.experiments_of(ours) if ours else []
    return next((name for name in MAIN_TABLES if name in run), None)


def blank_image(inputs: Inputs, ours: str | None) -> Control:
    """Without the image, answers fall to chance, or the model does not look."""
    experiment = _main_experiment(inputs, ours)
    above, seen = [], 0
    for benchmark in ADAPTPRUNE if ours and experiment else ():
        unpruned = inputs.results.score(experiment, ours, "baseline", benchmark)
        blind = inputs.results.score(experiment, ours, "blind", benchmark)
        if unpruned and blind:
            seen += 1
            if unpruned.low <= floor_of(inputs.results, experiment, ours, benchmark):
                above.append(benchmark_label(benchmark))
    figure = f"{seen - len(above)} of {formatting.counted(seen, 'benchmark')}" if seen else formatting.NONE
    return _made(
        "blank-image",
        "The unpruned model is clearly above a blank image and chance",
        not above if seen else None,
        figure + (f"; not {formatting.listed(above)}" if above else ""),
        "The model looks at the image.",
        "Comparisons on the benchmarks named cannot be tested.",
    )


def on_scale(inputs: Inputs, ours: str | None) -> Control:
    """A saturated benchmark cannot show a loss, and one at its floor cannot show anything."""
    experiment = _main_experiment(inputs, ours)
    outside, seen, without = [], 0, []
    for benchmark in ADAPTPRUNE if ours and experiment else ():
        unpruned = inputs.results.score(experiment, ours, "baseline", benchmark)
        if not unpruned:
            continue
        scale = scale_of(benchmark, unpruned.metric)
        if scale is None:
            without.append(benchmark_label(benchmark))
            continue
        seen += 1
        share = unpruned.value / scale
        if not LEAST <= share <= MOST:
            outside.append(f"{benchmark_label(benchmark)} {100 * share:.0f} %")
    figure = f"{seen - len(outside)} of {seen}" if seen else formatting.NONE
    if outside:
        figure += f"; not {formatting.listed(outside)}"
    if without:
        figure += f" (CIDEr has no end of scale: {formatting.listed(without)})"
    return _made(
        "on-scale",
        f"Unpruned scores lie between {100 * LEAST:g} and {100 * MOST:g} % of the scale",
        not outside if seen else None,
        figure,
        "Losses and gains can both show.",
        "There, no method can be seen to gain on the unpruned model. Two pruned scores can still be compared.",
    )


def withdrawal(inputs: Inputs, ours: str | None) -> Control:
    """If the image may be withdrawn early, whatever is pruned later does not matter."""
    experiment = _main_experiment(inputs, ours)
    score = inputs.results.score(experiment, ours, "vtw", MEAN) if ours and experiment else None
    kept = []
    for benchmark in ADAPTPRUNE if score else ():
        vtw = inputs.results.score(experiment, ours, "vtw", benchmark)
        unpruned = inputs.results.score(experiment, ours, "baseline", benchmark)
        if vtw and unpruned and unpruned.value and 100 * vtw.value / unpruned.value >= FASTV_AT_HALF:
            kept.append(f"{benchmark_label(benchmark)} {100 * vtw.value / unpruned.value:.1f} %")
    figure = _percent(score)
    if kept:
        figure += f"; but {formatting.listed(kept)}"
    return _made(
        "withdrawal-costs",
        f"Withdrawing the image after layer K (VTW) leaves less than {WITHDRAWAL:g} %",
        score.high < WITHDRAWAL if score else None,
        figure,
        "Layers from K on need image tokens"
        + (", except on the benchmarks named, where pruning after K costs little." if kept else "."),
        "Layers from K on hardly need image tokens, so that any choice of them would do.",
    )


def positional_bias(inputs: Inputs, ours: str | None) -> Control:
    """AdaptPrune's correction is for a positional bias; without one there is nothing to correct."""
    alike = inputs.results.score("figure2", ours, "benchmarks alike", MEAN) if ours else None
    halves = inputs.results.measurements("figure2", ours, "halves alike") if ours else []
    if not alike or not halves:
        met, figure = None, formatting.NONE if not alike else f"r = {alike.text(2)}"
    else:
        limit = sum(half.value for half in halves) / len(halves)
        met = alike.value >= SHARED_BIAS * limit
        figure = f"r = {alike.text(2)} between benchmarks, {formatting.number(limit, 2)} between halves of one"
    return _made(
        "positional-bias",
        "Attention maps of different benchmarks share a pattern",
        met,
        figure,
        "There is a bias that a correction may correct.",
        "There is no shared bias here, so that its correction cannot be tested.",
    )


def scoring_layer(inputs: Inputs, ours: str | None) -> Control:
    """A written answer lies on a few tokens, which a layer that looks at what is asked finds more often than chance.

    Scores from another layer rank tokens by something else.
    """
    experiment = _main_experiment(inputs, ours)
    leads = [
        lead
        for benchmark in (READING if ours and experiment else ())
        if (lead := inputs.results.difference(experiment, ours, "fastv - random", benchmark)) and lead.has_interval
    ]
    return _made(
        "scoring-layer",
        "Where text must be read, FastV beats random selection: the layer that gives the scores looks at what is asked",
        all(lead.side == HIGHER for lead in leads) if leads else None,
        formatting.listed([f"{benchmark_label(lead.benchmark)} {lead.text(sign=True)}" for lead in leads])
        or formatting.NONE,
        "Attention says which tokens the question needs.",
        "Attention does not say which tokens the question needs: methods that rank by it are at a disadvantage.",
    )


def second_seed(inputs: Inputs, ours: str | None) -> Control:
    """Another training of the same stand-in must agree on which method is ahead."""
    run = {ours} if ours else set()
    for entry in (inputs.settings.get("models") or {}).values():
        name = str(entry.get("checkpoint", "")).rpartition("/")[2]
        if entry.get("paper") == KEY_MODEL and name in inputs.results.models:
            run.add(name)
    leads = {}
    for name in sorted(run):
        lead = inputs.results.difference("table1", name, "adaptprune - fastv", MEAN)
        if lead:
            leads[name] = lead
    sides = {lead.side for lead in leads.values()}
    several = len(leads) > 1
    known = all(lead.has_interval for lead in leads.values())
    return _made(
        "second-seed",
        "Another seed of the model agrees on AdaptPrune against FastV",
        len(sides) == 1 and OPEN not in sides if several and known else None,
        formatting.listed([f"{lead.text(sign=True)}" for lead in leads.values()]) if several else formatting.NONE,
        "The direction does not depend on the seed.",
        "The direction depends on the seed: no direction carries over.",
        "No interval says whether the seeds agree." if several else "No second seed was trained.",
    )


CONTROLS: tuple[Callable[[Inputs, str | None], Control], ...] = (
    fastv_at_half,
    random_at_half,
    blank_image,
    on_scale,
    withdrawal,
    positional_bias,
    scoring_layer,
    second_seed,
)
"""In the order of the page."""
