"""The report of a run of every table, from rows that the experiments' own code makes."""

import math

import pandas as pd
import pytest
from helpers import synthetic_results as synthetic
from helpers.paper_results import table_rows

from vtprune.methods import AdaptPrune
from vtstudy.experiments.adaptprune_tables import TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8
from vtstudy.report.evidence import NOT_RUN, SAME, Outcome
from vtstudy.report.inputs import Folders, load
from vtstudy.report.sentences import grid_note
from vtstudy.report.studies import Study
from vtstudy.report.view import View, build_view
from vtstudy.results_table import COLUMNS, to_csv
from vtstudy.training.derived import TILE
from vtstudy.world.scene import CELL

pytestmark = pytest.mark.slow

MODELS = {"LLaVA-1.5-7B": "miniature-llava", "LLaVA-NeXT-7B": "miniature-next", "InternVL2-2B": "miniature-internvl"}
FEW = "LLaVA-NeXT-7B"  # this model is asked half as many questions


def rows(experiment, model: str):
    return table_rows(experiment, model, each=4 if model == MODELS[FEW] else 8)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> View:
    """What a report on three models shows; the charts are not written."""
    folder = tmp_path_factory.mktemp("all")
    table = [
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
    assert set(table[0]) == set(COLUMNS)
    (folder / "results.csv").write_text(to_csv(pd.DataFrame(table)))
    files = synthetic.write_others(folder, checkpoints={paper: f"some/{name}" for paper, name in MODELS.items()})
    return build_view(load(Folders(folder, synthetic.PUBLISHED, files["params"])))


def studies(shown: View, table: int) -> list[Study]:
    return [study for study in shown.studies if study.table == table]


def test_every_printed_value_of_a_model_that_was_run_has_ours(shown):
    lacking = {(v.table, v.column) for v in shown.printed_values if v.model in MODELS and not v.ours}
    assert lacking == {(3, "Time"), (3, "GPU-Memory"), (3, "Latency")}


def test_every_model_has_its_section_and_charts(shown):
    assert [(study.table, study.model) for study in shown.studies] == [
        (1, "LLaVA-1.5-7B"),
        (1, "LLaVA-NeXT-7B"),
        (2, "InternVL2-2B"),
        *((table, "LLaVA-1.5-7B") for table in (4, 5, 6, 7, 8)),
    ]
    names = [chart.name for study in shown.studies for chart in study.charts]
    assert len(set(names)) == len(names)
    assert {"retention_table1", "retention_table1_miniature-next", "retention_table2_miniature-internvl"} <= set(names)


def test_table_2_says_what_its_small_tiles_leave_to_test(shown):
    """Only of miniatures, with the decay that the method has at the tiles' distance."""
    note = grid_note(True, 2)
    assert [study.table for study in shown.studies if note in study.sentences] == [2]
    method, distance = AdaptPrune(keep=0.1), 24 / (TILE // CELL)
    decay = 100 * math.exp(-(distance**2) / (2 * method.sigma_d**2))
    assert f"at most {decay:.1f} %" in note and distance <= method.radius < distance * math.sqrt(2)
    assert grid_note(False, 2) == ""


def test_models_stand_side_by_side(shown):
    rows = {row.model: row for row in shown.overview.rows}
    assert {paper: row.ours for paper, row in rows.items()} == MODELS
    for paper, ours in MODELS.items():
        study = next(study for study in shown.studies if study.model == paper)
        numbers = shown.overview.percent.numbers[paper, "fastv"]
        mean = study.percent.numbers["mean", "fastv"]
        assert study.ours == ours and numbers == mean
    assert rows["LLaVA-1.5-7B"].line[0][0] == "80.3"  # as printed
    assert "4 to " in rows[FEW].questions and "8 to " in rows["LLaVA-1.5-7B"].questions


def test_every_model_has_a_page_and_is_called_a_stand_in(shown):
    assert {page.ours: page.title for page in shown.model_pages} == {
        ours: f"stand-in for {paper}" for paper, ours in MODELS.items()
    }
    claim = next(claim for claim in shown.claims if claim.id == "beats-fastv-everywhere")
    cases = [comparison.case for comparison in claim.comparisons if comparison.measurement]
    assert len(cases) == 24 and "POPE, stand-in for LLaVA-NeXT-7B" in cases
    assert claim.verdict != SAME  # a third model is still to be run


@pytest.mark.parametrize(("table", "noun"), [(6, "categories"), (7, "groups"), (8, "sub-tasks")])
def test_parts_stand_beside_the_printed_ones_with_their_floors(shown, table, noun):
    (study,) = studies(shown, table)
    (block,) = study.blocks
    assert not block.judged and block.ours == MODELS["LLaVA-1.5-7B"]
    for benchmark in block.benchmarks:
        assert block.value("chance", benchmark).ours == "30.0" and block.value("blind", benchmark).interval
    assert any(noun in sentence and "75 % pruned" in sentence for sentence in study.sentences)


def test_a_category_stands_at_both_ratios(shown):
    values = {v.column: v.ours for v in shown.printed_values if (v.table, v.row) == (8, "OCR")}
    for column, method, keep in (("FastV 75%", "fastv", 0.25), ("AdaptPrune 90%", "adaptprune", 0.1)):
        assert (values[column].method, values[column].keep, values[column].benchmark) == (method, keep, "mme/OCR")


def test_every_claim_about_scores_is_decided_or_waits_for_a_model(shown):
    for claim in shown.claims:
        if claim.verdict == NOT_RUN:
            reasons = [c.why for c in claim.comparisons if c.outcome == Outcome.MISSING]
            assert all(any(key in why for key in ("checkpoint", "figure", "was not made")) for why in reasons), claim.id
