"""The machine at hand, and the data sheets of GPUs that are not at hand."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vtlaunch import available_cpus, total_memory
from vtprune.errors import UserError


@dataclass(frozen=True)
class DataSheet:
    """What a GPU's maker says.

    Attributes:
        name: of the GPU.
        pattern: a regular expression that torch's name of the device matches, without regard to case.
        flops: of dense float16 matrix products with sums in float32, a second.
        bandwidth: bytes a second that it reads from its memory.
        memory: bytes of its memory.
    """

    name: str
    pattern: str
    flops: float
    bandwidth: float
    memory: int


# NVIDIA's data sheets (H200, H100, A100, L40S) and white papers (Ada, GA102). Values without sparsity.
DATA_SHEETS = (
    DataSheet("H200", r"H200", 989e12, 4.8e12, 141 * 10**9),
    DataSheet("H100", r"H100(?!.*PCIe)", 989e12, 3.35e12, 80 * 10**9),
    DataSheet("A100-80GB", r"A100.*80GB", 312e12, 2.04e12, 80 * 10**9),
    DataSheet("A100-40GB", r"A100.*40GB", 312e12, 1.56e12, 40 * 10**9),
    DataSheet("L40S", r"L40S", 362e12, 0.864e12, 48 * 10**9),
    DataSheet("RTX-4090", r"RTX 4090", 165e12, 1.008e12, 24 * 10**9),
    DataSheet("RTX-3090", r"RTX 3090", 71e12, 0.936e12, 24 * 10**9),
)
REFERENCE = "A100-80GB"
"""The GPU that estimates are for where none is at hand and none is named."""


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine.

    Attributes:
        name: as torch calls it.
        memory: bytes.
    """

    name: str
    memory: int


@dataclass(frozen=True)
class Machine:
    """This machine.

    Attributes:
        cpus: processor cores that this process may use.
        memory: bytes of its memory; None if the system does not tell.
        gpus: its GPUs.
    """

    cpus: int
    memory: int | None
    gpus: tuple[Gpu, ...]


def this_machine() -> Machine:
    """The machine at hand."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    properties = [torch.cuda.get_device_properties(index) for index in range(count)]
    return Machine(available_cpus(), total_memory(), tuple(Gpu(each.name, each.total_memory) for each in properties))


def data_sheet_of(device: str) -> DataSheet | None:
    """The data sheet of a GPU by torch's name of it; None if there is none here."""
    return next((sheet for sheet in DATA_SHEETS if re.search(sheet.pattern, device, re.IGNORECASE)), None)


def data_sheet(name: str) -> DataSheet:
    """The data sheet of this name.

    Raises:
        UserError: if there is none.
    """
    for sheet in DATA_SHEETS:
        if sheet.name.lower() == name.lower():
            return sheet
    names = ", ".join(sheet.name for sheet in DATA_SHEETS)
    raise UserError(f"there is no data sheet of a GPU {name!r}; name one of {names}")


def existing(folder: Path) -> Path:
    """The folder itself, or the first parent of it that exists."""
    folder = folder.expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def free_space(folder: Path) -> int:
    """Bytes of the disk that can still be written into a folder, which need not exist yet."""
    return shutil.disk_usage(existing(folder)).free
