"""Times of the routes: what is measured, what is read, what the complexity says."""

import csv
import json

import pytest
import torch

from vtprune.errors import UserError
from vtprune.ops import spectrum
from vtstudy.experiments import svd_latency as spectra_latency
from vtstudy.experiments.svd_routes import budget_calls, cost, leading_call, matrix


def test_the_complexity():
    assert cost(576, 1024, None) == 576 * 1024 * 576 and cost(576, 1024, 64) == 576 * 1024 * 64 + 64**2 * 1024
    assert cost(100, 20, 20) == cost(100, 20, None) == 100 * 20 * 20


def test_calls_give_what_they_are_named_for():
    x = matrix(48, 96, torch.device("cpu"))
    assert x.shape == (1, 48, 96)
    shares = spectrum(x, route="svd").shares[0]
    assert 0.6 < shares[0] < 0.75 and shares[1] > 3 * shares[9]
    budgets = {name: call()[0].item() for name, call in budget_calls(x, 0.9, 4, 2, 2).items()}
    assert list(budgets) == ["svd", "gram", "randomised"] and len(set(budgets.values())) == 1
    assert leading_call(x, 4, 4, 3)() == pytest.approx(shares[:4], abs=1e-3)


def test_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(spectra_latency, "SWEEPS", {"shapes": [("24x48", 4), ("24x48", 8)]})
    monkeypatch.setattr(spectra_latency, "SLOW", 30000)
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    spectra_latency.measure_latency(tmp_path, recorded, tmp_path / "cache", rounds=2)
    rows = list(csv.DictReader((tmp_path / "spectra_latency/latency.csv").open()))
    assert [row["route"] for row in rows] == ["svd", "gram", "randomised", "randomised, rank t"] * 2
    for row in rows:
        assert row["source"] == "measured" and float(row["quartile_low_ms"]) <= float(row["median_ms"]) <= float(
            row["quartile_high_ms"]
        )
    assert rows[0]["budget"] == rows[1]["budget"] == rows[2]["budget"] and rows[3]["budget"] == ""
    assert float(rows[1]["times_gram"]) == 1 and float(rows[3]["cost"]) == cost(24, 48, 4)
    # A second run takes the stored times.
    written = (tmp_path / "spectra_latency/latency.csv").read_bytes()
    spectra_latency.measure_latency(tmp_path, recorded, tmp_path / "cache", rounds=2)
    assert (tmp_path / "spectra_latency/latency.csv").read_bytes() == written
    monkeypatch.setattr(spectra_latency, "SLOW", 100)
    assert {route["route"] for route in spectra_latency.time_routes("24x48", 4, 2)} == {
        "gram",
        "randomised",
        "randomised, rank t",
    }


def test_recorded_times_of_a_gpu_are_read(tmp_path):
    def record(name, cuda, benchmark="spectra"):
        rows = [
            {"shape": "576x1024", "what": what, "seconds": [0.002, 0.004, 0.003], "settled_at": 64, "tokens": 9}
            for what in ("svd", "gram", "randomised", "torch.svd_lowrank, rank t")
        ]
        found = {
            "benchmark": benchmark,
            "settings": {"rank": 64},
            "rows": rows,
            "provenance": {"device": "H100", "versions": {"cuda": cuda}},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(found))

    assert list(spectra_latency.recorded(tmp_path)) == []
    record("gpu", "12.8")
    record("cpu", None)
    record("other", "12.8", "prefill")
    (tmp_path / "cost.json").write_text("[]")
    rows = list(spectra_latency.recorded(tmp_path))
    assert [row["route"] for row in rows] == ["svd", "gram", "randomised"] and {row["device"] for row in rows} == {
        "H100"
    }
    assert rows[2]["median_ms"] == "3" and rows[2]["source"] == "recorded" and rows[2]["times_gram"] == "1"
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json"):
        list(spectra_latency.recorded(tmp_path))
