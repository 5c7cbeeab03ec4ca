"""Rows of results.csv, and what collects them."""

import csv
import json

import numpy as np
import pytest

from vtprune.evaluation.errors import EvaluationError
from vtprune.evaluation.scores import Scores
from vtprune.experiments import table1, table4
from vtprune.experiments.collect import collect
from vtprune.experiments.design import Experiment, Row
from vtprune.experiments.results import COLUMNS, rows_of, to_csv
from vtprune.experiments.settings import parse, read
from vtprune.pruning import AdaptPrune, FastV, NoPruning
from vtprune.reporting.inputs import RESULT_COLUMNS, load_results
from vtprune.reporting.relations import METHOD_LABELS

DEMO = Experiment(
    "demo", ("pope", "gqa"), {"baseline": Row(), "fastv": Row("fastv"), "random": Row("random")},
    ("fastv - random", "fastv - baseline"), chance=True,
)  # fmt: skip


def scores(benchmark, mean, seed, n=300) -> Scores:
    values = np.clip(np.random.default_rng(seed).normal(mean, 20, n), 0, 100)
    units = tuple(map(str, range(n)))
    return Scores(benchmark, "accuracy", float(values.mean()), n, units, values, np.zeros(n, dtype=int))


@pytest.fixture
def cells():
    levels = {"baseline": 70, "fastv": 50, "random": 45}
    return {
        name: {b: scores(b, level, seed) for b, seed in (("pope", 1), ("gqa", 2))} for name, level in levels.items()
    }


def rows(cells, **options):
    return rows_of(DEMO, "tiny", 0.1, cells, {"pope": 50.0}, **{"resamples": 300, "seed": 0, **options})


def test_rows(cells):
    found = {(row["method"], row["benchmark"]): row for row in rows(cells)}
    assert len(found) == 3 * 5 + 1
    pope, mean = found["fastv", "pope"], found["fastv", "mean"]
    assert pope["value"] == pytest.approx(cells["fastv"]["pope"].value) and pope["n"] == 300 and pope["keep"] == 0.1
    percents = [100 * cells["fastv"][b].value / cells["baseline"][b].value for b in ("pope", "gqa")]
    assert mean["value"] == pytest.approx(np.mean(percents)) and mean["n"] == 600
    assert mean["metric"] == "percent_of_baseline" and mean["ci_low"] < mean["value"] < mean["ci_high"]
    assert found["baseline", "mean"]["value"] == found["baseline", "mean"]["ci_low"] == 100
    assert found["baseline", "pope"]["keep"] == 1 and found["chance", "pope"]["keep"] is None
    # The same noise in both, so the paired interval is far inside that of either.
    difference = found["fastv - random", "pope"]
    assert difference["metric"] == "difference:accuracy" and difference["ci_low"] > 0
    assert difference["ci_high"] - difference["ci_low"] < 0.2 * (pope["ci_high"] - pope["ci_low"])


def test_the_same_bytes_and_columns_as_the_report_reads(cells, tmp_path):
    text = to_csv(rows(cells))
    assert text == to_csv(rows(cells)) and COLUMNS == RESULT_COLUMNS
    (tmp_path / "results.csv").write_text(text.replace("tiny", "miniature-llava"))
    measures = load_results(tmp_path / "results.csv")
    found = measures.difference("demo", "miniature-llava", "random - fastv", "gqa", 0.1)
    assert found.has_interval and found.value < 0


def test_cells_of_other_questions_are_not_paired(cells):
    cells["fastv"]["pope"] = scores("pope", 50, 1, n=299)
    with pytest.raises(EvaluationError, match="pope: the cells did not answer the same questions"):
        rows(cells)


def test_no_percent_of_nothing(cells):
    zero = cells["baseline"]["gqa"]
    cells["baseline"]["gqa"] = Scores("gqa", "accuracy", 0.0, 300, zero.units, 0 * zero.values, zero.strata)
    assert "mean" not in {row["benchmark"] for row in rows(cells)}


def test_the_tables():
    assert len(table1.EXPERIMENT.benchmarks) == 12 and len(table4.EXPERIMENT.benchmarks) == 8
    for experiment in (table1.EXPERIMENT, table4.EXPERIMENT):
        assert set(experiment.rows) <= set(METHOD_LABELS)
        for pair in experiment.pairs:
            assert set(pair.split(" - ")) <= set(experiment.rows)
    one = {name: row.cell(0.1) for name, row in table1.EXPERIMENT.rows.items()}
    four = {name: row.cell(0.1) for name, row in table4.EXPERIMENT.rows.items()}
    assert one["blind"].image == "blank" and one["baseline"].method == NoPruning()
    assert four["(a)"] == one["fastv"] and four["(d)"] == one["adaptprune"] and four["baseline"] == one["baseline"]
    assert four["(a)"].method == FastV(0.1)
    assert four["(b)"].method == AdaptPrune(0.1, distance=False, similarity=False)
    assert four["(c)"].method == AdaptPrune(0.1, similarity=False)


def test_settings(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("profile: lite\nevaluation: {keep: 0.2, data: null}\n")
    found = parse("table1", ["--params", str(params), "--limit", "8", "--keep", "0.3", "--store", "x"])
    assert (found.profile, found.keep, found.limit, found.data, found.store) == ("lite", 0.3, 8, None, "x")
    assert parse("table1", ["--params", str(params), "--checkpoint", "owner/name"]).model == "owner/name"
    params.write_text("evaluation: {kept: 1}\n")
    with pytest.raises(EvaluationError, match="'evaluation.kept' is not known"):
        read(params)
    params.write_text("profile: x\n")
    with pytest.raises(EvaluationError, match="no section 'evaluation'"):
        read(params)
    with pytest.raises(EvaluationError, match="cannot be read"):
        read(tmp_path / "none.yaml")


def test_collect(cells, tmp_path):
    facts = {"profile": "miniature", "commit": "abc", "seconds": 2.5, "seconds_by_cell": {}, "n_questions": 10}
    with pytest.raises(EvaluationError, match="there are no results"):
        collect(tmp_path, tmp_path / "out")
    for name in ("table10", "table4", "table1"):
        (tmp_path / f"{name}.csv").write_text(to_csv(rows(cells)).replace("demo", name))
        (tmp_path / f"{name}.json").write_text(json.dumps(facts | {"dirty": name == "table4"}))
    (tmp_path / "cost.csv").write_text("model,flops\na,1\n")  # no scores: not collected
    assert collect(tmp_path, tmp_path / "out") == ["table1", "table4", "table10"]
    with open(tmp_path / "out" / "results.csv") as file:
        found = [row["experiment"] for row in csv.DictReader(file)]
    assert len(found) == 48 and list(dict.fromkeys(found)) == ["table1", "table4", "table10"]
    joined = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert joined["profile"] == "miniature" and joined["commit"] == "abc" and joined["dirty"]
    assert joined["seconds"] == 7.5 and joined["n_questions"] == 30
    (tmp_path / "table4.json").unlink()
    with pytest.raises(EvaluationError, match=r"table4\.json cannot be read"):
        collect(tmp_path, tmp_path / "out")
