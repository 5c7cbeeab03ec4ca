"""The table of measured rates: what is written is read, and the rate that fits is found."""

import pytest
from helpers.planning import a_rate

from vtprune.errors import UserError
from vtstudy.benchmarks import BENCHMARKS
from vtstudy.planning.rates import Rate, add_rate, find_rate, kind_of, read_rates


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = tmp_path / "recorded" / "rates.json"
    assert read_rates(table) == []
    first, other = a_rate(), a_rate(device="NVIDIA A100-SXM4-80GB")
    add_rate(table, first)
    add_rate(table, other)
    assert sorted(read_rates(table), key=lambda rate: rate.device) == [other, first]
    again = a_rate(resident_bytes=4 * 10**9)  # the same model, device and settings
    add_rate(table, again)
    assert again in read_rates(table) and first not in read_rates(table) and len(read_rates(table)) == 2


@pytest.mark.parametrize("text", ["", "{}", '[{"model": "a"}]', "[1]"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(UserError, match=r"rates\.json"):
        read_rates(tmp_path / "rates.json")


def test_a_kind_that_was_not_measured_costs_as_the_slowest_one():
    rate = a_rate()
    assert rate.of("short").benchmark == "gqa" and rate.of("long").benchmark == "nocaps"


def test_every_benchmark_has_a_kind():
    kinds = {name: kind_of(name) for name in BENCHMARKS}
    assert {name for name, kind in kinds.items() if kind == "caption"} == {"nocaps", "flickr30k"}
    assert {kinds[name] for name in ("textvqa", "docvqa", "chartqa")} == {"reading"}
    assert (kinds["pope"], kinds["mmvet"]) == ("short", "long")


def test_rates_of_other_devices_and_models_do_not_count():
    here, other = a_rate(), a_rate(batch_size=8)
    processor = a_rate(device="x86_64", gpu=False, accelerator_bytes=None)
    rates = [other, here, processor, a_rate(model="owner/other")]

    def found(device: str, model: str = "owner/name", batch_size: int = 16) -> Rate | None:
        return find_rate(rates, model, lambda rate: rate.device == device, dtype="float16", batch_size=batch_size)

    assert found("NVIDIA H200") == here
    assert found("NVIDIA H200", batch_size=8) == other
    assert found("x86_64") == processor
    assert found("NVIDIA L40S") is None
    assert found("x86_64", model="nobody/nothing") is None
