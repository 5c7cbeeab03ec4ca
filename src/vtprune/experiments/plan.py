"""What a profile will cost before it is run: how many questions each experiment asks."""

import shlex
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from vtprune.evaluation.errors import EvaluationError

from .common import ratios
from .settings import Settings, load, read

EXPERIMENTS = ("table1", "table2", "table4", "table5", "table6_7", "table8", "figure5")
# Rows of the splits that the tasks load, as their cards on the Hub say.
FULL = {
    "nocaps": 4500, "flickr30k": 31783, "vqav2": 214354, "gqa": 12578, "okvqa": 5046, "vizwiz": 4319, "textvqa": 5000,
    "chartqa": 2500, "docvqa": 5349, "pope": 9000, "mme": 2374, "mmbench": 4329,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One experiment on one model.

    Attributes:
        cells: methods at their keep ratios.
        questions: of all its benchmarks, asked of each cell.
        new: answers that no experiment before it has made.
    """

    experiment: str
    model: str
    checkpoint: str
    cells: int
    questions: int
    new: int


def plan(params: Path) -> tuple[list[Entry], list[str]]:
    """What would be run, and a sentence for each of the paper's models that would not.

    Raises:
        EvaluationError, ValueError: one sentence that says what is wrong.
    """
    models = load(params)["evaluation"]["models"]
    entries, absent, made = [], {}, set()
    for name in EXPERIMENTS:
        experiment = import_module(f"{__package__}.{name}").EXPERIMENT
        for paper in experiment.papers:
            model = next((key for key, entry in models.items() if entry["paper"] == paper), None)
            if model is None:
                absent.setdefault(paper, []).append(name)
                continue
            settings = read(params, name, model=model)
            keeps = ratios(settings, experiment.keeps)
            cells = {row.cell(keep) for row in experiment.rows.values() for keep in keeps}
            counts = {b: questions(settings, b) for b in experiment.benchmarks}
            asked = {(model, cell, b, count) for cell in cells for b, count in counts.items()}
            entries.append(Entry(name, model, settings.checkpoint, len(cells), sum(counts.values()), sum(a[-1] for a in asked - made)))
            made |= asked
    return entries, [f"{paper} has no checkpoint in {params}, so {' and '.join(names)} would leave it out" for paper, names in absent.items()]


def questions(settings: Settings, benchmark: str) -> int:
    """How many questions a benchmark asks: counted in its local folder, or as many as the Hub's split has.

    Raises:
        EvaluationError: if the miniature's data are not there, or the data set is not among them.
    """
    from vtprune.evaluation.run import limit_of

    if settings.data is not None and Path(settings.data).is_dir():
        there = _rows(settings.data, benchmark)
    elif settings.profile == "miniature":
        raise EvaluationError(f"{settings.data} is not there, so its questions cannot be counted; `dvc repro world` makes it")
    else:
        there = FULL[benchmark]
    return min(there, limit_of(settings.limit, benchmark) or there)


@cache
def _rows(data: str, benchmark: str) -> int:
    import pyarrow.parquet as pq

    from vtprune.miniature.hub_schemas import BENCHMARKS

    spec = BENCHMARKS[benchmark]
    files = sorted((Path(data) / spec.path).glob(spec.pattern(spec.config)))
    if not files:
        raise EvaluationError(f"{data} holds no {spec.path}, so its questions cannot be counted")
    return sum(pq.read_metadata(file).num_rows for file in files)


def table(params: Path) -> str:
    """The plan as text."""
    profile: Any = load(params)["profile"]
    entries, absent = plan(params)
    lines = [f"{'experiment':12}{'model':14}{'checkpoint':44}{'cells':>6}{'questions':>11}{'answers to make':>17}"]
    for e in entries:
        lines.append(f"{e.experiment:12}{e.model:14}{e.checkpoint:44}{e.cells:6}{e.questions:11,}{e.new:17,}")
    lines.append(f"{f'profile {profile}, in all':87}{sum(e.new for e in entries):17,}")
    return "\n".join([*lines, *(f"{sentence}." for sentence in absent)])


def commands(params: Path, out: Path) -> list[str]:
    """The shell commands that run the plan without DVC, their results and report in ``out``.

    A model's experiments share one store of predictions, so that no answer is made twice and a run
    that was stopped goes on where it was.
    """
    found, names = [], []
    for e in plan(params)[0]:
        names.append(f"{e.experiment}-{e.model}")
        found.append(["python", "-m", f"vtprune.experiments.{e.experiment}", "--params", params, "--model", e.model, "--name", names[-1],
                      "--store", out / "predictions" / e.model, "--out", out / "results"])  # fmt: skip
    found.append(["python", "-m", "vtprune.experiments.collect", *(out / "results" / f"{name}.csv" for name in names), "--out", out])
    found.append(["python", "-m", "vtprune.reporting", "--params", params, "--results", out / "results.csv",
                  "--provenance", out / "provenance.json", "--out", out])  # fmt: skip
    return [shlex.join(map(str, command)) for command in found]
