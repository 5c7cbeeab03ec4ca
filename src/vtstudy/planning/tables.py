"""The plan of a profile as tables and sentences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from vtstudy.config import Config
from vtstudy.experiments.plan import Plan, plan
from vtstudy.fetching.hub import gigabytes
from vtstudy.planning.checks import ANSWER_BYTES
from vtstudy.planning.downloads import Download, data_downloads, hub_version, model_download
from vtstudy.planning.estimate import (
    ANSWER_TOKENS,
    BANDWIDTH_USE,
    LAUNCH_SECONDS,
    PROCESS_BYTES,
    UTILISATION,
    Work,
    accelerator_bytes,
    computed_seconds,
    is_known,
    measured_seconds,
    weight_bytes,
    works,
)
from vtstudy.planning.hub import Hub
from vtstudy.planning.machine import REFERENCE, DataSheet, Machine, data_sheet, data_sheet_of, this_machine
from vtstudy.planning.probe import model_name
from vtstudy.planning.rates import Rate, find_rate


@dataclass(frozen=True)
class Cost:
    """What one model needs.

    Attributes:
        seconds: on one device; None if they are not known.
        basis: where the seconds come from: `measured`, `computed` or `unknown`.
        source: the measurement, or the device of the computation, in words.
        accelerator: bytes of a GPU's memory; 0 if it was measured without one, None if they are not known.
        memory: bytes of the machine's memory; None if they are not known.
        download: what is to be fetched for it; None if nothing is.
    """

    seconds: float | None
    basis: str
    source: str
    accelerator: int | None
    memory: int | None
    download: Download | None


def costs(
    config: Config,
    planned: Plan,
    rates: Sequence[Rate],
    hub: Hub,
    *,
    machine: Machine | None = None,
    gpu: str | None = None,
) -> dict[str, Cost]:
    """By model, what it needs.

    Args:
        gpu: name of a data sheet that hours are computed for; None for the GPU at hand, or `machine.REFERENCE`.

    Raises:
        UserError: if there is no such data sheet.
    """
    machine = machine or this_machine()
    return {
        key: _cost(config, key, work, list(rates), hub, machine, gpu)
        for key, work in works(config.models, planned.asked, planned.shown).items()
    }


def _cost(
    config: Config, key: str, work: Work, rates: Sequence[Rate], hub: Hub, machine: Machine, gpu: str | None
) -> Cost:
    model, dtype, batch_size = config.models[key], config.evaluation.dtype, config.evaluation.batch_size
    of_paper = hub_version(model) is not None and is_known(model.paper)
    suits = _suiting(machine, gpu, of_paper)
    rate = find_rate(rates, model_name(config, key), suits, dtype=dtype, batch_size=batch_size)
    accelerator = accelerator_bytes(model.paper, batch_size, dtype) if of_paper else None
    memory = weight_bytes(model.paper, dtype) + PROCESS_BYTES if of_paper else None
    download = model_download(model, hub)
    if rate is not None:
        accelerator = (rate.accelerator_bytes or accelerator) if rate.gpu else 0
        seconds = measured_seconds(work, rate)
        return Cost(seconds, "measured", rate.measured_on, accelerator, rate.resident_bytes, download)
    if of_paper:
        sheet = _sheet(machine, gpu)
        seconds = computed_seconds(work, model.paper, batch_size, sheet, dtype)
        return Cost(seconds, "computed", sheet.name, accelerator, memory, download)
    return Cost(None, "unknown", "nobody has measured it", accelerator, memory, download)


def _sheet(machine: Machine, gpu: str | None) -> DataSheet:
    """The data sheet of the named GPU, of the one at hand, or of `machine.REFERENCE`."""
    if gpu is not None:
        return data_sheet(gpu)
    known = data_sheet_of(machine.gpus[0].name) if machine.gpus else None
    return known or data_sheet(REFERENCE)


def _suiting(machine: Machine, gpu: str | None, of_paper: bool) -> Callable[[Rate], bool]:
    """Which rates count: those of the named GPU, or of the one at hand.

    Where none is at hand, those of any GPU count for the papers' models, and those of any processor for stand-ins.
    """
    if gpu is not None:
        sheet = data_sheet(gpu)
        return lambda rate: rate.gpu and data_sheet_of(rate.device) == sheet
    if machine.gpus:
        return lambda rate: rate.device == machine.gpus[0].name
    return lambda rate: rate.gpu == of_paper


def experiments_table(config: Config, planned: Plan) -> Table:
    """What each experiment asks."""
    table = Table("experiment", "model", "checkpoint")
    for column in ("variants", "questions", "answers"):
        table.add_column(column, justify="right")
    for run in planned.runs:
        table.add_row(
            run.experiment,
            run.model,
            run.checkpoint,
            str(run.variants),
            f"{run.questions:,}",
            f"{run.new_answers:,}",
        )
    table.add_section()
    table.add_row(f"all of {config.profile}", "", "", "", "", f"{sum(run.new_answers for run in planned.runs):,}")
    return table


def costs_table(config: Config, planned: Plan, by_model: dict[str, Cost], gpus: int) -> Table:
    """What each model needs."""
    table = Table("model")
    columns = ["answers", "time", *([f"time with {gpus} GPUs"] if gpus > 1 else []), "from", "GPU memory", "memory"]
    for column in (*columns, "to fetch"):
        table.add_column(column, justify="left" if column == "from" else "right")
    parts = works(config.models, planned.asked, planned.shown)
    for key, cost in by_model.items():
        table.add_row(
            key,
            f"{parts[key].answers:,}",
            duration(cost.seconds),
            *([duration(None if cost.seconds is None else cost.seconds / gpus)] if gpus > 1 else []),
            cost.basis,
            _size(cost.accelerator),
            _size(cost.memory),
            "nothing" if cost.download is None else _size(cost.download.size),
        )
    known = [cost.seconds for cost in by_model.values() if cost.seconds is not None]
    total = sum(known) if len(known) == len(by_model) else None
    table.add_section()
    table.add_row(
        "all",
        f"{sum(part.answers for part in parts.values()):,}",
        duration(total),
        *([duration(None if total is None else total / gpus)] if gpus > 1 else []),
    )
    return table


def sentences(config: Config, planned: Plan, by_model: dict[str, Cost], hub: Hub) -> list[str]:
    """What the tables do not say, one sentence a line."""
    data = data_downloads(config, hub)
    models = [cost.download for cost in by_model.values() if cost.download is not None]
    lines = [
        "An answer that several experiments need is counted once. Answers that are stored already are counted, too.",
        *_time_sentences(by_model),
        *_download_sentences(models, data),
        _disk_sentence(planned, [*models, *data]),
    ]
    if hub.unreachable is not None and (models or data):
        lines.append(f"The Hub was not reached, so sizes come from tables ({hub.unreachable}).")
    return lines + [f"{sentence[0].upper()}{sentence[1:]}." for sentence in planned.left_out]


def _time_sentences(by_model: dict[str, Cost]) -> list[str]:
    lines = [f"Measured for {key}: {cost.source}." for key, cost in by_model.items() if cost.basis == "measured"]
    computed = {cost.source: None for cost in by_model.values() if cost.basis == "computed"}
    if computed:
        tokens = ", ".join(f"{kind} {count}" for kind, count in ANSWER_TOKENS.items())
        lines.append(
            f"Computed: an estimate from FLOPs for one {', '.join(computed)}; nobody has measured it. It assumes "
            f"{UTILISATION:.0%} of the data sheet's float16 FLOPs, {BANDWIDTH_USE:.0%} of its memory's speed, "
            f"at least {1000 * LAUNCH_SECONDS:g} ms a decoder layer, and "
            f"answers of so many tokens: {tokens}. Measure it on your machine by vtstudy plan --probe."
        )
    if any(cost.basis == "unknown" for cost in by_model.values()):
        lines.append("Unknown: measure it by vtstudy plan --probe.")
    return lines


def _download_sentences(models: Sequence[Download], data: Sequence[Download]) -> list[str]:
    lines = []
    for what, downloads in (("checkpoint", models), ("data set", data)):
        if downloads:
            known = sum(download.size for download in downloads if download.size is not None)
            unknown = [download.id for download in downloads if download.size is None]
            number = f"{len(downloads)} {what}{'s' if len(downloads) > 1 else ''}"
            besides = f", and {', '.join(unknown)}, whose size is not known" if unknown else ""
            lines.append(f"To fetch: {number}, {gigabytes(known)}{besides}.")
    return lines or ["Nothing has to be fetched."]


def _disk_sentence(planned: Plan, downloads: Sequence[Download]) -> str:
    answers = ANSWER_BYTES * sum(part.questions for part in planned.asked)
    fetched = sum(download.disk for download in downloads if download.disk is not None)
    return f"Disk: up to {gigabytes(fetched + answers)}, of which the stored answers take {gigabytes(answers)}."


def duration(seconds: float | None) -> str:
    """A duration in words, such as "about 3.2 hours"."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"


def _size(size: int | None) -> str:
    if size == 0:
        return "none"
    return "unknown" if size is None else gigabytes(size)


def planned_tables(
    config: Config, rates: Sequence[Rate], hub: Hub, *, gpus: int | None = None, gpu: str | None = None
) -> tuple[list[Table], list[str]]:
    """The tables of the plan, and the sentences below them.

    Args:
        gpus: number of GPUs that share the work; None for those of this machine.
        gpu: see `costs`.
    """
    machine, planned = this_machine(), plan(config)
    by_model = costs(config, planned, rates, hub, machine=machine, gpu=gpu)
    tables = [
        experiments_table(config, planned),
        costs_table(config, planned, by_model, gpus or max(1, len(machine.gpus))),
    ]
    return tables, sentences(config, planned, by_model, hub)
