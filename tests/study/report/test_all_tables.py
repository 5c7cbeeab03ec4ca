"""The report of a run of every table, from rows that the experiments' own code makes."""

import csv
import json
import math
import re

import numpy as np
import pytest
from helpers import synthetic_results as synthetic

from vtprune.methods import AdaptPrune
from vtstudy import benchmarks
from vtstudy.evaluation.scoring import Scores, parts_of
from vtstudy.experiments.adaptprune_tables import TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8
from vtstudy.experiments.results import rows_of
from vtstudy.report import build_report, text
from vtstudy.results_table import COLUMNS
from vtstudy.training.derived import TILE
from vtstudy.world.scene import CELL

MODELS = {"LLaVA-1.5-7B": "miniature-llava", "LLaVA-NeXT-7B": "miniature-next", "InternVL2-2B": "miniature-internvl"}
CATEGORIES = {
    "mmbench": [leaf for leaves in benchmarks.MMBENCH_CATEGORIES.values() for leaf in leaves],
    "mme": benchmarks.MME_PERCEPTION,
    "mme_cognition": benchmarks.MME_COGNITION,
}


FEW = "LLaVA-NeXT-7B"  # this model is asked half as many questions


def scores(benchmark: str, level: float, seed: int, each: int = 8) -> Scores:
    names = CATEGORIES.get(benchmark, ("",))
    units = tuple(f"{name}|{i}" for name in names for i in range(each))
    values = np.random.default_rng(seed).normal(level, 5, len(units))
    strata = (
        np.repeat(np.arange(len(names)), each)
        if benchmark.startswith("mme_") or benchmark == "mme"
        else np.zeros(len(units), dtype=int)
    )
    return Scores(benchmark, "score", 0.0, len(units), units, values, strata, np.arange(len(units)))


def rows(experiment, model: str):
    benchmarks = [*experiment.benchmarks, *(["mme_cognition"] if "mme" in experiment.benchmarks else [])]
    found = []
    for keep in experiment.keeps or (0.1,):
        cells = {}
        for number, name in enumerate(experiment.variants):
            cells[name] = {b: scores(b, 80 - 3 * number, number, 4 if model == MODELS[FEW] else 8) for b in benchmarks}
            if experiment.parts:
                cells[name] |= {k: part for whole in list(cells[name].values()) for k, part in parts_of(whole).items()}
        chance = dict.fromkeys(cells["baseline"], 30.0) if experiment.chance else {}
        new = rows_of(experiment, model, keep, cells, chance, resamples=20, seed=0)
        found += [row for row in new if row not in found]
    return found


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    found = [
        row
        for experiment, models in (
            (TABLE1, ("LLaVA-1.5-7B", "LLaVA-NeXT-7B")),
            (TABLE2, ("InternVL2-2B",)),
            (TABLE4, ("LLaVA-1.5-7B",)),
            (TABLE5, ("LLaVA-1.5-7B",)),
            (TABLE6_7, ("LLaVA-1.5-7B",)),
            (TABLE8, ("LLaVA-1.5-7B",)),
        )
        for model in models
        for row in rows(experiment, MODELS[model])
    ]
    files = synthetic.write(
        folder,
        [
            {k: "" if v is None or (isinstance(v, float) and math.isnan(v)) else v for k, v in row.items()}
            for row in found
        ],
    )
    params = json.loads(files["params"].read_text())
    params["models"] = {name: {"paper": paper, "checkpoint": f"some/{name}"} for paper, name in MODELS.items()}
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
    for title in (
        "Table 1: LLaVA at 90 % pruning, LLaVA-1.5-7B",
        "Table 1: LLaVA at 90 % pruning, LLaVA-NeXT-7B",
        "Table 2: InternVL2 at 90 % pruning, InternVL2-2B",
        "Table 5: Alternative pruning strategies",
    ):
        assert f"\n## {title}\n" in markdown
    for name in (
        "retention_table1",
        "retention_table1_miniature-next",
        "retention_table2_miniature-internvl",
        "retention_table5",
    ):
        assert (out / "figures" / f"{name}.png").is_file() and f"figures/{name}.png" in markdown


def test_table_2_says_what_its_small_tiles_leave_to_test(out):
    """Once, in Table 2's section alone, with the decay that the method has at the tiles' distance; nothing of the papers' checkpoints."""
    markdown, note = (out / "README.md").read_text(), text.grid_note("miniature", 2)
    assert markdown.count(note) == 1 and note in markdown[markdown.index("## Table 2: ") :].split("\n## ")[0]
    method, away = AdaptPrune(keep=0.1), 24 / (TILE // CELL)
    share = 100 * math.exp(-(away**2) / (2 * method.sigma_d**2))
    assert f"at most {share:.1f} %" in note and away <= method.radius < away * math.sqrt(2)
    assert text.grid_note("full", 2) == ""


def test_models_stand_side_by_side(out):
    """A line for each, with its mean as results.csv has it, the paper's beside it, and how many questions it was asked."""
    markdown = (out / "README.md").read_text()
    part = markdown[markdown.index("## All models side by side") : markdown.index("## Does the model look")]
    lines = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")
        for line in part.splitlines()
        if line.startswith("| ")
    }
    with open(out.parent / "results.csv") as file:
        means = {
            (r["model"], r["method"]): float(r["value"])
            for r in csv.DictReader(file)
            if r["experiment"] in ("table1", "table2") and r["metric"] == "percent_of_baseline"
        }
    assert len(re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)[0].splitlines()) == 2 + len(MODELS)  # one table, whole
    for paper, ours in MODELS.items():
        assert lines[paper][1] == ours and f"{means[ours, 'fastv']:.1f}" == lines[paper][4]
    assert lines["LLaVA-1.5-7B"][3] == "80.3" and lines["InternVL2-2B"][3] not in ("80.3", "—")  # as printed
    assert "figures/models.png" in part and (out / "figures/models.png").is_file()
    assert lines[FEW][2].startswith("n = 4 to ") and lines["LLaVA-1.5-7B"][2].startswith("n = 8 to ")


def test_no_model_is_left_out_of_what_is_said(out):
    opening = (out / "README.md").read_text().partition("## Claims")[0]
    for paper, ours in MODELS.items():
        assert f"{ours} for {paper} (1" in opening
    assert "average, on miniature-llava: " in opening and "FastV on the other models" in opening
    assert re.search(r"on miniature-next and .* on miniature-internvl\.", opening)
    with open(out / "claims.csv") as file:
        claims = {row["id"]: row for row in csv.DictReader(file)}
    with open(out / "claim_items.csv") as file:
        cases = [row["case"] for row in csv.DictReader(file) if row["id"] == "beats-fastv-everywhere" and row["value"]]
    assert len(cases) == 24 and "POPE of LLaVA-NeXT-7B" in cases
    assert claims["beats-fastv-everywhere"]["verdict"] != "reproduced"  # a third model is still to be run


def test_parts_stand_beside_the_printed_ones_with_their_floors(out):
    """Tables 6 to 8 are sections like the others: ours beside the paper's, the blind row, chance, paired differences."""
    markdown = (out / "README.md").read_text()
    for title, noun in (
        ("Table 6: MMBench by category", "categories"),
        ("Table 7: MMBench by group of categories", "groups"),
        ("Table 8: MME by sub-task", "sub-tasks"),
    ):
        part = markdown[markdown.index(f"\n## {title}\n") + 1 :]
        part = part[: part.index("\n## ")]
        assert re.search(rf"Of \d+ {noun}, AdaptPrune is higher than FastV at 75 % pruned on \d+", part), title
        assert len(re.findall(r"^\| Chance \| .* \| — \| 30\.0 \|  \|$", part, re.MULTILINE)) > 5
        assert len(re.findall(r"^\| Blank image \| .* \| — \| [\d.]+ \| [\d.]+ to [\d.]+ \|$", part, re.MULTILINE)) > 5
        assert "stand side by side and are not compared" in part
    rest = markdown[markdown.index("## What else the paper prints") :]
    assert "### Table 3" in rest and "### Table 6" not in rest


def test_a_category_stands_at_both_ratios(out):
    with open(out / "verdicts.csv") as file:
        ocr = {row["column"]: row["ours"] for row in csv.DictReader(file) if (row["table"], row["row"]) == ("8", "OCR")}
    with open(out.parent / "results.csv") as file:
        found = {
            (r["method"], r["keep"]): r["value"]
            for r in csv.DictReader(file)
            if (r["experiment"], r["benchmark"]) == ("table8", "mme/OCR")
        }
    assert float(ocr["FastV 75%"]) == pytest.approx(float(found["fastv", "0.25"]), abs=1e-3)
    assert float(ocr["AdaptPrune 90%"]) == pytest.approx(float(found["adaptprune", "0.1"]), abs=1e-3)


def test_every_claim_about_scores_is_decided_or_waits_for_a_model(out):
    with open(out / "claims.csv") as file:
        waiting = {row["id"]: row["reason"] for row in csv.DictReader(file) if row["verdict"] == "not run"}
    for name, reason in waiting.items():
        assert any(why in reason for why in ("no checkpoint stands", "figure", "was not made")), (name, reason)
