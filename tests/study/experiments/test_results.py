"""Rows of results.csv, and what collects them."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.scoring import Scores
from vtstudy.experiments import table1, table2, table4, table5, table6_7, table8
from vtstudy.experiments.collect import collect
from vtstudy.experiments.results import COLUMNS, rows_of, to_csv
from vtstudy.experiments.settings import parse, read
from vtstudy.experiments.spec import Experiment, Row
from vtstudy.report.labels import LINKS, METHOD_LABELS
from vtstudy.report.results import RESULT_COLUMNS, load_results

DEMO = Experiment(
    "demo",
    ("pope", "gqa"),
    {"baseline": Row(), "fastv": Row("fastv"), "random": Row("random")},
    ("fastv - random", "fastv - baseline"),
    chance=True,
)


def scores(benchmark, mean, seed, n=300) -> Scores:
    values = np.clip(np.random.default_rng(seed).normal(mean, 20, n), 0, 100)
    units = tuple(map(str, range(n)))
    return Scores(benchmark, "accuracy", float(values.mean()), n, units, values, np.zeros(n, dtype=int), np.arange(n))


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
    measures = load_results(tmp_path / "results.csv", {"LLaVA-1.5-7B": "miniature-llava"})
    found = measures.difference("demo", "miniature-llava", "random - fastv", "gqa", 0.1)
    assert found.has_interval and found.value < 0


def test_cells_of_other_questions_are_not_paired(cells):
    cells["fastv"]["pope"] = scores("pope", 50, 1, n=299)
    with pytest.raises(EvaluationError, match="pope: the cells did not answer the same questions"):
        rows(cells)


def test_a_single_image_has_no_interval(cells):
    """The scores stay; neither they nor their differences nor the mean of percents has an interval."""
    for found in cells.values():
        found["gqa"] = replace(found["gqa"], images=np.zeros(300, dtype=int))
    found = rows(cells)
    with_interval = {
        row["benchmark"]
        for row in found
        if row["method"] != "chance" and np.isfinite([row["ci_low"], row["ci_high"]]).all()
    }
    assert with_interval == {"pope"} and {row["benchmark"] for row in found} == {"pope", "gqa", "mean"}
    assert np.isfinite([row["value"] for row in found]).all()
    lines = [line for line in csv.DictReader(to_csv(found).splitlines()) if line["benchmark"] != "pope"]
    assert {line["ci_low"] + line["ci_high"] for line in lines} == {""}


def test_questions_about_one_image_are_drawn_together(cells):
    """Two questions an image that always score alike: half as many observations, so wider by the root of two."""
    half = {name: {b: twice(s) for b, s in of.items()} for name, of in cells.items()}
    alike = {name: {b: replace(s, images=np.arange(300)) for b, s in of.items()} for name, of in half.items()}
    for images, questions in zip(rows(half, resamples=2000), rows(alike, resamples=2000), strict=True):
        assert images["value"] == questions["value"] and images["n"] == questions["n"]
        if images["method"] != "chance" and images["metric"] != "percent_of_baseline":
            wide, narrow = (row["ci_high"] - row["ci_low"] for row in (images, questions))
            assert wide / narrow == pytest.approx(2**0.5, rel=0.1)


def twice(found: Scores) -> Scores:
    values = np.repeat(found.values[:150], 2)
    return replace(found, value=float(values.mean()), values=values, images=np.repeat(np.arange(150), 2))


def test_no_percent_of_nothing(cells):
    zero = cells["baseline"]["gqa"]
    cells["baseline"]["gqa"] = Scores(
        "gqa", "accuracy", 0.0, 300, zero.units, 0 * zero.values, zero.strata, zero.images
    )
    assert "mean" not in {row["benchmark"] for row in rows(cells)}


def test_one_benchmark_has_no_mean(cells):
    found = rows_of(
        Experiment("demo", ("pope",), DEMO.rows, ()),
        "tiny",
        0.1,
        {n: {"pope": c["pope"]} for n, c in cells.items()},
        {},
        resamples=9,
        seed=0,
    )
    assert {row["benchmark"] for row in found} == {"pope"}


def test_a_method_without_a_ratio_has_none(cells):
    withdrawn = Experiment("demo", ("pope",), {**DEMO.rows, "vtw": Row("vtw")}, ("fastv - vtw", "baseline - vtw"))
    found = rows_of(withdrawn, "tiny", 0.1, {**cells, "vtw": cells["random"]}, {}, resamples=9, seed=0)
    keeps = {row["method"]: row["keep"] for row in found if row["benchmark"] == "pope"}
    assert keeps == {
        "baseline": 1.0,
        "fastv": 0.1,
        "random": 0.1,
        "vtw": None,
        "fastv - vtw": 0.1,
        "baseline - vtw": None,
    }
    assert not withdrawn.rows["vtw"].takes_keep


ALL = [table1, table2, table4, table5, table6_7, table8]


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_table_is_whole(module):
    """Its rows are methods that there are, its pairs are of its rows, and the report knows them all."""
    experiment = module.EXPERIMENT
    assert experiment.name == module.__name__.rpartition(".")[2]
    assert set(experiment.rows) <= set(METHOD_LABELS)
    for row in experiment.rows.values():
        assert row.cell(0.1)
    for pair in experiment.pairs:
        assert set(pair.split(" - ")) <= set(experiment.rows)


def test_the_tables():
    assert [len(module.EXPERIMENT.benchmarks) for module in ALL] == [12, 10, 8, 4, 1, 1]
    one = {name: row.cell(0.1) for name, row in table1.EXPERIMENT.rows.items() if name != "vtw"}
    four = {name: row.cell(0.1) for name, row in table4.EXPERIMENT.rows.items()}
    assert one["blind"].image == "blank" and one["baseline"].method == NoPruning()
    assert four["(a)"] == one["fastv"] and four["(d)"] == one["adaptprune"] and four["baseline"] == one["baseline"]
    assert four["(a)"].method == FastV(0.1)
    assert four["(b)"].method == AdaptPrune(0.1, distance=False, similarity=False)
    assert four["(c)"].method == AdaptPrune(0.1, similarity=False)


def test_every_printed_row_has_one_of_ours():
    """But for Table 3, whose rows are those of Table 1."""
    rows = {module.EXPERIMENT.name: set(module.EXPERIMENT.rows) for module in ALL}
    for link in LINKS.values():
        for row in link.methods.values():
            for experiment, method in row.sources:
                assert method in rows[experiment], (link.table, experiment, method)


def test_settings(tmp_path):
    params = tmp_path / "params.yaml"
    models = "{one: {paper: A, checkpoint: here}, two: {paper: B, checkpoint: owner/name}}"
    params.write_text(f"profile: lite\nevaluation: {{keep: 0.2, data: null, models: {models}}}\n")
    found = parse("table1", ["--params", str(params), "--limit", "8", "--keep", "0.3", "--store", "x"])
    assert (found.profile, found.keep, found.limit, found.data, found.store) == ("lite", 0.3, 8, None, "x")
    assert (
        found.checkpoint == "here"
        and parse("table1", ["--params", str(params), "--model", "two"]).model == "owner/name"
    )
    assert parse("table1", ["--params", str(params), "--checkpoint", "else"]).checkpoint == "else"
    with pytest.raises(EvaluationError, match=r"'evaluation\.models' has no three; it has one, two"):
        read(params, model="three")


def test_a_model_may_have_a_limit_of_its_own(tmp_path):
    params = tmp_path / "params.yaml"
    models = "{one: {paper: A, checkpoint: here}, two: {paper: B, checkpoint: there, limit: 3}, three: {paper: C, checkpoint: there, limit: {default: 5, mme: null}}}"
    params.write_text(
        f"profile: lite\nevaluation: {{limit: 100, models: {models}}}\nfigures: {{figure5: {{limit: 7}}}}\n"
    )
    assert [read(params, model=name).limit for name in ("one", "two", "three")] == [100, 3, {"default": 5, "mme": None}]
    assert read(params, "figure5", model="two").limit == 7  # what a figure says of itself goes first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "profile: x\nevaluation: {kept: 1, models: {a: {paper: A, checkpoint: b}}}",
            r"'evaluation\.kept' is not known",
        ),
        ("profile: x", "no section 'evaluation'"),
        ("evaluation: {}", "does not name its 'profile'"),
        ("profile: x\nevaluation: {}", r"no table 'evaluation\.models'"),
        (
            "profile: x\nevaluation: {models: {a: here}}",
            r"'evaluation\.models\.a' must have the keys checkpoint and paper",
        ),
        ("profile: x\nevaluation: {models: {a: {paper: A, checkpoint: b, keep: 1}}}", r"may have limit, and no others"),
        (
            "profile: x\nevaluation: {models: {a: {paper: A, checkpoint: b, limit: 0}}}",
            r"'evaluation\.models\.a\.limit' must be .* not 0",
        ),
        (
            "profile: x\nevaluation: {models: {a: {paper: A, checkpoint: b, limit: {pope: few}}}}",
            r"a\.limit' must be .* not 'few'",
        ),
        (
            "profile: x\nevaluation: {limit: true, models: {a: {paper: A, checkpoint: b}}}",
            r"'evaluation\.limit' must be .* not True",
        ),
        ("a: [", "is not valid YAML"),
    ],
)
def test_params_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read(tmp_path / "params.yaml")


def test_no_params(tmp_path):
    with pytest.raises(EvaluationError, match="cannot be read"):
        read(tmp_path / "none.yaml")


def test_collect(cells, tmp_path):
    facts = {"profile": "miniature", "commit": "abc", "seconds": 2.5, "answers": 10, "prompts_shown": 3}
    names = ("table1", "table4", "table10")
    files = [tmp_path / f"{name}.csv" for name in names]
    with pytest.raises(EvaluationError, match=r"table1\.csv cannot be read"):
        collect(files, tmp_path / "out")
    (tmp_path / "stale.csv").write_text("left by an experiment that is no more")
    for name in names:
        (tmp_path / f"{name}.csv").write_text(to_csv(rows(cells)).replace("demo", name))
        (tmp_path / f"{name}.json").write_text(json.dumps(facts | {"dirty": name == "table4"}))
    assert collect(files, tmp_path / "out") == ["table1", "table4", "table10"]
    with open(tmp_path / "out" / "results.csv") as file:
        found = [row["experiment"] for row in csv.DictReader(file)]
    assert len(found) == 48 and list(dict.fromkeys(found)) == ["table1", "table4", "table10"]
    joined = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert joined["profile"] == "miniature" and joined["commit"] == "abc" and joined["dirty"]
    assert joined["seconds"] == 7.5 and joined["answers"] == 30 and joined["prompts_shown"] == 9
    assert joined["seconds_by_experiment"] == dict.fromkeys(names, 2.5)
    (tmp_path / "table4.json").unlink()
    with pytest.raises(EvaluationError, match=r"table4\.json cannot be read"):
        collect(files, tmp_path / "out")
