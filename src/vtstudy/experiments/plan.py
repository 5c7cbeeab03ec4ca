"""What a profile will cost before it is run: how many questions each experiment asks."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from vtprune.methods import SpectralBudget
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.matched import MatchedSettings, Matching, assumed
from vtstudy.experiments.runner import ratios
from vtstudy.experiments.settings import Settings, load, read
from vtstudy.experiments.spec import Experiment

TABLES = ("table1", "table2", "table4", "table5", "table6_7", "table8", "figure5")
CALIBRATED = ("eadaprune", "sensitivity")  # match budgets to fixed ones, at energies that are calibrated first
SECOND = ("eadaprune", "energy", "sensitivity")  # of the second paper: run where params.yaml says how, under figures
# Rows of the splits that the tasks load, as their cards on the Hub say.
FULL = {
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
    "seedbench": 17990,
    "scienceqa": 2017,
    "mmbench_cn": 4329,
}


@dataclass(frozen=True)
class Entry:
    """One experiment on one model.

    Attributes:
        cells: methods at their keep ratios.
        questions: of all its benchmarks, asked of each cell.
        new: answers that no experiment before it has made, where those of a model share a store (as ``commands`` has it).
        shown: prompts that are shown to the model to count the tokens left, before their answers are made.
    """

    experiment: str
    model: str
    checkpoint: str
    cells: int
    questions: int
    new: int
    shown: int


def plan(params: Path) -> tuple[list[Entry], list[str]]:
    """What would be run, and a sentence for whatever would not.

    Raises:
        EvaluationError, ValueError: one sentence that says what is wrong.
    """
    given = load(params)
    models, world = given["evaluation"]["models"], (given.get("world") or {}).get("questions")
    named = [name for name in SECOND if name in (given.get("figures") or {})]
    entries, absent = [], {}
    made: dict[tuple, int] = {}  # by what is answered, how many of the first questions
    for name in (*TABLES, *named):
        module = import_module(f"{__package__}.{name}")
        for paper in Experiment.papers if name in SECOND else module.EXPERIMENT.papers:
            model = next((key for key, entry in models.items() if entry["paper"] == paper), None)
            if model is None:
                absent.setdefault(paper, []).append(name)
                continue
            settings = read(params, name, MatchedSettings if name in SECOND else Settings, model)
            options = [_uncalibrated(given)] if name in CALIBRATED else []
            experiment = module.experiment(settings, *options) if name in SECOND else module.EXPERIMENT
            keeps = ratios(settings, experiment.keeps)
            cells = {row.cell(keep) for row in experiment.rows.values() for keep in keeps}
            counts = {b: questions(settings, b, world) for b in experiment.benchmarks}
            new, asked = 0, sum(counts.values())
            for key, count in (((model, cell, b), count) for cell in cells for b, count in counts.items()):
                new += max(0, count - made.get(key, 0))
                made[key] = max(count, made.get(key, 0))
            shown = asked * sum(cell.method.name != "none" for cell in cells) if name in SECOND else 0
            entries.append(Entry(name, model, settings.checkpoint, len(cells), asked, new, shown))
    sentences = [
        f"{paper} has no checkpoint in {params}, so {_list(names)} would leave it out"
        for paper, names in absent.items()
    ]
    if len(named) < len(SECOND):
        lacking = [f"figures.{name}" for name in SECOND if name not in named]
        sentences.append(f"{params} has no {_list(lacking)}, so E-AdaPrune's experiments of that name would not be run")
    return entries, sentences


def _list(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + words[-1:])


def _uncalibrated(given: Mapping[str, Any]) -> Matching:
    """As many budgets as are calibrated for a fixed one, whatever their energies will be: no two are the same.

    Args:
        given: a params.yaml; the stage ``spectra`` calibrates all variants, ``calibrate`` (without that section) one.
    """
    from vtstudy.experiments.spectra import POWERS, VARIANTS

    def budgets(path: Path, target: float) -> list[SpectralBudget]:
        first = SpectralBudget(target)
        if "spectra" not in given:
            return [first]
        crossed = [
            SpectralBudget(target, features=f, centre=c, power=p, route="svd") for f, c in VARIANTS for p in POWERS
        ]
        within = [SpectralBudget(target, k_min=2 + n) for n, _ in enumerate(given["spectra"].get("limits") or ())]
        return [first, *(budget for budget in crossed if assumed(budget) != assumed(first)), *within]

    return budgets


def questions(settings: Settings, benchmark: str, world: Mapping[str, int] | None = None) -> int:
    """How many questions a benchmark asks: as many as the Hub's split has, or as its local folder holds.

    Args:
        world: by benchmark, how many the miniature world makes (others: ``default``), where the folder is not there yet.

    Raises:
        EvaluationError: if the local questions cannot be counted, or the data set is not among them.
    """
    from vtstudy.benchmarks import check_available, check_benchmarks, limit_of

    check_benchmarks([benchmark])
    if settings.data is None:
        there = FULL[benchmark]
    else:
        check_available(benchmark, local=True)
        if Path(settings.data).is_dir():
            there = _rows(settings.data, benchmark)
        elif world:
            there = world.get(benchmark, world["default"])
        else:
            raise EvaluationError(
                f"{settings.data} is not there, and no world.questions say how many it will hold, so its questions cannot be counted"
            )
    return min(there, limit_of(settings.limit, benchmark) or there)


@cache
def _rows(data: str, benchmark: str) -> int:
    import pyarrow.parquet as pq

    from vtstudy.benchmarks import BENCHMARKS

    spec = BENCHMARKS[benchmark]
    files = sorted((Path(data) / spec.path).glob(spec.pattern(spec.config)))
    if not files:
        raise EvaluationError(f"{data} holds no {spec.path}, so its questions cannot be counted")
    return sum(pq.read_metadata(file).num_rows for file in files)


def table(params: Path) -> str:
    """The plan as text."""
    profile: Any = load(params)["profile"]
    entries, sentences = plan(params)
    lines = [f"{'experiment':12}{'model':14}{'checkpoint':44}{'cells':>6}{'questions':>11}{'answers to make':>17}"]
    for e in entries:
        lines.append(f"{e.experiment:12}{e.model:14}{e.checkpoint:44}{e.cells:6}{e.questions:11,}{e.new:17,}")
    lines.append(f"{f'profile {profile}, in all':87}{sum(e.new for e in entries):17,}")
    if counting := [e for e in entries if e.shown]:
        names = _list([e.experiment for e in counting])
        lines.append(
            f"Besides, tokens are counted of {sum(e.shown for e in counting):,} prompts, at the cost of a one-token answer each ({names})."
        )
    return "\n".join([*lines, *(f"{sentence}." for sentence in sentences)])


def commands(params: Path, out: Path, pictures: Path | None = None) -> list[str]:
    """The shell commands that run the plan without DVC, their results and report in ``out``.

    A model's experiments share one store of predictions, so that no answer is made twice and a run
    that was stopped goes on where it was.

    Args:
        pictures: folder of pictures that no benchmark shows, to calibrate spectral budgets on. The miniature world
            makes its own; elsewhere the experiments that need them are left out without it, and a comment says so.
    """
    results, world = out / "results", "spectra" in load(params)
    calibration = results / "spectra" / "calibration.csv" if world else results / "calibration.csv"
    found: list[list[Any]] = []
    names, left_out, ready = [], [], False
    for e in plan(params)[0]:
        common = ["--params", params, "--model", e.model]
        if e.experiment in CALIBRATED and not ready:
            if not world and pictures is None:
                left_out.append(e.experiment)
                continue
            how = ["spectra"] if world else ["calibrate", "--pictures", pictures]
            found.append(["python", "-m", f"vtstudy.experiments.{how[0]}", *common, *how[1:], "--out", results])
            names += ["spectra"] * world
            ready = True
        names.append(f"{e.experiment}-{e.model}")
        found.append(
            [
                "python",
                "-m",
                f"vtstudy.experiments.{e.experiment}",
                *common,
                "--name",
                names[-1],
                "--store",
                out / "predictions" / e.model,
                "--out",
                results,
            ]
        )
        if e.experiment in CALIBRATED:
            found[-1] += ["--calibration", calibration]
    found.append(
        ["python", "-m", "vtstudy.experiments.collect", *(results / f"{name}.csv" for name in names), "--out", out]
    )
    found.append(
        [
            "python",
            "-m",
            "vtstudy.report",
            "--params",
            params,
            "--results",
            out / "results.csv",
            "--provenance",
            out / "provenance.json",
            "--figures",
            results,
            "--out",
            out,
        ]
    )
    lines = [shlex.join(map(str, command)) for command in found]
    if left_out:
        lines.insert(0, f"# without --pictures, a folder to calibrate on, {_list(left_out)} is left out")
    return lines
