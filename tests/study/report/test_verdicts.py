"""Cells and claims, on results whose truth is known."""

import math
from collections import Counter

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report import claim_comparisons as evidence
from vtstudy.report import claims
from vtstudy.report import printed_values as cells
from vtstudy.report.claim_comparisons import Expectation, Item
from vtstudy.report.claims import combine
from vtstudy.report.differences import HIGHER, LOWER, Comparison, Difference
from vtstudy.report.labels import same_checkpoint
from vtstudy.report.results import Measure, ReportError, load
from vtstudy.report.text import elsewhere_sentence


def measure(value, low=math.nan, high=math.nan):
    return Measure("table1", "m", "a - b", 0.1, "gqa", "score", value, 100, low, high)


@pytest.mark.parametrize(
    ("text", "low", "high", "outcome"),
    [
        ("> 0", 0.1, 2, evidence.SUPPORTS),
        ("> 0", -2, -0.1, evidence.CONTRADICTS),
        ("> 0", -1, 1, evidence.OPEN),
        ("> 0", 0, 1, evidence.OPEN),
        ("< 0", -2, -0.1, evidence.SUPPORTS),
        ("< 0", 0.1, 2, evidence.CONTRADICTS),
        ("< 0", -1, 1, evidence.OPEN),
        (">= 90", 90, 95, evidence.SUPPORTS),
        (">= 90", 80, 89, evidence.CONTRADICTS),
        ("<= -1.5", -3, -2, evidence.SUPPORTS),
        ("= 81", 81, 81, evidence.SUPPORTS),
        ("= 81", 82, 82, evidence.CONTRADICTS),
        ("= 81", 80, 82, evidence.OPEN),
    ],
)
def test_outcome(text, low, high, outcome):
    assert Expectation.parse(text).outcome(measure((low + high) / 2, low, high)) == outcome


def test_a_tolerance_widens_what_is_expected():
    assert Expectation.parse("= 81", 1).outcome(measure(80.2, 80.2, 80.2)) == evidence.SUPPORTS
    assert Expectation.parse("= 81", 1).outcome(measure(82.5, 82.5, 82.5)) == evidence.CONTRADICTS
    assert Expectation.parse("<= 1", 0.15).outcome(measure(1.1, 1.05, 1.14)) == evidence.SUPPORTS
    assert Expectation.parse("<= 1", 0.15).outcome(measure(1.2, 1.1, 1.3)) == evidence.OPEN
    assert Expectation.parse("> 0", 1).outcome(measure(0, -0.9, 1)) == evidence.SUPPORTS


def test_a_point_without_interval_decides_nothing():
    assert Expectation.parse("> 0").outcome(measure(5.0)) == evidence.OPEN
    assert Expectation.parse("> 0").outcome(None) == evidence.MISSING


def items(*outcomes):
    return [Item(f"b{i}", "a - b", None, o) for i, o in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "quantifier", "verdict"),
    [
        ("SSSS", "all", claims.REPRODUCED),
        ("SSSC", "all", claims.DIFFERS),
        ("SSSO", "all", claims.UNDECIDED),
        ("SSSM", "all", claims.NOT_RUN),
        ("SSCM", "all", claims.DIFFERS),
        ("MMMM", "all", claims.NOT_RUN),
        ("SSSC", 0.75, claims.REPRODUCED),
        ("SSCO", 0.75, claims.UNDECIDED),
        ("SSCC", 0.75, claims.DIFFERS),
        ("SSSM", 0.75, claims.REPRODUCED),
    ],
)
def test_combination(outcomes, quantifier, verdict):
    names = {"S": evidence.SUPPORTS, "C": evidence.CONTRADICTS, "O": evidence.OPEN, "M": evidence.MISSING}
    assert combine(items(*(names[o] for o in outcomes)), quantifier)[0] == verdict


def test_one_term_against_it_is_enough():
    """A benchmark supports "best of all" only if every difference does."""
    found = [Item("gqa", "d - a", None, evidence.SUPPORTS), Item("gqa", "d - b", None, evidence.CONTRADICTS)]
    assert combine(found, "all")[0] == claims.DIFFERS


def test_a_reason_names_some_cases_and_counts_the_rest():
    reason = combine(items(*[evidence.OPEN] * 30), "all")[1]
    assert reason == "undecided on b0, b1, b2, b3, b4, b5, 24 more"
    assert combine(items(*[evidence.OPEN] * 8), "all")[1].endswith("b6, b7")
    one = [
        Item("gqa", f"fastv - {other}", None, o)
        for other, o in (("skip", evidence.SUPPORTS), ("fitprune", evidence.CONTRADICTS))
    ]
    assert combine(one, "all") == (claims.DIFFERS, "1 of 2 support it; contradicted on FastV − FitPrune")
    assert combine(one[1:], "all")[1] == "it contradicts the claim"


def test_a_reason_names_the_comparison_that_contradicts():
    """Of a case with several: a host, say; of a case with one there is nothing to tell."""
    pairs, against = (
        [f"{host}_spectral - {host}" for host in ("fastv", "pyramiddrop", "visionzip", "adaptprune")],
        evidence.CONTRADICTS,
    )
    mixed = [Item("mean", pair, None, against if "pyramid" in pair else evidence.OPEN) for pair in pairs]
    others = [Item("gqa", pair, None, evidence.SUPPORTS if "fastv" in pair else evidence.OPEN) for pair in pairs]
    assert (
        combine(mixed + others, "all")[1]
        == "contradicted on mean [PyramidDrop, spectral − PyramidDrop]; undecided on gqa"
    )
    every = [Item("gqa", pair, None, against) for pair in pairs]
    assert combine(mixed + every, "all")[1].endswith(
        "gqa [FastV, spectral − FastV; PyramidDrop, spectral − PyramidDrop; 2 more]"
    )
    assert combine(items(against, against), "all")[1] == "contradicted on b0, b1"


def verdicts(inputs):
    return {c.id: c.verdict for c in claims.judge_claims(inputs)}


def test_other_models_that_agree_are_told_together():
    def found(*values):
        means = [Difference("adaptprune - random", "mean", measure(v, v - 1, v + 1), (v, v - 1, v + 1)) for v in values]
        return [(f"m{n}", Comparison("adaptprune - random", (), mean)) for n, mean in enumerate(means)]

    assert elsewhere_sentence(found(14.9, 18.3, 15), HIGHER) == (
        "AdaptPrune − Random lies above zero on the other 3 models too: +14.9 to +18.3 of the same points."
    )
    apart = "AdaptPrune − Random on the other models, in the same points: +14.9 (+13.9 to +15.9) on m0 and +0.5 (−0.5 to +1.5) on m1."
    assert elsewhere_sentence(found(14.9, 0.5), HIGHER) == apart
    assert elsewhere_sentence(found(14.9, 18), LOWER).startswith("AdaptPrune − Random on the other models")
    assert elsewhere_sentence([]) == ""


def test_claims_follow_the_sign(read):
    better = verdicts(read(synthetic.rows(gain=16)))
    assert better["broader-content"] == better["correction-helps"] == claims.REPRODUCED
    assert better["minimal-loss"] == better["text-vqa"] == claims.REPRODUCED
    worse = verdicts(read(synthetic.rows(gain=-16)))
    assert worse["beats-fastv-everywhere"] == worse["broader-content"] == worse["correction-helps"] == claims.DIFFERS
    assert worse["distance-hurts-text"] == claims.REPRODUCED
    level = verdicts(read(synthetic.rows(gain=0)))
    assert level["beats-fastv-on-average"] == level["full-is-best"] == claims.UNDECIDED


def test_a_claim_without_its_difference_is_not_run(read):
    kept = [r for r in synthetic.rows() if r["method"] != "(c) - (a)"]
    found = {c.id: c for c in claims.judge_claims(read(kept))}
    assert found["distance-hurts-text"].verdict == claims.NOT_RUN
    assert found["distance-hurts-text"].reason == "no result for TextVQA; no result for DocVQA"


def test_a_claim_says_what_it_waits_for(read):
    found = {c.id: c for c in claims.judge_claims(read(synthetic.rows(gain=16)))}
    everywhere = found["beats-fastv-everywhere"]
    assert everywhere.verdict == claims.NOT_RUN
    assert everywhere.reason == (
        "12 of 36 support it; no checkpoint stands for LLaVA-1.5-13B yet; no checkpoint stands for LLaVA-NeXT-7B yet"
    )
    assert found["best-strategy"].reason == "the experiment table5 was not run"
    assert found["latency-near-fastv"].reason == "timings.csv was not made"


def figure5(keep, value, half=1.0):
    """AdaptPrune above FastV on average, at a ratio."""
    return dict(
        zip(
            synthetic.COLUMNS,
            (
                "figure5",
                "miniature-llava",
                "adaptprune - fastv",
                keep,
                "mean",
                "difference:percent_of_baseline",
                value,
                900,
                value - half,
                value + half,
            ),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("at_half", "at_tenth", "each", "grows"),
    [
        (2, 6, claims.REPRODUCED, claims.REPRODUCED),
        (3, -3, claims.DIFFERS, claims.DIFFERS),
        (0.5, 2, claims.UNDECIDED, claims.UNDECIDED),
    ],
)
def test_claims_about_ratios(read, at_half, at_tenth, each, grows):
    found = {
        c.id: c for c in claims.judge_claims(read([*synthetic.rows(), figure5(0.5, at_half), figure5(0.1, at_tenth)]))
    }
    assert (found["better-at-every-ratio"].verdict, found["gap-grows"].verdict) == (each, grows)
    assert [i.case for i in found["better-at-every-ratio"].items] == [
        "Mean (% of unpruned) at 50 % pruned",
        "Mean (% of unpruned) at 90 % pruned",
    ]
    measured = found["gap-grows"].items[0].measure
    assert (measured.low, measured.high) == (at_tenth - at_half - 2, at_tenth - at_half + 2)


TIMES = "model,method,batch,quantity,median,quartile_low,quartile_high\n" + "".join(
    f"{model},{method},1,speedup_end_to_end,{value},{value - 0.05},{value + 0.05}\n"
    for model in ("another", "miniature-llava")
    for method, value in (("fastv", 2.5), ("adaptprune", 2.4))
)


def with_tables(tmp_path, **texts):
    """The claims that read other tables than results.csv."""
    files = synthetic.write(tmp_path, synthetic.rows())
    files = {key: files[key] for key in ("results", "provenance", "params", "published")}
    files["tables"] = []
    for name, text in texts.items():
        files["tables"].append(tmp_path / f"{name}.csv")
        files["tables"][-1].write_text(text)
    return {c.id: c for c in claims.judge_claims(load(**files))}


def test_claims_about_other_tables(tmp_path):
    costs = "model,method,keep,flops_saved_percent\nLLaVA-1.5-7B,adaptprune,0.10,81.49\nLLaVA-NeXT-7B,adaptprune,0.1,84.00\n"
    found = with_tables(tmp_path, timings=TIMES, cost=costs)
    near, faster = found["latency-near-fastv"], found["faster-than-unpruned"]
    assert len(near.items) == 1 and near.items[0].measure.value == pytest.approx(2.5 / 2.4)
    assert (near.verdict, near.paper, near.paper_detail) == (claims.REPRODUCED, "holds", "1.15")
    assert (faster.verdict, faster.reason) == (claims.REPRODUCED, "2.40 (2.35 to 2.45): it supports the claim")
    assert (faster.paper, faster.paper_detail) == ("holds", "1.56")
    assert (found["flops-llava"].verdict, found["flops-next"].verdict) == (claims.REPRODUCED, claims.DIFFERS)
    assert found["flops-llava"].reason == "81.5 (exact): it supports the claim"
    assert found["flops-internvl"].reason == "cost.csv holds no row for it"


def test_a_table_without_the_column_that_a_claim_reads(tmp_path):
    with pytest.raises(
        ReportError, match=r"cost\.csv lacks the column flops_saved_percent, which claim 'flops-llava' reads"
    ):
        with_tables(tmp_path, cost="model,method,keep\n")
    with pytest.raises(ReportError, match=r"timings\.csv: 'soon' in column median is not a number"):
        with_tables(tmp_path, timings=TIMES.replace("2.4,", "soon,"))


def test_the_papers_own_tables_are_asked_too(read):
    found = {c.id: (c.paper, c.paper_detail) for c in claims.judge_claims(read())}
    assert found["correction-helps"] == ("fails", "7 of 8; not on TextVQA (−1.0)")
    assert found["beats-fastv-everywhere"] == ("holds", "36 of 36")
    assert found["beats-fastv-internvl"] == ("fails", "19 of 20; not on MME of InternVL2-2B (−25.8)")
    assert found["mmbench-categories"] == ("holds", "7 of 7")
    assert found["last-is-worst"] == found["best-strategy"] == ("holds", "4 of 4")
    assert found["withdrawal-is-worst"] == ("holds", "12 of 12")
    assert found["gap-grows"] == ("not printed", "")
    assert found["full-is-best"] == ("holds", "7 of 8; not on MMBench (−0.7)")
    assert found["minimal-loss"] == ("holds", "91.4")


def test_the_miniature_is_never_judged_by_its_scores(read):
    found = cells.judge_cells(read())
    assert len(found) == 484
    assert {c.verdict for c in found} == {cells.NOT_RUN}
    reasons = Counter(c.reason for c in found)
    # Of the 48 + 12 + 40 + 40 + 200 cells of LLaVA-1.5-7B nine are costs.
    assert reasons == {cells.NEEDS_CHECKPOINT: 331, cells.NO_STAND_IN: 144, cells.OF_ITS_MACHINE: 9}
    # 48 of Table 1, 3 of Table 3, 40 of Table 4; Tables 5 to 8 are not among these results
    assert sum(c.ours is not None for c in found) == 91


@pytest.mark.parametrize(
    ("published", "value", "tolerance", "verdict"),
    [
        (59.4, 58.4, 1.0, cells.REPRODUCED),
        (59.4, 60.4, 1.0, cells.REPRODUCED),
        (59.4, 58.3, 1.0, cells.DIFFERS),
        (1393.2, 1410.0, 20, cells.REPRODUCED),
        (59.4, 60.5, 1.0, cells.DIFFERS),
    ],
)
def test_tolerance(published, value, tolerance, verdict):
    assert cells.judge_value(published, measure(value, value - 0.5, value + 0.5), tolerance)[0] == verdict


def test_a_wide_interval_is_no_reproduction():
    verdict, reason = cells.judge_value(50.0, measure(55.0, 45.0, 65.0), 1.0)
    assert verdict == cells.DIFFERS and "our interval includes" in reason


def test_the_papers_checkpoint_is_judged(read):
    found = synthetic.rows(model="llava-hf/llava-1.5-7b-hf")
    for row in found:
        if (row["experiment"], row["method"], row["benchmark"]) == ("table1", "fastv", "gqa"):
            row["value"] = 51.6
    judged = {(c.table, c.model, c.row, c.column): c for c in cells.judge_cells(read(found, "lite"))}
    key = "LLaVA-1.5-7B"
    assert judged[1, key, "FastV", "GQA"].verdict == cells.REPRODUCED
    assert judged[3, key, "FastV", "Score"].verdict in (cells.REPRODUCED, cells.DIFFERS)
    assert judged[1, key, "FastV", "TextVQA"].verdict == cells.DIFFERS
    assert judged[6, key, "OCR", "baseline"].reason == "no result in this run"
    assert judged[1, "LLaVA-1.5-13B", "FastV", "GQA"].reason == cells.NO_STAND_IN
    assert judged[3, key, "FastV", "Time"].reason == cells.OF_ITS_MACHINE


def test_which_model_answers(read):
    results = read().results
    assert results.model_for("LLaVA-1.5-7B") == "miniature-llava" and results.model_for("LLaVA-1.5-13B") is None
    assert not same_checkpoint("LLaVA-1.5-7B", "miniature-llava")
    assert same_checkpoint("LLaVA-1.5-7B", "llava-hf/llava-1.5-7b-hf")
    assert same_checkpoint("LLaVA-1.5-7B", "data/checkpoints/llava-1.5-7b-hf")


def test_an_expectation_that_cannot_be_read():
    with pytest.raises(ReportError, match="'about zero' is not an expectation"):
        Expectation.parse("about zero")
