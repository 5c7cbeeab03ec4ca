"""How fast a model answers, as `vtstudy plan --probe` measured it: the table of measured rates.

The table is a JSON file, so that rates of a GPU can be committed with what they were measured on.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vtprune.errors import UserError
from vtstudy.benchmarks import BENCHMARKS
from vtstudy.experiments.files import write

Kind = Literal["short", "reading", "caption", "long"]
"""How a benchmark's answers are: a word, a word that is read in a large picture, a sentence, or a paragraph."""

RECORDED = Path("reports/recorded/rates.json")

_READING = ("textvqa", "textvqa_ocr", "chartqa", "docvqa")


class KindRate(BaseModel):
    """The seconds of one kind of question.

    Attributes:
        benchmark: the benchmark whose questions were asked.
        questions: how many of them.
        question: seconds for what the variants share: reading the picture, the vision tower, the first decoder layers.
        unpruned: seconds for an answer of the unpruned model after that.
        pruned: seconds for an answer of a pruned model after that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    questions: int = Field(ge=1)
    question: float = Field(ge=0)
    unpruned: float = Field(ge=0)
    pruned: float = Field(ge=0)


class Rate(BaseModel):
    """How fast one model answers on one device, with one process.

    Attributes:
        model: the checkpoint: its id on the Hub, or its folder's name.
        device: the GPU as torch calls it, or the processor's architecture.
        gpu: whether the device is a GPU.
        dtype: of the weights.
        batch_size: questions in a batch.
        keep: fraction of the image tokens that the pruned model keeps.
        kinds: the seconds by kind of question.
        accelerator_bytes: the most memory of the GPU that was in use; None on a processor.
        resident_bytes: the most memory of the machine that the process had.
        provenance: the machine, the versions, the commit and the date.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    device: str
    gpu: bool
    dtype: str
    batch_size: int = Field(ge=1)
    keep: float
    kinds: dict[Kind, KindRate] = Field(min_length=1)
    accelerator_bytes: int | None
    resident_bytes: int
    provenance: dict[str, object]

    def of(self, kind: Kind) -> KindRate:
        """The seconds of a kind of question; those of the slowest kind where this one was not measured."""
        slowest = max(self.kinds.values(), key=lambda rate: rate.question + rate.unpruned)
        return self.kinds.get(kind, slowest)

    @property
    def measured_on(self) -> str:
        """What was measured, where and when, in words."""
        machine = f"{self.provenance.get('cpus')} cores, {self.provenance.get('threads')} thread"
        device = self.device if self.gpu else f"{self.device} processor ({machine})"
        kinds = " and ".join(self.kinds)
        date, commit = str(self.provenance.get("date"))[:10], str(self.provenance.get("commit"))[:7]
        return f"{kinds} answers on {device}, {date}, commit {commit}"


def kind_of(benchmark: str) -> Kind:
    """The kind of a benchmark's questions."""
    spec = BENCHMARKS[benchmark]
    if spec.unit == "CIDEr":
        return "caption"
    if spec.judge:
        return "long"
    return "reading" if benchmark in _READING else "short"


def read_rates(path: Path) -> list[Rate]:
    """The measured rates of a file; none if there is no file.

    Raises:
        UserError: if the file is not a table of rates.
    """
    if not path.is_file():
        return []
    try:
        return TypeAdapter(list[Rate]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{path} is no table of rates: delete it, and measure again by vtstudy plan --probe") from error


def add_rate(path: Path, rate: Rate) -> None:
    """Add a rate to a file, in place of one of the same model on the same device with the same settings.

    Raises:
        UserError: see `read_rates`.
    """
    others = [other for other in read_rates(path) if _place(other) != _place(rate)]
    rows = sorted([*others, rate], key=_place)
    write(path, json.dumps([row.model_dump(mode="json") for row in rows], indent=1) + "\n")


def find_rate(
    rates: Iterable[Rate], model: str, suits: Callable[[Rate], bool], *, dtype: str | None, batch_size: int
) -> Rate | None:
    """The rate of a model that fits best; None if none was measured on a device that suits.

    Args:
        suits: whether a rate's device will do.
        dtype, batch_size: those with these settings come first.
    """
    fitting = [rate for rate in rates if rate.model == model and suits(rate)]
    return max(fitting, key=lambda rate: (rate.dtype == dtype, rate.batch_size == batch_size), default=None)


def _place(rate: Rate) -> tuple[str, str, str, int, float]:
    return rate.model, rate.device, rate.dtype, rate.batch_size, rate.keep
