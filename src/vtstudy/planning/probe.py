"""A short measurement of how fast a model answers on this machine: a batch of each kind of question."""

import os
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from vtprune.errors import UserError
from vtprune.methods import get_method
from vtstudy.config import Config
from vtstudy.evaluation.answer_cache import AnswerCache
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.experiments.plan import plan
from vtstudy.experiments.provenance import code_facts, machine_facts, versions
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import Settings, settings_of
from vtstudy.planning.machine import this_machine
from vtstudy.planning.rates import Kind, KindRate, Rate, add_rate, kind_of, read_rates

if TYPE_CHECKING:
    from vtstudy.evaluation.harness import Evaluator

ROUNDS = 3
SECONDS = 45.0
"""After so many seconds no further kind of question is begun."""
PRUNED = ("fastv", "adaptprune")


def probe(config: Config, model: str, benchmarks: Sequence[str], *, device: str | None = None) -> Rate:
    """Answer a batch of each kind of question, with and without pruning, and time it.

    Args:
        model: a key of `config.models`, whose checkpoint and data are there.
        benchmarks: those that the model will be asked; the first of each kind is taken.
        device: see `vtstudy.evaluation.checkpoint.Checkpoint`.

    Raises:
        UserError: if the checkpoint or the data cannot be used.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:  # with stored answers there would be nothing to time
        settings = settings_of(config, Settings, None, model, cache=cache, device=device)
        evaluator = evaluator_of(settings)
        on_gpu = evaluator.checkpoint.device.type == "cuda"
        kinds: dict[Kind, KindRate] = {}
        for benchmark in benchmarks:
            kind = kind_of(benchmark)
            if kind not in kinds and (not kinds or time.monotonic() - begun < SECONDS):
                kinds[kind] = _measured(evaluator, benchmark, settings.batch_size, settings.keep)
        return Rate(
            model=model_name(config, model),
            device=torch.cuda.get_device_name(evaluator.checkpoint.device) if on_gpu else _processor(),
            gpu=on_gpu,
            dtype=evaluator.checkpoint.dtype,
            batch_size=settings.batch_size,
            keep=settings.keep,
            kinds=kinds,
            accelerator_bytes=torch.cuda.max_memory_allocated(evaluator.checkpoint.device) if on_gpu else None,
            resident_bytes=_resident_bytes(),
            provenance=_provenance(),
        )


def probe_models(
    config: Config, table: Path, models: Sequence[str] | None = None, *, device: str | None = None
) -> list[Rate]:
    """Measure models, each as soon as its checkpoint and data are there, and add their rates to the table.

    Args:
        table: the file of the rates.
        models: keys of `config.models`; None for all whose checkpoints are there.

    Returns:
        All rates of the table.

    Raises:
        UserError: if a checkpoint or the data cannot be used, or no checkpoint is there.
    """
    keys = [config.model_key(model) for model in models or config.models]
    present = [key for key in keys if Path(config.models[key].checkpoint).expanduser().is_dir()]
    if not present:
        raise UserError(
            f"no checkpoint of {', '.join(keys)} is there to be measured: run the stages that fetch or train them first"
        )
    asked = plan(config).asked
    for key in present:
        answers: Counter[str] = Counter()
        for part in asked:
            if part.model == key:
                answers[part.benchmark] += part.questions
        rate = probe(config, key, [benchmark for benchmark, _ in answers.most_common()], device=device)
        add_rate(table, rate)
        print(f"{key}: {', '.join(_words(kind, seconds) for kind, seconds in rate.kinds.items())}", file=sys.stderr)
        if os.getloadavg()[0] > 1 + this_machine().cpus:
            print(f"{key}: other programs keep this machine busy, so measure again when it is idle", file=sys.stderr)
    return read_rates(table)


def _words(kind: Kind, seconds: KindRate) -> str:
    together = seconds.question + seconds.unpruned
    return f"{kind} {1000 * together:.0f} ms unpruned, {1000 * seconds.pruned:.0f} ms for each pruned variant more"


def model_name(config: Config, model: str) -> str:
    """The name of a model in the table of rates: its id on the Hub, or its folder's name."""
    from vtstudy.planning.downloads import hub_version

    place = hub_version(config.models[model])
    return Path(config.models[model].checkpoint).name if place is None else place[0]


def _measured(evaluator: "Evaluator", benchmark: str, count: int, keep: float) -> KindRate:
    """The seconds of one benchmark's first questions.

    The times of all variants together, of the unpruned model alone and of the pruned ones alone give the three parts:
    what the variants share, and what each adds. A real run reads every picture twice, because it first lists questions.
    """
    unpruned = [Request(Variant(get_method("none")), benchmark, count)]
    pruned = [Request(Variant(get_method(name, keep=keep)), benchmark, count) for name in PRUNED]
    questions = len(evaluator.questions(benchmark, count))

    def answering(requests: Sequence[Request]) -> float:
        with tempfile.TemporaryDirectory() as folder, tqdm(disable=True) as bar:
            evaluator.cache = AnswerCache(folder)
            return _seconds(lambda: evaluator.answer(requests, bar), evaluator.checkpoint.device)

    def reading() -> float:
        return _seconds(lambda: [None for _ in evaluator.prompts(benchmark, count)], evaluator.checkpoint.device)

    answering([*unpruned, *pruned])  # loads the model
    reading()
    rounds = [
        (answering([*unpruned, *pruned]), answering(unpruned), answering(pruned), reading()) for _ in range(ROUNDS)
    ]
    together, alone, others, read = (statistics.median(times) / questions for times in zip(*rounds, strict=True))
    return KindRate(
        benchmark=benchmark,
        questions=questions,
        question=round(max(0.0, alone + others - together) + read, 6),
        unpruned=round(max(0.0, together - others), 6),
        pruned=round(max(0.0, together - alone) / len(PRUNED), 6),
    )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The seconds of some work. One thread on a processor has a clock that other programs do not advance."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu or torch.get_num_threads() > 1 else time.process_time
    begin = clock()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return clock() - begin


def _resident_bytes() -> int:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _processor() -> str:
    return os.uname().machine


def _provenance() -> dict[str, object]:
    return {
        **machine_facts(),
        **code_facts(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions(("torch", "transformers")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
