"""What a profile costs before it is run: the number of answers that each experiment needs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.table import Table

from vtprune.methods import SpectralBudget
from vtprune.methods.spectral_budget import SOURCES
from vtstudy.benchmarks import BENCHMARKS, check_available, limit_of
from vtstudy.config import Config, Limit
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.requests import Variant
from vtstudy.experiments.eadaprune import Matching, assumptions
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.experiments.spectra import POWERS

# Rows of the splits that the tasks load, as the data sets' cards on the Hub say.
QUESTIONS_ON_THE_HUB = {
    "nocaps": 4500,
    "flickr30k": 31783,
    "vqav2": 214354,
    "gqa": 12578,
    "okvqa": 5046,
    "vizwiz": 4319,
    "textvqa": 5000,
    "chartqa": 2500,
    "docvqa": 5349,
    "pope": 9000,
    "mme": 2374,
    "mmbench": 4329,
    "mmvet": 218,
    "seedbench": 14233,  # of 17990, those about images
    "scienceqa": 2017,
    "mmbench_cn": 4329,
}


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


def plan(config: Config) -> tuple[list[PlannedRun], list[str]]:
    """The runs of all experiments that ask questions, and a sentence for each that would be left out.

    Raises:
        UserError: if a benchmark's questions cannot be counted, or a setting is wrong.
    """
    runs: list[PlannedRun] = []
    sentences: list[str] = []
    most_asked: dict[tuple[str, Variant, str], int] = {}  # answers are of a task's first questions
    without_checkpoint: dict[str, list[str]] = {}
    for name, entry in EXPERIMENTS.items():
        if entry.specify is None:
            continue
        for paper in entry.papers:
            if config.first_of(paper) is None:
                without_checkpoint.setdefault(paper, []).append(name)
        for model in entry.models(config):
            settings = entry.settings_of(config, model)
            experiment = entry.specify(settings, uncalibrated(config))
            keeps = settings.ratios(experiment.keeps)
            variants = {spec.variant(keep, settings.layers) for spec in experiment.variants.values() for keep in keeps}
            counts = {
                benchmark: question_count(config, benchmark, settings.limit) for benchmark in experiment.benchmarks
            }
            new_answers = 0
            for variant in variants:
                for benchmark, count in counts.items():
                    task = BENCHMARKS[benchmark].task
                    before = most_asked.get((model, variant, task), 0)
                    new_answers += max(0, count - before)
                    most_asked[model, variant, task] = max(count, before)
            runs.append(PlannedRun(name, model, settings.checkpoint, len(variants), sum(counts.values()), new_answers))
    sentences += [
        f"{paper} has no checkpoint in the parameters, so {_joined(names)} would leave it out"
        for paper, names in without_checkpoint.items()
    ]
    without_section = [
        f"experiments.{name}"
        for name, entry in EXPERIMENTS.items()
        if entry.specify is not None and entry.has_section and entry.section(config) is None
    ]
    if without_section:
        sentences.append(f"the parameters have no {_joined(without_section)}, so these would not be run")
    return runs, sentences


def _joined(words: list[str]) -> str:
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
    from_hub = data is None or config.downloads is not None
    if from_hub and not (data and (Path(data) / BENCHMARKS[benchmark].path).is_dir()):
        available = QUESTIONS_ON_THE_HUB[BENCHMARKS[benchmark].variant_of or benchmark]
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


def plan_table(config: Config) -> tuple[Table, list[str]]:
    """The plan as a table, and the sentences below it."""
    runs, sentences = plan(config)
    table = Table("experiment", "model", "checkpoint", title=None)
    for column in ("variants", "questions", "answers to make"):
        table.add_column(column, justify="right")
    for run in runs:
        table.add_row(
            run.experiment,
            run.model,
            run.checkpoint,
            str(run.variants),
            f"{run.questions:,}",
            f"{run.new_answers:,}",
        )
    table.add_section()
    table.add_row(f"all of {config.profile}", "", "", "", "", f"{sum(run.new_answers for run in runs):,}")
    return table, sentences
