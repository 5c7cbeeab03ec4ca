"""What the plan says of a model's time, and where it comes from."""

import pytest
from helpers.planning import MODEL, a_config, a_rate

from vtprune.errors import UserError
from vtstudy.experiments.plan import plan
from vtstudy.planning.hub import Hub
from vtstudy.planning.machine import Gpu, Machine, data_sheet_of
from vtstudy.planning.tables import costs, duration

WITHOUT_GPU = Machine(cpus=2, memory=8 * 10**9, gpus=())
WITH_GPU = Machine(cpus=8, memory=64 * 10**9, gpus=(Gpu("NVIDIA L40S", 48 * 10**9),))


def cost_of(rates, machine, config=None, **options):
    config = config or a_config(experiments={})
    (cost,) = costs(config, plan(config), rates, Hub(ask=False), machine=machine, **options).values()
    return cost


def test_a_measured_rate_comes_before_a_computed_one():
    here = a_rate(model=MODEL, device="NVIDIA L40S")
    elsewhere = a_rate(model=MODEL, device="NVIDIA H200")
    assert cost_of([], WITH_GPU).basis == "computed"
    assert (cost_of([elsewhere], WITH_GPU).basis, cost_of([elsewhere], WITH_GPU).source) == ("computed", "L40S")
    assert cost_of([here, elsewhere], WITH_GPU).source == here.measured_on
    assert cost_of([elsewhere], WITHOUT_GPU).source == elsewhere.measured_on
    assert cost_of([here, elsewhere], WITH_GPU, gpu="H200").source == elsewhere.measured_on
    assert cost_of([here], WITH_GPU, gpu="H200").source == "H200"
    assert cost_of([here], WITH_GPU, gpu="H200").seconds < cost_of([], WITH_GPU, gpu="RTX-3090").seconds
    with pytest.raises(UserError, match="H200"):
        cost_of([], WITH_GPU, gpu="H2000")


def test_the_time_of_a_stand_in_is_measured_or_unknown():
    model = {"paper": "LLaVA-1.5-7B", "checkpoint": "data/checkpoints/stand-in"}
    config = a_config(models={"llava-7b": model}, experiments={})
    processor = a_rate(model="stand-in", device="x86_64", gpu=False, accelerator_bytes=None)
    assert cost_of([a_rate(model=MODEL)], WITHOUT_GPU, config).basis == "unknown"
    assert cost_of([processor], WITHOUT_GPU, config).basis == "measured"


def test_data_sheets_are_found_by_the_names_of_devices():
    names = {
        "NVIDIA A100-SXM4-80GB": "A100-80GB",
        "NVIDIA H100 80GB HBM3": "H100",
        "NVIDIA GeForce RTX 3090": "RTX-3090",
    }
    assert {name: data_sheet_of(name).name for name in names} == names
    assert data_sheet_of("NVIDIA H100 PCIe") is None and data_sheet_of("Quadro K600") is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (600, "10 min"), (7200, "2.0 h"), (10 * 86400, "10.0 days"), (None, "unknown")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
