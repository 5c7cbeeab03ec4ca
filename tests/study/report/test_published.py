"""The transcription of the paper's tables, and what the audit finds in it."""

import pytest
import yaml
from helpers.synthetic_results import PUBLISHED

from vtstudy import benchmarks
from vtstudy.experiments.adaptprune_tables import TABLES
from vtstudy.report.checkpoints import PAPER_CHECKPOINTS
from vtstudy.report.published import PrintedNumbers, load_published
from vtstudy.report.table_links import (
    MMBENCH_BY_CATEGORY,
    MMBENCH_BY_GROUP,
    MME_BY_SUBTASK,
    PRINTED_COLUMNS,
    TABLE_LINKS,
)
from vtstudy.report.verdicts.audit import AGREE, DISAGREE, audit
from vtstudy.report.verdicts.claims import FORMS


@pytest.fixture(scope="module")
def published():
    return load_published(PUBLISHED / "adaptprune.csv")


def test_484_cells_once_each(published):
    assert published.groupby("table").size().tolist() == [132, 60, 12, 40, 40, 100, 30, 70]
    assert not published.duplicated(["table", "model", "row", "column"]).any()
    assert (published["value"].str.strip() == published["value"]).all() and (published["value"] != "").all()


@pytest.mark.parametrize(
    ("table", "model", "row", "column", "value"),
    [
        (1, "LLaVA-1.5-7B", "baseline", "MME", "1508.2"),
        (1, "LLaVA-1.5-13B", "VTW", "Flickr30K", "4.8"),
        (1, "LLaVA-NeXT-7B", "AdaptPrune", "DocVQA", "45.0"),
        (2, "InternVL2-2B", "AdaptPrune", "MME", "1313.5"),
        (2, "InternVL2-8B", "baseline", "MMB", "82.0"),
        (3, "LLaVA-1.5-7B", "baseline", "Time", "49:05"),
        (3, "LLaVA-1.5-7B", "baseline", "GPU-Memory", "19G"),
        (3, "LLaVA-1.5-7B", "AdaptPrune", "Latency", "0.209s"),
        (4, "LLaVA-1.5-7B", "(b)", "TextVQA", "37.5"),
        (4, "LLaVA-1.5-7B", "(d)", "MMB", "59.4"),
        (5, "LLaVA-1.5-7B", "The last 10%", "OK-VQA", "18.6"),
        (5, "LLaVA-1.5-7B", "Random 3x3", "GQA", "56.2"),
        (6, "LLaVA-1.5-7B", "Social Relation", "FastV 75%", "72.1"),
        (6, "LLaVA-1.5-7B", "Structured Image-Text Understanding", "AdaptPrune 75%", "26.9"),
        (7, "LLaVA-1.5-7B", "Coarse Perception", "AdaptPrune 90%", "74.7"),
        (8, "LLaVA-1.5-7B", "Posters", "AdaptPrune 75%", "149.3"),
        (8, "LLaVA-1.5-7B", "Code Reasoning", "baseline", "67.5"),
    ],
)
def test_spot_values(published, table, model, row, column, value):
    found = published.query("table == @table and model == @model and row == @row and column == @column")
    assert found["value"].tolist() == [value]


def test_every_printed_cell_but_the_costs_has_a_place(published):
    assert set(published["model"]) < set(PAPER_CHECKPOINTS)  # E-AdaPrune has one more
    lost = [(r.table, r.column) for r in published.itertuples() if TABLE_LINKS[r.table].place(r.row, r.column) is None]
    assert set(lost) == {(3, "Time"), (3, "GPU-Memory"), (3, "Latency")} and len(lost) == 9
    assert list(PRINTED_COLUMNS.values()) == list(benchmarks.ADAPTPRUNE)
    assert sorted(MMBENCH_BY_CATEGORY) == sorted(published.loc[published["table"] == 6, "row"].unique())
    assert len(benchmarks.MME_PERCEPTION) == 10


def test_categories_are_those_of_the_data_sets():
    assert set(MMBENCH_BY_CATEGORY.values()) == {f"mmbench/{name}" for name in benchmarks.MMBENCH_GROUP_OF}
    assert set(MMBENCH_BY_GROUP.values()) == {f"mmbench/{name}" for name in benchmarks.MMBENCH_GROUPS}
    subtasks = benchmarks.MME_PERCEPTION | benchmarks.MME_COGNITION
    assert set(MME_BY_SUBTASK.values()) == {f"mme/{name}" for name in subtasks}


def test_the_audit_finds_the_known_contradictions(published):
    bad = {(f.where, f.found) for f in audit(published) if f.verdict == DISAGREE}
    assert bad == {
        ("AdaptPrune", "1393.2 in Table 1, 1410.0 as the sum"),
        ("LLaVA-1.5-7B, FastV, Flickr30K", "47.4 in Table 1, 47.5 in Table 4"),
    }
    assert any(f.verdict == AGREE and f.found.startswith("1508.2") for f in audit(published))


def test_the_audit_reads_the_numbers(published):
    mended = published.copy()
    at = (mended["table"] == 4) & (mended["row"] == "(a)") & (mended["column"] == "Flickr30K")
    mended.loc[at, "number"] = 47.4
    at = (mended["table"] == 7) & (mended["row"] == "Logic Reasoning") & (mended["column"] == "baseline")
    mended.loc[at, "number"] = 99.0
    bad = [f.where for f in audit(mended) if f.verdict == DISAGREE]
    assert bad == ["AdaptPrune", "Logic Reasoning, baseline"]


def test_printed_quantities(published):
    printed = PrintedNumbers(published)
    assert printed.value("LLaVA-1.5-7B", "(a)", "flickr30k", 4) == 47.5
    assert printed.value("LLaVA-1.5-7B", "fastv", "flickr30k") == 47.4
    assert printed.value("LLaVA-1.5-7B", "random", "gqa") == 56.0  # Table 5
    assert printed.retention("LLaVA-1.5-7B", "adaptprune") == pytest.approx(91.4, abs=0.05)
    assert printed.term("InternVL2-2B", "adaptprune - fastv", "mme") == pytest.approx(-25.8)


def test_printed_categories_and_costs(published):
    printed, model = PrintedNumbers(published), "LLaVA-1.5-7B"
    assert printed.value(model, "fastv", "mmbench/social_relation", keep=0.25) == 72.1
    assert printed.value(model, "fastv", "mmbench/social_relation") == 53.5
    assert printed.value(model, "baseline", "mme/code_reasoning", keep=0.25) == 67.5
    assert [printed.cost(model, "baseline", c) for c in ("Time", "GPU-Memory", "Latency")] == [2945, 19, 0.327]


def test_claims_are_well_formed():
    """Each names what there is to compare: experiments' own rows, pairs and benchmarks."""
    claims = yaml.safe_load((PUBLISHED / "claims.yaml").read_text())["claims"]
    assert len({c["id"] for c in claims}) == len(claims) >= 25
    tables = {experiment.name: experiment for experiment in TABLES}
    parts = {*MMBENCH_BY_CATEGORY.values(), *MMBENCH_BY_GROUP.values(), *MME_BY_SUBTASK.values()}
    for claim in claims:
        assert claim["kind"] in FORMS and claim["place"] and claim["statement"]
        if found := tables.get(claim.get("experiment")):
            known = {*found.benchmarks, "mean", *(parts if found.parts else ())}
            assert set(claim["benchmarks"]) <= known, claim["id"]
            turned = {" - ".join(reversed(pair.split(" - "))) for pair in found.pairs}
            assert set(claim.get("pairs", ())) <= {*found.pairs, *turned}, claim["id"]
            assert claim.get("method", "baseline") in found.variants, claim["id"]
