"""What a profile asks before it is run: the questions, the variants and the answers of each experiment."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vtprune.methods import Method, SpectralBudget
from vtprune.methods.spectral_budget import SOURCES
from vtstudy.benchmarks import BENCHMARKS, check_available, limit_of
from vtstudy.config import Config, Limit
from vtstudy.evaluation.availability import unavailable
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.requests import Variant
from vtstudy.experiments.eadaprune import Matching, SpectralSpec, assumptions
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.experiments.settings import FigureSettings
from vtstudy.experiments.spec import VariantSpec
from vtstudy.experiments.spectra import POWERS


@dataclass(frozen=True)
class PlannedRun:
    """One experiment on one model.

    Attributes:
        experiment: the experiment's name.
        model: the model's key.
        checkpoint: the model's checkpoint.
        variants: number of variants, at all keep ratios.
        questions: of all benchmarks together, for one variant.
        new_answers: answers that no earlier experiment of the plan needs.
    """

    experiment: str
    model: str
    checkpoint: str
    variants: int
    questions: int
    new_answers: int


@dataclass(frozen=True)
class Asked:
    """The answers of one variant to one benchmark, of all experiments together.

    Attributes:
        model: the model's key.
        benchmark: the benchmark's key; of several with the same answers (POPE's accuracy and F1), the first.
        variant: the variant.
        cost_as: the method with a fixed budget that costs as much. For a spectral budget that is matched to none, it is
            the unpruned model, which costs more.
        questions: how many of the benchmark's first questions are asked.
    """

    model: str
    benchmark: str
    variant: Variant
    cost_as: Method
    questions: int


@dataclass(frozen=True)
class Shown:
    """The prompts of one benchmark that a figure shows to the model without asking for an answer.

    Attributes:
        experiment: the figure's name.
        model: the model's key.
        benchmark: the benchmark's key.
        questions: how many of the benchmark's first questions are shown.
    """

    experiment: str
    model: str
    benchmark: str
    questions: int


@dataclass(frozen=True)
class Plan:
    """Everything that the experiments of a profile ask.

    Attributes:
        runs: of the experiments that ask questions, in the order of the registry.
        asked: the answers, each once.
        shown: the prompts of the figures.
        left_out: a sentence for each thing that would be left out, without a full stop.
    """

    runs: tuple[PlannedRun, ...]
    asked: tuple[Asked, ...]
    shown: tuple[Shown, ...]
    left_out: tuple[str, ...]


def plan(config: Config) -> Plan:
    """What the experiments of a profile ask, without the benchmarks that cannot be scored here.

    Raises:
        UserError: if a benchmark's questions cannot be counted, or a setting is wrong.
    """
    runs: list[PlannedRun] = []
    shown: list[Shown] = []
    not_here: dict[str, str] = {}
    most_asked: dict[tuple[str, Variant, str], Asked] = {}  # answers are of a task's first questions
    for name, entry in EXPERIMENTS.items():
        for model in entry.models(config):
            settings = entry.settings_of(config, model)
            if entry.specify is None:
                if isinstance(settings, FigureSettings):
                    shown += [
                        Shown(name, model, benchmark, question_count(config, benchmark, settings.limit))
                        for benchmark in settings.benchmarks
                    ]
                continue
            experiment = entry.specify(settings, uncalibrated(config))
            keeps = settings.ratios(experiment.keeps)
            variants = {
                spec.variant(keep, settings.layers): _with_fixed_budget(spec, keep, settings.layers)
                for spec in experiment.variants.values()
                for keep in keeps
            }
            not_here |= unavailable(experiment.benchmarks)
            counts = {
                benchmark: question_count(config, benchmark, settings.limit)
                for benchmark in experiment.benchmarks
                if benchmark not in not_here
            }
            new_answers = 0
            for variant, cost_as in variants.items():
                for benchmark, count in counts.items():
                    key = model, variant, BENCHMARKS[benchmark].task
                    before = most_asked[key].questions if key in most_asked else 0
                    new_answers += max(0, count - before)
                    most_asked[key] = Asked(model, _asked_as(benchmark), variant, cost_as, max(count, before))
            runs.append(PlannedRun(name, model, settings.checkpoint, len(variants), sum(counts.values()), new_answers))
    left_out = [f"{BENCHMARKS[benchmark].title} is left out: {reason}" for benchmark, reason in not_here.items()]
    return Plan(tuple(runs), tuple(most_asked.values()), tuple(shown), (*left_out, *_left_out(config)))


def _asked_as(benchmark: str) -> str:
    """The first benchmark that has the same task, and so the same answers."""
    return next(name for name, other in BENCHMARKS.items() if other.task == BENCHMARKS[benchmark].task)


def _with_fixed_budget(spec: VariantSpec, keep: float, layers: Mapping[str, int]) -> Method:
    """The method with a fixed budget that costs as much as a variant; see `Asked.cost_as`."""
    if isinstance(spec, SpectralSpec):
        spec = VariantSpec() if spec.unmatched is not None else VariantSpec(spec.method, spec.parameters, spec.image)
    return spec.variant(keep, layers).method


def _left_out(config: Config) -> list[str]:
    """A sentence for each thing that the parameters leave out."""
    sentences: list[str] = []
    without_checkpoint: dict[str, list[str]] = {}
    for name, entry in EXPERIMENTS.items():
        if entry.specify is not None:
            for paper in entry.papers:
                if config.first_of(paper) is None:
                    without_checkpoint.setdefault(paper, []).append(name)
    sentences += [
        f"{paper} has no checkpoint in the parameters, so {joined(names)} would leave it out"
        for paper, names in without_checkpoint.items()
    ]
    without_section = [
        f"experiments.{name}"
        for name, entry in EXPERIMENTS.items()
        if entry.has_section and entry.section(config) is None
    ]
    if without_section:
        sentences.append(f"the parameters have no {joined(without_section)}, so these would not be run")
    return sentences


def joined(words: list[str]) -> str:
    """Such as "a, b and c"."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def uncalibrated(config: Config) -> Matching:
    """Gives as many different budgets as will be calibrated for a fixed one; their energies are not known yet."""

    def budgets(path: Path, target: float) -> list[SpectralBudget]:
        default = SpectralBudget(target)
        if config.spectra is None:
            return [default]
        crossed = [
            SpectralBudget(target, features=features, centre=centre, power=power, route="svd")
            for features in SOURCES
            for centre in (False, True)
            for power in POWERS
        ]
        others = [budget for budget in crossed if assumptions(budget) != assumptions(default)]
        limited = [SpectralBudget(target, k_min=2 + number) for number in range(len(config.spectra.limits))]
        return [default, *others, *limited]

    return budgets


def question_count(config: Config, benchmark: str, limit: Limit) -> int:
    """How many questions of a benchmark are asked.

    The benchmark has as many as the Hub's split, as its local folder (once it is fetched or rendered), or as the
    miniature world will make.

    Raises:
        UserError: if the local questions cannot be counted, or the benchmark is not among the local data.
    """
    data = config.evaluation.data
    if data is None or (config.downloads is not None and not (Path(data) / BENCHMARKS[benchmark].path).is_dir()):
        rows = BENCHMARKS[BENCHMARKS[benchmark].variant_of or benchmark].rows
        known = rows or limit_of(limit, benchmark)
        if known is None:
            raise EvaluationError(
                f"nothing says how many questions {BENCHMARKS[benchmark].title} has: set `rows` in "
                "vtstudy/benchmarks.py, or a limit in the parameters"
            )
        available = known
    else:
        check_available(benchmark, data)
        if Path(data).is_dir():
            available = _local_count(data, benchmark)
        elif config.world is not None:
            available = config.world.count(BENCHMARKS[benchmark].variant_of or benchmark)
        else:
            raise EvaluationError(
                f"{data} is not there, and the parameters have no section 'world' that says how many questions it "
                "will have"
            )
    return min(available, limit_of(limit, benchmark) or available)


@cache
def _local_count(data: str, benchmark: str) -> int:
    import pyarrow.parquet as pq  # only where data are local

    spec = BENCHMARKS[benchmark]
    files = sorted((Path(data) / spec.path).glob(spec.pattern(spec.config)))
    if not files:
        raise EvaluationError(f"{data} holds no {spec.path}, so its questions cannot be counted")
    return sum(pq.read_metadata(file).num_rows for file in files)
