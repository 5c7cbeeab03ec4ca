"""The rows of cost.csv, conventions.csv and timings.csv."""

import csv

import pytest

from vtprune.errors import UserError
from vtstudy.experiments import costs, timings
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.paper_models import SIZES


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    assert costs.write_costs(folder)
    return folder


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_model_method_and_keep_ratio_has_a_row(written):
    rows = read(written / "cost.csv")
    keys = [(row["model"], row["method"], row["keep"]) for row in rows]
    assert len(set(keys)) == len(keys) == len(SIZES) * (2 + 2 * len(costs.KEEPS))
    by_key = dict(zip(keys, rows, strict=True))
    for model in SIZES:
        whole, fastv = by_key[model, "baseline", "1.0"], by_key[model, "fastv", "0.1"]
        ours, vtw = by_key[model, "adaptprune", "0.1"], by_key[model, "vtw", ""]
        assert int(fastv["kept_tokens"]) == int(0.1 * int(fastv["image_tokens"])) and vtw["kept_tokens"] == "0"
        # AdaptPrune costs what FastV does but for its selection, which is below a hundredth of the prefill.
        assert int(ours["flops"]) - int(ours["selection_flops"]) == int(fastv["flops"]) < int(whole["flops"])
        assert 0 < int(ours["selection_flops"]) < 0.01 * int(whole["prefill_flops"])
        assert fastv["cache_bytes"] == ours["cache_bytes"] and int(whole["flops"]) > int(vtw["flops"])
    # Two bytes for each of 2 x 32 layers x 640 tokens x 4096 values.
    assert by_key["LLaVA-1.5-7B", "baseline", "1.0"]["cache_bytes"] == str(2 * 2 * 32 * 640 * 4096)
    # Table 3's 4.6 GB of memory are not the cache: at batch 1 the whole of it is a fourteenth of that.
    assert int(by_key["LLaVA-1.5-7B", "baseline", "1.0"]["cache_bytes"]) < 4.6e9 / 13


def test_conventions_and_the_same_bytes_again(written, tmp_path):
    rows = read(written / "conventions.csv")
    assert len(rows) == 72 * 5 and {row["agrees"] for row in rows} == {"yes", "no"}
    write_csv(tmp_path / "again.csv", costs.convention_rows())
    assert (tmp_path / "again.csv").read_bytes() == (written / "conventions.csv").read_bytes()


def test_ratios_are_taken_round_by_round():
    phases = {"prefill": [4.0, 8.0, 6.0], "decode": [1.0] * 3, "end_to_end": [5.0, 9.0, 7.0]}
    half = {phase: [value / 2 for value in each] for phase, each in phases.items()}
    rows = list(
        timings.rows_of("m", 2, {"none": phases, "fastv": {**half, "scoring": [0.4] * 3, "selection": [0.0] * 3}})
    )
    found = {row["quantity"]: row for row in rows}
    for phase in ("prefill", "decode", "end_to_end"):
        assert {found[f"speedup_{phase}"][name] for name in ("median", "quartile_low", "quartile_high")} == {"2.0000"}
    assert found["scoring_per_prefill"]["median"] == f"{0.4 / 6:.4f}" and found["scoring_per_prefill"]["rounds"] == 3
    assert {(row["method"], row["batch"], row["keep"]) for row in rows} == {("fastv", 2, 0.1)}


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"x\.csv"):
        write_csv(tmp_path / "x.csv", [])
