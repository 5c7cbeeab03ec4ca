"""Rows of results.csv, and what collects them."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.checkpoint_source import Source, model_name, write_source
from vtstudy.config import load
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.scoring import Scores
from vtstudy.experiments.adaptprune_tables import TABLE1, TABLE4, TABLES
from vtstudy.experiments.collect import collect
from vtstudy.experiments.results import rows_of
from vtstudy.experiments.spec import Experiment, VariantSpec
from vtstudy.report.labels import METHOD_LABELS
from vtstudy.report.results import load_results
from vtstudy.report.table_links import TABLE_LINKS
from vtstudy.results_table import COLUMNS, to_csv

DEMO = Experiment(
    "demo",
    ("pope", "gqa"),
    {"baseline": VariantSpec(), "fastv": VariantSpec("fastv"), "random": VariantSpec("random")},
    ("fastv - random", "fastv - baseline"),
    chance=True,
)


def scores(benchmark, mean, seed, n=300) -> Scores:
    values = np.clip(np.random.default_rng(seed).normal(mean, 20, n), 0, 100)
    units = tuple(map(str, range(n)))
    return Scores(benchmark, "accuracy", float(values.mean()), n, units, values, np.zeros(n, dtype=int), np.arange(n))


@pytest.fixture
def results():
    levels = {"baseline": 70, "fastv": 50, "random": 45}
    return {
        name: {b: scores(b, level, seed) for b, seed in (("pope", 1), ("gqa", 2))} for name, level in levels.items()
    }


def rows(results, **options):
    return rows_of(DEMO, "tiny", 0.1, results, {"pope": 50.0}, **{"resamples": 300, "seed": 0, **options})


def csv_text(found) -> str:
    return to_csv(pd.DataFrame(found))


def test_rows_hold_scores_differences_and_their_mean(results):
    found = {(row["method"], row["benchmark"]): row for row in rows(results)}
    assert len(found) == 3 * 5 + 1
    pope, mean = found["fastv", "pope"], found["fastv", "mean"]
    assert pope["value"] == pytest.approx(results["fastv"]["pope"].value) and pope["n"] == 300 and pope["keep"] == 0.1
    percents = [100 * results["fastv"][b].value / results["baseline"][b].value for b in ("pope", "gqa")]
    assert mean["value"] == pytest.approx(np.mean(percents)) and mean["n"] == 600
    assert mean["metric"] == "percent_of_baseline" and mean["ci_low"] < mean["value"] < mean["ci_high"]
    assert found["baseline", "mean"]["value"] == found["baseline", "mean"]["ci_low"] == 100
    assert found["baseline", "pope"]["keep"] == 1 and found["chance", "pope"]["keep"] is None
    # The same noise in both, so the paired interval is far inside that of either.
    difference = found["fastv - random", "pope"]
    assert difference["metric"] == "difference:accuracy" and difference["ci_low"] > 0
    assert difference["ci_high"] - difference["ci_low"] < 0.2 * (pope["ci_high"] - pope["ci_low"])


def test_the_report_reads_the_written_columns(results, tmp_path):
    text = csv_text(rows(results))
    assert text == csv_text(rows(results)) and tuple(text.splitlines()[0].split(",")) == COLUMNS
    (tmp_path / "results.csv").write_text(text.replace("tiny", "miniature-llava"))
    measures = load_results(tmp_path / "results.csv", {"LLaVA-1.5-7B": "miniature-llava"})
    found = measures.difference("demo", "miniature-llava", "random - fastv", "gqa", 0.1)
    assert found.has_interval and found.value < 0


def test_scores_of_different_questions_are_not_paired(results):
    results["fastv"]["pope"] = scores("pope", 50, 1, n=299)
    with pytest.raises(EvaluationError, match="pope"):
        rows(results)


def test_a_single_image_has_no_interval(results):
    """The scores stay; neither they nor their differences nor the mean of percents has an interval."""
    for found in results.values():
        found["gqa"] = replace(found["gqa"], images=np.zeros(300, dtype=int))
    found = rows(results)
    with_interval = {
        row["benchmark"]
        for row in found
        if row["method"] != "chance" and np.isfinite([row["ci_low"], row["ci_high"]]).all()
    }
    assert with_interval == {"pope"} and {row["benchmark"] for row in found} == {"pope", "gqa", "mean"}
    assert np.isfinite([row["value"] for row in found]).all()
    lines = [line for line in csv.DictReader(csv_text(found).splitlines()) if line["benchmark"] != "pope"]
    assert {line["ci_low"] + line["ci_high"] for line in lines} == {""}


def test_questions_about_one_image_are_drawn_together(results):
    """Two questions an image that always score alike: half as many observations, so wider by the root of two."""
    half = {name: {b: twice(s) for b, s in of.items()} for name, of in results.items()}
    alike = {name: {b: replace(s, images=np.arange(300)) for b, s in of.items()} for name, of in half.items()}
    for images, questions in zip(rows(half, resamples=2000), rows(alike, resamples=2000), strict=True):
        assert images["value"] == questions["value"] and images["n"] == questions["n"]
        if images["method"] != "chance" and images["metric"] != "percent_of_baseline":
            wide, narrow = (row["ci_high"] - row["ci_low"] for row in (images, questions))
            assert wide / narrow == pytest.approx(2**0.5, rel=0.1)


def twice(found: Scores) -> Scores:
    values = np.repeat(found.values[:150], 2)
    return replace(found, value=float(values.mean()), values=values, images=np.repeat(np.arange(150), 2))


def test_an_unpruned_score_of_zero_gives_no_mean_percentage(results):
    zero = results["baseline"]["gqa"]
    results["baseline"]["gqa"] = Scores(
        "gqa", "accuracy", 0.0, 300, zero.units, 0 * zero.values, zero.strata, zero.images
    )
    assert "mean" not in {row["benchmark"] for row in rows(results)}


def test_one_benchmark_has_no_mean(results):
    found = rows_of(
        Experiment("demo", ("pope",), DEMO.variants, ()),
        "tiny",
        0.1,
        {n: {"pope": c["pope"]} for n, c in results.items()},
        {},
        resamples=9,
        seed=0,
    )
    assert {row["benchmark"] for row in found} == {"pope"}


def test_a_method_without_a_ratio_has_none(results):
    withdrawn = Experiment(
        "demo", ("pope",), {**DEMO.variants, "vtw": VariantSpec("vtw")}, ("fastv - vtw", "baseline - vtw")
    )
    found = rows_of(withdrawn, "tiny", 0.1, {**results, "vtw": results["random"]}, {}, resamples=9, seed=0)
    keeps = {row["method"]: row["keep"] for row in found if row["benchmark"] == "pope"}
    assert keeps == {
        "baseline": 1.0,
        "fastv": 0.1,
        "random": 0.1,
        "vtw": None,
        "fastv - vtw": 0.1,
        "baseline - vtw": None,
    }
    assert not withdrawn.variants["vtw"].takes_keep


@pytest.mark.parametrize("experiment", TABLES, ids=lambda experiment: experiment.name)
def test_the_report_knows_every_variant_of_a_table(experiment):
    assert set(experiment.variants) <= set(METHOD_LABELS)
    assert all(spec.variant(0.1) for spec in experiment.variants.values())
    assert {name for pair in experiment.pairs for name in pair.split(" - ")} <= set(experiment.variants)


def test_shared_variants_of_the_tables_are_equal():
    assert [len(table.benchmarks) for table in TABLES] == [12, 10, 8, 4, 1, 1, 8]
    one = {name: spec.variant(0.1) for name, spec in TABLE1.variants.items()}
    four = {name: spec.variant(0.1) for name, spec in TABLE4.variants.items()}
    assert one["blind"].image == "blank" and one["baseline"].method == NoPruning()
    assert four["(a)"] == one["fastv"] and four["(d)"] == one["adaptprune"] and four["baseline"] == one["baseline"]
    assert four["(a)"].method == FastV(0.1)
    assert four["(b)"].method == AdaptPrune(0.1, distance=False, similarity=False)
    assert four["(c)"].method == AdaptPrune(0.1, similarity=False)


def test_every_printed_row_has_a_variant():
    """Table 3 has none: its rows are those of Table 1."""
    variants = {table.name: set(table.variants) for table in TABLES}
    for link in TABLE_LINKS.values():
        for row in link.methods.values():
            for experiment, method in row.sources:
                assert method in variants[experiment], (link.table, experiment, method)


@pytest.fixture
def scores_folder(results, tmp_path):
    """The results of three runs: two of table1, one of table4."""
    for name in ("table1-llava-7b", "table1-next-7b", "table4"):
        text = csv_text(rows(results)).replace("demo", name.partition("-")[0]).replace("tiny", name)
        (tmp_path / f"{name}.csv").write_text(text)
        facts = {"profile": "miniature", "commit": "abc", "seconds": 2.5, "answers": 10, "prompts_shown": 3}
        (tmp_path / f"{name}.json").write_text(json.dumps(facts | {"dirty": name == "table4"}))
    return tmp_path


CONFIG = load(ROOT / "params.yaml")


def test_collect_joins_a_folder_in_the_order_of_the_experiments(scores_folder, tmp_path):
    names = ["table1-llava-7b", "table1-next-7b", "table4"]
    assert collect(scores_folder, tmp_path / "out", CONFIG) == names
    lines = (tmp_path / "out/results.csv").read_text().splitlines()
    assert lines[1:] == [line for name in names for line in (tmp_path / f"{name}.csv").read_text().splitlines()[1:]]
    facts = json.loads((tmp_path / "out/provenance.json").read_text())
    assert facts["profile"] == "miniature" and facts["commit"] == "abc" and facts["dirty"]
    assert facts["seconds"] == 7.5 and facts["answers"] == 30 and facts["prompts_shown"] == 9
    assert facts["seconds_by_experiment"] == dict.fromkeys(names, 2.5)


def test_collect_says_where_each_model_was_fetched_from(scores_folder, tmp_path):
    source = {"id": "llava-hf/llava-1.5-7b-hf", "commit": "abc"}
    fetched = {"model": source["id"], "checkpoint": "data/models/llava-7b", "checkpoint_source": source}
    trained = {"model": "miniature-next", "checkpoint": "data/checkpoints/miniature-next", "checkpoint_source": None}
    for name, facts in (("table1-llava-7b", fetched), ("table4", fetched), ("table1-next-7b", trained)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    collect(scores_folder, tmp_path / "out", CONFIG)
    models = json.loads((tmp_path / "out/provenance.json").read_text())["models"]
    names = {"checkpoint": "data/models/llava-7b", "model": source["id"], "source": source}
    assert models["llava-7b"] == {"paper": "LLaVA-1.5-7B"} | names
    assert models["next-7b"]["source"] is None and models["next-7b"]["paper"] == "LLaVA-NeXT-7B"

    path = tmp_path / "table4.json"
    other = {"checkpoint_source": source | {"commit": "def"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    with pytest.raises(EvaluationError, match=r"table4.*def.*abc"):
        collect(scores_folder, tmp_path / "out", CONFIG)


def test_the_committed_results_are_those_of_the_committed_scores(tmp_path):
    """Also: reading and writing the numbers again changes no byte."""
    collect(ROOT / "reports/miniature/results/scores", tmp_path, CONFIG)
    assert (tmp_path / "results.csv").read_bytes() == (ROOT / "reports/miniature/results.csv").read_bytes()


def test_collect_refuses_what_does_not_belong(scores_folder, tmp_path):
    (tmp_path / "table9.csv").write_text("the results of an experiment that is gone")
    with pytest.raises(EvaluationError, match=r"table9\.csv"):
        collect(scores_folder, tmp_path / "out", CONFIG)
    (tmp_path / "table9.csv").unlink()
    other = json.loads((tmp_path / "table4.json").read_text()) | {"profile": "lite"}
    (tmp_path / "table4.json").write_text(json.dumps(other))
    with pytest.raises(EvaluationError, match="different profiles"):
        collect(scores_folder, tmp_path / "out", CONFIG)
    (tmp_path / "table4.json").unlink()
    with pytest.raises(EvaluationError, match=r"table4\.json"):
        collect(scores_folder, tmp_path / "out", CONFIG)
    with pytest.raises(EvaluationError, match="holds no results"):
        collect(tmp_path / "nowhere", tmp_path / "out", CONFIG)


def test_a_fetched_model_is_named_by_its_id_on_the_hub(tmp_path):
    folder = tmp_path / "llava-7b"
    folder.mkdir()
    assert model_name(folder) == "llava-7b" and model_name("llava-hf/x") == "llava-hf/x"
    write_source(folder, Source("llava-hf/llava-1.5-7b-hf", "abc"))
    assert model_name(folder) == "llava-hf/llava-1.5-7b-hf"
