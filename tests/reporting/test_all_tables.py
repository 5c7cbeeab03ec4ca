"""The report of a run of every table, from rows that the experiments' own code makes."""

import csv
import json
import math

import numpy as np
import pytest
import synthetic

from vtprune.evaluation.scores import Scores, parts_of
from vtprune.experiments import table1, table2, table4, table5, table6_7, table8
from vtprune.experiments.results import COLUMNS, rows_of
from vtprune.miniature import hub_schemas
from vtprune.reporting import build_report

MODELS = {"LLaVA-1.5-7B": "miniature-llava", "LLaVA-NeXT-7B": "miniature-next", "InternVL2-2B": "miniature-internvl"}
CATEGORIES = {
    "mmbench": [leaf for leaves in hub_schemas.MMBENCH_ABILITIES.values() for leaf in leaves],
    "mme": hub_schemas.MME_PERCEPTION, "mme_cognition": hub_schemas.MME_COGNITION,
}  # fmt: skip


def scores(benchmark: str, level: float, seed: int) -> Scores:
    names = CATEGORIES.get(benchmark, ("",))
    units = tuple(f"{name}|{i}" for name in names for i in range(8))
    values = np.random.default_rng(seed).normal(level, 5, len(units))
    strata = np.repeat(np.arange(len(names)), 8) if benchmark.startswith("mme_") or benchmark == "mme" else np.zeros(len(units), dtype=int)
    return Scores(benchmark, "score", 0.0, len(units), units, values, strata)


def rows(module, model: str):
    experiment = module.EXPERIMENT
    benchmarks = [*experiment.benchmarks, *(["mme_cognition"] if "mme" in experiment.benchmarks else [])]
    found = []
    for keep in experiment.keeps or (0.1,):
        cells = {}
        for number, name in enumerate(experiment.rows):
            cells[name] = {b: scores(b, 80 - 3 * number, number) for b in benchmarks}
            if experiment.parts:
                cells[name] |= {k: part for whole in list(cells[name].values()) for k, part in parts_of(whole).items()}
        new = rows_of(experiment, model, keep, cells, {}, resamples=20, seed=0)
        found += [row for row in new if row not in found]
    return found


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    found = [row for module, models in ((table1, ("LLaVA-1.5-7B", "LLaVA-NeXT-7B")), (table2, ("InternVL2-2B",)),
                                        (table4, ("LLaVA-1.5-7B",)), (table5, ("LLaVA-1.5-7B",)),
                                        (table6_7, ("LLaVA-1.5-7B",)), (table8, ("LLaVA-1.5-7B",)))
             for model in models for row in rows(module, MODELS[model])]
    files = synthetic.write(folder, [{k: "" if v is None or (isinstance(v, float) and math.isnan(v)) else v for k, v in row.items()} for row in found])
    params = json.loads(files["params"].read_text())
    params["evaluation"]["models"] = {name: {"paper": paper, "checkpoint": f"some/{name}"} for paper, name in MODELS.items()}
    files["params"].write_text(json.dumps(params))
    assert set(found[0]) == set(COLUMNS)
    return build_report(**files).parent


def test_every_cell_of_a_model_that_was_run_has_ours(out):
    with open(out / "verdicts.csv") as file:
        lacking = [row for row in csv.DictReader(file) if row["model"] in MODELS and not row["ours"]]
    assert {(row["table"], row["column"]) for row in lacking} == {("3", "Time"), ("3", "GPU-Memory"), ("3", "Latency")}
    assert len(lacking) == 9


def test_every_model_has_its_section(out):
    markdown = (out / "README.md").read_text()
    for title in ("Table 1: LLaVA at 90 % pruning, LLaVA-1.5-7B", "Table 1: LLaVA at 90 % pruning, LLaVA-NeXT-7B",
                  "Table 2: InternVL2 at 90 % pruning, InternVL2-2B", "Table 5: Alternative pruning strategies"):
        assert f"\n## {title}\n" in markdown
    for name in ("retention_table1", "retention_table1_miniature-next", "retention_table2_miniature-internvl", "retention_table5"):
        assert (out / "figures" / f"{name}.png").is_file() and f"figures/{name}.png" in markdown


def test_a_category_stands_at_both_ratios(out):
    with open(out / "verdicts.csv") as file:
        ocr = {row["column"]: row["ours"] for row in csv.DictReader(file) if (row["table"], row["row"]) == ("8", "OCR")}
    with open(out.parent / "results.csv") as file:
        found = {(r["method"], r["keep"]): r["value"] for r in csv.DictReader(file) if (r["experiment"], r["benchmark"]) == ("table8", "mme/OCR")}
    assert float(ocr["FastV 75%"]) == pytest.approx(float(found["fastv", "0.25"]), abs=1e-3)
    assert float(ocr["AdaptPrune 90%"]) == pytest.approx(float(found["adaptprune", "0.1"]), abs=1e-3)


def test_every_claim_about_scores_is_decided_or_waits_for_a_model(out):
    with open(out / "claims.csv") as file:
        waiting = {row["id"]: row["reason"] for row in csv.DictReader(file) if row["verdict"] == "not run"}
    for name, reason in waiting.items():
        assert any(why in reason for why in ("no checkpoint stands", "figure", "was not made")), (name, reason)
