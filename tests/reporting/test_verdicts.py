"""Cells and claims, on results whose truth is known."""

import math

import pytest
import synthetic

from vtprune.reporting import cells, claims
from vtprune.reporting.claims import Expectation, Item, combine
from vtprune.reporting.inputs import Measure, ReportError
from vtprune.reporting.relations import answers_to, same_checkpoint


def measure(value, low=math.nan, high=math.nan):
    return Measure("table1", "m", "a - b", 0.1, "gqa", "score", value, 100, low, high)


@pytest.mark.parametrize(("text", "low", "high", "outcome"), [
    ("> 0", 0.1, 2, claims.SUPPORTS), ("> 0", -2, -0.1, claims.CONTRADICTS), ("> 0", -1, 1, claims.OPEN),
    ("> 0", 0, 1, claims.OPEN), ("< 0", -2, -0.1, claims.SUPPORTS), ("< 0", 0.1, 2, claims.CONTRADICTS),
    ("< 0", -1, 1, claims.OPEN), (">= 90", 90, 95, claims.SUPPORTS), (">= 90", 80, 89, claims.CONTRADICTS),
    ("<= -1.5", -3, -2, claims.SUPPORTS),
])
def test_outcome(text, low, high, outcome):
    assert Expectation.parse(text).outcome(measure((low + high) / 2, low, high)) == outcome


def test_a_point_without_interval_decides_nothing():
    assert Expectation.parse("> 0").outcome(measure(5.0)) == claims.OPEN
    assert Expectation.parse("> 0").outcome(None) == claims.MISSING


def items(*outcomes):
    return [Item(f"b{i}", "a - b", None, o) for i, o in enumerate(outcomes)]


@pytest.mark.parametrize(("outcomes", "quantifier", "verdict"), [
    ("SSSS", "all", claims.REPRODUCED), ("SSSC", "all", claims.DIFFERS), ("SSSO", "all", claims.UNDECIDED),
    ("SSSM", "all", claims.NOT_RUN), ("SSCM", "all", claims.DIFFERS), ("MMMM", "all", claims.NOT_RUN),
    ("SSSC", 0.75, claims.REPRODUCED), ("SSCO", 0.75, claims.UNDECIDED), ("SSCC", 0.75, claims.DIFFERS),
    ("SSSM", 0.75, claims.REPRODUCED),
])
def test_combination(outcomes, quantifier, verdict):
    names = {"S": claims.SUPPORTS, "C": claims.CONTRADICTS, "O": claims.OPEN, "M": claims.MISSING}
    assert combine(items(*(names[o] for o in outcomes)), quantifier)[0] == verdict


def test_one_term_against_it_is_enough():
    """A benchmark supports "best of all" only if every difference does."""
    found = [Item("gqa", "d - a", None, claims.SUPPORTS), Item("gqa", "d - b", None, claims.CONTRADICTS)]
    assert combine(found, "all")[0] == claims.DIFFERS


def verdicts(inputs):
    return {c.id: c.verdict for c in claims.judge_claims(inputs)}


def test_claims_follow_the_sign(read):
    better = verdicts(read(synthetic.rows(gain=16)))
    assert better["beats-fastv-everywhere"] == better["correction-helps"] == claims.REPRODUCED
    assert better["minimal-loss"] == better["beats-random"] == claims.REPRODUCED
    worse = verdicts(read(synthetic.rows(gain=-16)))
    assert worse["beats-fastv-everywhere"] == worse["correction-helps"] == claims.DIFFERS
    assert worse["distance-hurts-text"] == claims.REPRODUCED
    level = verdicts(read(synthetic.rows(gain=0)))
    assert level["beats-fastv-on-average"] == level["full-is-best"] == claims.UNDECIDED


def test_a_claim_without_its_difference_is_not_run(read):
    kept = [r for r in synthetic.rows() if r["method"] != "(c) - (a)"]
    found = {c.id: c for c in claims.judge_claims(read(kept))}
    assert found["distance-hurts-text"].verdict == claims.NOT_RUN
    assert "no result for TextVQA, DocVQA" in found["distance-hurts-text"].reason


def test_a_difference_stored_the_other_way_round_is_turned(read):
    turned = []
    for row in synthetic.rows(gain=5):
        if row["method"] == "adaptprune - fastv":
            row = row | {"method": "fastv - adaptprune", "value": -row["value"], "ci_low": -row["ci_high"],
                         "ci_high": -row["ci_low"]}
        turned.append(row)
    assert verdicts(read(turned))["beats-fastv-everywhere"] == claims.REPRODUCED


def test_the_papers_own_tables_are_asked_too(read):
    found = {c.id: (c.paper, c.paper_detail) for c in claims.judge_claims(read())}
    assert found["correction-helps"] == ("fails", "7 of 8; not on TextVQA (−1.0)")
    assert found["beats-fastv-everywhere"] == ("fails", "55 of 56; not on MME of InternVL2-2B (−25.8)")
    assert found["full-is-best"] == ("holds", "7 of 8; not on MMBench (−0.7)")
    assert found["minimal-loss"] == ("holds", "91.4")


def test_the_miniature_is_never_judged_by_its_scores(read):
    found = cells.judge_cells(read())
    assert len(found) == 484
    assert {(c.verdict, c.reason) for c in found} == {(cells.NOT_RUN, cells.NEEDS_CHECKPOINT)}
    # 36 of Table 1 (VTW is not ours), 3 of Table 3, 40 of Table 4, 16 of Table 5
    assert sum(c.ours is not None for c in found) == 95


@pytest.mark.parametrize(("published", "value", "tolerance", "verdict"), [
    (59.4, 58.4, 1.0, cells.REPRODUCED), (59.4, 60.4, 1.0, cells.REPRODUCED), (59.4, 58.3, 1.0, cells.DIFFERS),
    (1393.2, 1410.0, 20, cells.REPRODUCED), (59.4, 60.5, 1.0, cells.DIFFERS),
])
def test_tolerance(published, value, tolerance, verdict):
    assert cells.judge_value(published, measure(value, value - 0.5, value + 0.5), tolerance)[0] == verdict


def test_a_wide_interval_is_no_reproduction():
    verdict, reason = cells.judge_value(50.0, measure(55.0, 45.0, 65.0), 1.0)
    assert verdict == cells.DIFFERS and "our interval holds" in reason


def test_the_papers_checkpoint_is_judged(read):
    found = synthetic.rows(model="llava-hf/llava-1.5-7b-hf")
    for row in found:
        if (row["experiment"], row["method"], row["benchmark"]) == ("table1", "fastv", "gqa"):
            row["value"] = 51.6
    judged = {(c.table, c.model, c.row, c.column): c for c in cells.judge_cells(read(found, "lite"))}
    key = "LLaVA-1.5-7B"
    assert judged[1, key, "FastV", "GQA"].verdict == cells.REPRODUCED
    assert judged[5, key, "FastV", "GQA"].verdict == cells.REPRODUCED
    assert judged[1, key, "FastV", "TextVQA"].verdict == cells.DIFFERS
    assert judged[1, key, "VTW", "GQA"].reason == "no result in this run"
    assert judged[1, "LLaVA-1.5-13B", "FastV", "GQA"].reason == "llava-hf/llava-1.5-13b-hf was not run"
    assert judged[6, key, "OCR", "baseline"].reason == "no experiment of ours measures it yet"
    assert judged[3, key, "FastV", "Time"].verdict == cells.NOT_RUN


def test_which_model_answers():
    assert answers_to("LLaVA-1.5-7B", "models/miniature-llava")
    assert not same_checkpoint("LLaVA-1.5-7B", "miniature-llava")
    assert same_checkpoint("LLaVA-1.5-7B", "llava-hf/llava-1.5-7b-hf")
    assert not answers_to("LLaVA-1.5-13B", "miniature-llava")


def test_an_expectation_that_cannot_be_read():
    with pytest.raises(ReportError, match="'about zero' is not an expectation"):
        Expectation.parse("about zero")
