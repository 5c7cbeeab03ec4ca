"""What must be in order before the first question: settings, access, keys, disk and memory. All problems at once."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vtprune.errors import UserError
from vtprune.methods import Method
from vtprune.stages import placed
from vtstudy.benchmarks import BENCHMARKS, HUB_NAMESPACE, limit_of
from vtstudy.config import Config, Model
from vtstudy.evaluation.availability import unavailable
from vtstudy.evaluation.limits import least_limit
from vtstudy.experiments import runner
from vtstudy.experiments.paper_models import SIZES
from vtstudy.experiments.plan import joined, plan, question_count, uncalibrated
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.fetching.hub import gigabytes
from vtstudy.planning.downloads import (
    Download,
    data_downloads,
    data_revision,
    hub_version,
    model_download,
    stored_bytes,
)
from vtstudy.planning.estimate import PROCESS_BYTES, accelerator_bytes, is_known, weight_bytes
from vtstudy.planning.hub import Hub
from vtstudy.planning.machine import Machine, existing, free_space, this_machine

ANSWER_BYTES = 200
"""Bytes of the disk that a stored answer takes, at most on average."""
MARGIN = 2**30
"""Bytes of a disk that stay free."""


class ChecksFailedError(UserError):
    """Something is not in order; the message lists all of it."""


@dataclass(frozen=True)
class Findings:
    """What the checks found.

    Attributes:
        problems: sentences, each about one thing that must be put right.
        left_out: sentences, each about one thing that would be left out.
        warnings: sentences, each about one thing that may go wrong.
    """

    problems: tuple[str, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


def require(config: Config, *, models: Sequence[str] | None = None, hub: Hub | None = None, **changes: object) -> None:
    """Check everything.

    Args: see `check`.

    Raises:
        ChecksFailedError: with one line for each problem.
    """
    refuse(check(config, models=models, hub=hub, machine=None, **changes).problems)


def refuse(problems: Sequence[str]) -> None:
    """Raise an error that lists the problems, unless there are none.

    Raises:
        ChecksFailedError: with one line for each problem.
    """
    if len(problems) == 1:
        raise ChecksFailedError(problems[0])
    if problems:
        raise ChecksFailedError("\n  ".join([f"{len(problems)} things must be put right first:", *problems]))


def check(
    config: Config,
    *,
    models: Sequence[str] | None = None,
    hub: Hub | None = None,
    machine: Machine | None = None,
    **changes: object,
) -> Findings:
    """Check everything that can be known before a model is loaded.

    The Hub is asked only about what is still to be fetched.

    Args:
        models: keys of the models that are about to be run; None for all.
        hub: in place of the real one.
        machine: in place of the one at hand.
        changes: settings of the command line; None changes nothing.
    """
    keys = list(config.models) if models is None else [config.model_key(model) for model in models]
    hub, machine = hub or Hub(), machine or this_machine()
    planned = list(_planned(config, keys, changes))
    problems = [each.problem for each in planned if each.problem is not None]
    benchmarks = dict.fromkeys(benchmark for each in planned for benchmark in each.benchmarks)
    left_out = [
        f"{BENCHMARKS[benchmark].title} is left out: {reason}" for benchmark, reason in unavailable(benchmarks).items()
    ]
    problems += _folders(config, keys, changes)
    warnings: list[str] = []
    if not problems:  # what is needed can be counted if the settings are right
        downloads = [each for key in keys if (each := model_download(config.models[key], hub)) is not None]
        downloads += data_downloads(config, hub)
        problems += _access(config, keys, downloads, hub)
        unreachable = _unreachable(downloads, hub)
        if config.evaluation.data is None:  # everything may be in the caches of the Hub's client
            warnings += unreachable
        else:
            problems += unreachable
        problems += _space(config, downloads)
    for key in keys:
        certain, likely = _memory(config, key, machine, hub)
        problems += certain
        warnings += likely
    return Findings(tuple(dict.fromkeys(problems)), tuple(left_out), tuple(dict.fromkeys(warnings)))


@dataclass(frozen=True)
class _Planned:
    """An experiment on a model: its benchmarks, or the first thing that is wrong with it."""

    benchmarks: tuple[str, ...] = ()
    problem: str | None = None


def _planned(config: Config, keys: Sequence[str], changes: Mapping[str, object]) -> Iterator[_Planned]:
    for name, entry in EXPERIMENTS.items():
        for key in entry.models(config):
            if key not in keys:
                continue
            try:
                settings = entry.settings_of(config, key, **changes)
                benchmarks: Sequence[str] = getattr(settings, "benchmarks", ())
                if entry.specify is not None:
                    experiment = entry.specify(settings, uncalibrated(config))
                    benchmarks = experiment.benchmarks
                    variants = runner.variants_of(experiment, settings).values()
                    _check_layers(config, key, [variant.method for variant in variants])
                for benchmark in benchmarks:
                    question_count(config, benchmark, settings.limit)
                if "mme" in benchmarks:
                    _check_pairs(settings.data, limit_of(settings.limit, "mme"))
            except UserError as error:
                yield _Planned(problem=f"{name} on {key}: {error}")
            else:
                yield _Planned(tuple(benchmarks))


def _check_pairs(data: str | None, limit: int | None) -> None:
    """Check that MME, which is scored by pairs, can be scored with a limit; unless its questions are not there yet.

    `vtstudy.evaluation.harness` checks it again, once they are.

    Raises:
        UserError: if it cannot.
    """
    spec = BENCHMARKS["mme"]
    files = [] if data is None else sorted((Path(data).expanduser() / spec.path).glob(spec.pattern(spec.config)))
    if limit is None or not files:
        return
    import pyarrow.parquet as pq  # only where data are local

    columns = ["category", "question_id"]
    rows = (row for file in files for row in pq.read_table(file, columns=columns).to_pylist())
    least = least_limit(rows, limit)
    if least > limit:
        raise UserError(
            f"a limit of {limit} leaves MME without complete pairs of questions: ask at least {least} of them, or all "
            "(limit: {mme: null})"
        )


def _check_layers(config: Config, key: str, methods: Iterable[Method]) -> None:
    """Check that a model has the layers of the methods, as far as its depth is known without it."""
    depth = _depth(config.models[key])
    if depth is not None:
        for method in methods:
            placed(method, depth)


def _depth(model: Model) -> int | None:
    """The number of decoder layers, from the checkpoint's configuration or the paper's model; None if unknown."""
    try:
        data = json.loads((Path(model.checkpoint).expanduser() / "config.json").read_text(encoding="utf-8"))
        return int(data["text_config"]["num_hidden_layers"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if hub_version(model) is None or not is_known(model.paper):
        return None
    return int(SIZES[model.paper].config().text_config.num_hidden_layers)


def _folders(config: Config, keys: Sequence[str], changes: Mapping[str, object]) -> Iterator[str]:
    """Folders that cannot be written, and checkpoints and data that nothing will make."""
    cache = str(changes.get("cache") or "data/answers")
    for folder in (Path(cache), config.reports, config.answered):
        place = existing(folder)
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            yield f"{folder} cannot be written, because {place} is no folder that this user may write into"
    trained = {"miniature-llava", *config.derived} if config.training is not None else set(config.derived)
    for key in keys:
        model = config.models[key]
        folder = Path(model.checkpoint).expanduser()
        if not folder.is_dir() and hub_version(model) is None and folder.name not in trained:
            yield (
                f"models.{key}.checkpoint: there is no folder {model.checkpoint}, and nothing in the parameters makes "
                "it; name a folder that is there, or a checkpoint of the Hub"
            )
    data = changes.get("data") or config.evaluation.data
    if data is not None and config.world is None and config.downloads is None:
        folder = Path(str(data)).expanduser()
        if not (folder / HUB_NAMESPACE).is_dir():
            yield f"evaluation.data: {data} must hold the data sets in a folder {HUB_NAMESPACE}, but has none"


def _access(config: Config, keys: Sequence[str], downloads: Sequence[Download], hub: Hub) -> Iterator[str]:
    """Repositories that cannot be read."""
    revisions = {place[0]: place[1] for key in keys if (place := hub_version(config.models[key])) is not None}
    for download in downloads:
        revision = revisions.get(download.id) or data_revision(config, download.id)
        if problem := hub.problem(download.kind, download.id, revision):
            yield problem


def _unreachable(downloads: Sequence[Download], hub: Hub) -> list[str]:
    """One sentence if the Hub is out of reach while something is to be fetched."""
    if not downloads or hub.unreachable is None:
        return []
    waiting = joined([download.id for download in downloads])
    return [f"the Hub does not answer, and these must still be fetched: {waiting} ({hub.unreachable})"]


def _space(config: Config, downloads: Sequence[Download]) -> Iterator[str]:
    """Disks that are too small for what is to be fetched, and for the answers."""
    needs: dict[int, tuple[Path, int]] = {}
    for folder, size in disk_needs(config, downloads):
        device = existing(folder).stat().st_dev
        needs[device] = folder, size + needs.get(device, (folder, 0))[1]
    for folder, size in needs.values():
        free = free_space(folder)
        if size + MARGIN > free:
            yield (
                f"the disk of {folder} needs {gigabytes(size + MARGIN)} for what is to be fetched and answered, but "
                f"has {gigabytes(free)} free: make room, or ask fewer questions (evaluation.limit)"
            )


def disk_needs(config: Config, downloads: Sequence[Download]) -> Iterator[tuple[Path, int]]:
    """Folders, and the bytes that will be written into each at most, as far as they are known."""
    for download in downloads:
        if download.disk is not None:
            yield Path("data"), download.size or 0
            yield _cache_folder(download), download.disk - (download.size or 0)
    yield Path("data/answers"), ANSWER_BYTES * sum(part.questions for part in plan(config).asked)


def _cache_folder(download: Download) -> Path:
    """Where the second copy of a download lies: beside the model, or in the cache of `datasets`."""
    if download.kind == "model":
        return Path("data")
    from datasets import config as datasets_config

    return Path(datasets_config.HF_DATASETS_CACHE)


def _memory(config: Config, key: str, machine: Machine, hub: Hub) -> tuple[list[str], list[str]]:
    """What certainly does not fit into the memory, and what probably does not."""
    model, dtype = config.models[key], config.evaluation.dtype
    if hub_version(model) is None or not is_known(model.paper):
        return [], []  # a stand-in, or of unknown size
    computed, batch = weight_bytes(model.paper, dtype), config.evaluation.batch_size
    weights = stored_bytes(model, dtype, hub) or computed
    if not machine.gpus:
        needed = weights + PROCESS_BYTES
        if machine.memory is None or needed <= machine.memory:
            return [], [f"this machine has no GPU, and {key} is meant for one"]
        memory = gigabytes(machine.memory)
        return [
            f"{key} needs {gigabytes(needed)} of memory; this machine has {memory} and no GPU: take another one"
        ], []
    gpu = min(machine.gpus, key=lambda each: each.memory)
    place = f"{gpu.name} has {gigabytes(gpu.memory)}"
    if weights > gpu.memory:
        advice = "take evaluation.dtype float16, or a larger GPU" if dtype == "float32" else "take a larger GPU"
        return [f"the weights of {key} need {gigabytes(weights)}, but {place}: {advice}"], []
    needed = accelerator_bytes(model.paper, batch, dtype)
    if needed <= gpu.memory or 2 * weights < computed:  # of smaller weights, the batches are smaller, too
        return [], []
    advice = "make evaluation.batch_size smaller"
    return [], [f"{key} needs about {gigabytes(needed)} with batches of {batch}, but {place}: {advice}"]
