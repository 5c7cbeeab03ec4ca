"""The rows of cost.csv, method_costs.csv, conventions.csv and timings.csv, and the times of choosing."""

import csv
import json
from itertools import product

import pytest
from helpers import ROOT

from vtprune.errors import UserError
from vtprune.methods import methods
from vtstudy.experiments import costs, timings
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.paper_models import SIZES

pytestmark = pytest.mark.slow


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


def test_every_method_with_a_budget_has_its_savings(written):
    rows = read(written / "method_costs.csv")
    named = [name for name, cls in methods().items() if cls.takes_keep()]
    assert [(row["method"], float(row["keep"])) for row in rows] == list(product(named, costs.KEEPS))
    found = {(row["method"], row["keep"]): row for row in rows}
    for row in read(written / "cost.csv"):
        if row["model"] == "LLaVA-1.5-7B" and row["method"] in ("fastv", "adaptprune"):
            saved = found[row["method"], row["keep"]]
            assert saved["flops_saved_percent"] == row["flops_saved_percent"]
            assert int(saved["choosing_flops"]) == int(row["scoring_flops"]) + int(row["selection_flops"])
    # VisionZip and its kind prune before the first layer, FastV two layers later.
    assert float(found["divprune", "0.1"]["cache_saved_percent"]) > float(found["fastv", "0.1"]["cache_saved_percent"])


@pytest.mark.exhaustive
def test_choosing_is_timed_once_for_every_method_with_a_budget(tmp_path, monkeypatch):
    options = {
        "checkpoint": ROOT / "data/checkpoints/miniature-llava",
        "cache": tmp_path / "answers",
        "batches": (1,),
        "rounds": 2,
    }
    timings.measure_timings(tmp_path, **options)
    facts = json.loads((tmp_path / "timings.json").read_text())
    assert set(facts["choosing_milliseconds"]) == {name for name, cls in methods().items() if cls.takes_keep()}
    assert all(milliseconds > 0 for milliseconds in facts["choosing_milliseconds"].values())
    monkeypatch.setattr(timings, "_model", None)
    timings.measure_timings(tmp_path, **options)
    assert json.loads((tmp_path / "timings.json").read_text()) == facts


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
