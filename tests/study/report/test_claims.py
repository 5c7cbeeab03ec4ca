"""Verdicts on claims, on results whose truth is known."""

import math

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report import ReportError
from vtstudy.report.inputs import Folders, Inputs, load
from vtstudy.report.results import Measurement
from vtstudy.report.verdicts.claim_comparisons import (
    CONTRADICTS,
    MISSING,
    OPEN,
    SUPPORTS,
    ClaimComparison,
    Expectation,
)
from vtstudy.report.verdicts.claims import (
    DIFFERS,
    NOT_RUN,
    REPRODUCED,
    UNDECIDED,
    ClaimResult,
    claims_frame,
    combine,
    comparisons_frame,
    judge_claims,
)

OUTCOMES = {"S": SUPPORTS, "C": CONTRADICTS, "O": OPEN, "M": MISSING}


def measurement(value: float, low: float = math.nan, high: float = math.nan) -> Measurement:
    return Measurement("table1", "m", "a - b", 0.1, "gqa", "score", value, 100, low, high)


def judged(inputs: Inputs) -> dict[str, ClaimResult]:
    return {claim.id: claim for claim in judge_claims(inputs, inputs.claims)}


@pytest.mark.parametrize(
    ("text", "low", "high", "outcome"),
    [
        ("> 0", 0.1, 2, SUPPORTS),
        ("> 0", -2, -0.1, CONTRADICTS),
        ("> 0", -1, 1, OPEN),
        ("> 0", 0, 1, OPEN),
        ("< 0", -2, -0.1, SUPPORTS),
        ("< 0", 0.1, 2, CONTRADICTS),
        ("< 0", -1, 1, OPEN),
        (">= 90", 90, 95, SUPPORTS),
        (">= 90", 80, 89, CONTRADICTS),
        ("<= -1.5", -3, -2, SUPPORTS),
        ("= 81", 81, 81, SUPPORTS),
        ("= 81", 82, 82, CONTRADICTS),
        ("= 81", 80, 82, OPEN),
    ],
)
def test_an_interval_decides_on_one_side_of_the_bound(text, low, high, outcome):
    assert Expectation.parse(text).outcome(measurement((low + high) / 2, low, high)) == outcome


@pytest.mark.parametrize(
    ("text", "tolerance", "low", "high", "outcome"),
    [
        ("= 81", 1, 80.2, 80.2, SUPPORTS),
        ("= 81", 1, 82.5, 82.5, CONTRADICTS),
        ("<= 1", 0.15, 1.05, 1.14, SUPPORTS),
        ("<= 1", 0.15, 1.1, 1.3, OPEN),
        ("> 0", 1, -0.9, 1, SUPPORTS),
    ],
)
def test_a_tolerance_widens_what_is_expected(text, tolerance, low, high, outcome):
    assert Expectation.parse(text, tolerance).outcome(measurement((low + high) / 2, low, high)) == outcome


def test_a_value_without_interval_decides_nothing():
    assert Expectation.parse("> 0").outcome(measurement(5.0)) == OPEN
    assert Expectation.parse("> 0").outcome(None) == MISSING


def test_an_unreadable_expectation_is_refused():
    with pytest.raises(ReportError, match="about zero"):
        Expectation.parse("about zero")


def comparisons(outcomes: str) -> list[ClaimComparison]:
    return [ClaimComparison(f"b{place}", "a - b", None, OUTCOMES[name]) for place, name in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "quantifier", "verdict"),
    [
        ("SSSS", "all", REPRODUCED),
        ("SSSC", "all", DIFFERS),
        ("SSSO", "all", UNDECIDED),
        ("SSSM", "all", NOT_RUN),
        ("SSCM", "all", DIFFERS),
        ("MMMM", "all", NOT_RUN),
        ("SSSC", 0.75, REPRODUCED),
        ("SSCO", 0.75, UNDECIDED),
        ("SSCC", 0.75, DIFFERS),
        ("SSSM", 0.75, REPRODUCED),
    ],
)
def test_the_verdict_over_cases(outcomes, quantifier, verdict):
    assert combine(comparisons(outcomes), quantifier)[0] == verdict


def test_one_contradicting_term_decides_a_case():
    """A benchmark supports "best of all" only if every difference does."""
    both = [ClaimComparison("gqa", "d - a", None, SUPPORTS), ClaimComparison("gqa", "d - b", None, CONTRADICTS)]
    assert combine(both, "all")[0] == DIFFERS


def test_a_reason_names_some_cases_and_counts_the_rest():
    many = combine(comparisons("O" * 30), "all")[1]
    assert "b5" in many and "b6" not in many and "24 more" in many
    assert "b7" in combine(comparisons("O" * 8), "all")[1]


def test_the_reason_of_one_case_names_its_terms():
    of_case = [
        ClaimComparison("gqa", "fastv - skip", None, SUPPORTS),
        ClaimComparison("gqa", "fastv - fitprune", None, CONTRADICTS),
    ]
    reason = combine(of_case, "all")[1]
    assert "1 of 2" in reason and "FastV − FitPrune" in reason and "Skip" not in reason


def test_a_reason_names_the_terms_that_contradict_a_case():
    pairs = [f"{host}_spectral - {host}" for host in ("fastv", "pyramiddrop", "visionzip", "adaptprune")]
    one_against = [ClaimComparison("mean", pair, None, CONTRADICTS if "pyramid" in pair else OPEN) for pair in pairs]
    all_against = [ClaimComparison("gqa", pair, None, CONTRADICTS) for pair in pairs]
    reason = combine(one_against + all_against, "all")[1]
    assert "mean [PyramidDrop, spectral − PyramidDrop]" in reason
    assert "gqa [FastV, spectral − FastV; PyramidDrop, spectral − PyramidDrop; 2 more]" in reason


def test_verdicts_follow_the_sign(read):
    better = {name: claim.verdict for name, claim in judged(read(synthetic.rows(gain=16))).items()}
    for name in ("broader-content", "correction-helps", "minimal-loss", "text-vqa"):
        assert better[name] == REPRODUCED, name
    worse = {name: claim.verdict for name, claim in judged(read(synthetic.rows(gain=-16))).items()}
    for name in ("beats-fastv-everywhere", "broader-content", "correction-helps"):
        assert worse[name] == DIFFERS, name
    assert worse["distance-hurts-text"] == REPRODUCED
    level = {name: claim.verdict for name, claim in judged(read(synthetic.rows(gain=0))).items()}
    assert level["beats-fastv-on-average"] == level["full-is-best"] == UNDECIDED


def test_a_claim_without_its_difference_is_not_run(read):
    claim = judged(read([row for row in synthetic.rows() if row["method"] != "(c) - (a)"]))["distance-hurts-text"]
    assert claim.verdict == NOT_RUN
    assert "TextVQA" in claim.reason and "DocVQA" in claim.reason


def test_a_claim_that_was_not_run_says_what_it_waits_for(read):
    claims = judged(read(synthetic.rows(gain=16)))
    everywhere = claims["beats-fastv-everywhere"]
    assert everywhere.verdict == NOT_RUN
    for part in ("12 of 36", "LLaVA-1.5-13B", "LLaVA-NeXT-7B"):
        assert part in everywhere.reason
    assert "table5" in claims["best-strategy"].reason
    assert "timings.csv" in claims["latency-near-fastv"].reason


def lead(keep: float, value: float) -> synthetic.Row:
    """AdaptPrune above FastV on average, at a ratio."""
    metric = "difference:percent_of_baseline"
    return synthetic.row("figure5", "adaptprune - fastv", keep, "mean", metric, value, n=900)


@pytest.mark.parametrize(
    ("at_half", "at_tenth", "each", "grows"),
    [(2, 6, REPRODUCED, REPRODUCED), (3, -3, DIFFERS, DIFFERS), (0.5, 2, UNDECIDED, UNDECIDED)],
)
def test_claims_about_ratios(read, at_half, at_tenth, each, grows):
    claims = judged(read([*synthetic.rows(), lead(0.5, at_half), lead(0.1, at_tenth)]))
    assert (claims["better-at-every-ratio"].verdict, claims["gap-grows"].verdict) == (each, grows)
    cases = [comparison.case for comparison in claims["better-at-every-ratio"].comparisons]
    assert len(cases) == 2 and "50 %" in cases[0] and "90 %" in cases[1]
    change = claims["gap-grows"].comparisons[0].measurement
    assert (change.low, change.high) == (at_tenth - at_half - 2, at_tenth - at_half + 2)


TIMES = "model,method,batch,quantity,median,quartile_low,quartile_high\n" + "".join(
    f"{model},{method},1,speedup_end_to_end,{value},{value - 0.05},{value + 0.05}\n"
    for model in ("another", "miniature-llava")
    for method, value in (("fastv", 2.5), ("adaptprune", 2.4))
)
COSTS = (
    "model,method,keep,flops_saved_percent\nLLaVA-1.5-7B,adaptprune,0.10,81.49\nLLaVA-NeXT-7B,adaptprune,0.1,84.00\n"
)


def with_tables(folder, **texts: str) -> dict[str, ClaimResult]:
    """The claims, with other tables than results.csv."""
    files = synthetic.write(folder, synthetic.rows())
    (folder / "results").mkdir()
    for name, text in texts.items():
        (folder / "results" / f"{name}.csv").write_text(text)
    return judged(load(Folders(files["reports"], files["published"], files["params"])))


def test_claims_about_other_tables(tmp_path):
    claims = with_tables(tmp_path, timings=TIMES, cost=COSTS)
    near, faster = claims["latency-near-fastv"], claims["faster-than-unpruned"]
    assert [comparison.measurement.value for comparison in near.comparisons] == [pytest.approx(2.5 / 2.4)]
    assert (near.verdict, near.paper, near.paper_detail) == (REPRODUCED, "holds", "1.15")
    assert (faster.verdict, faster.paper, faster.paper_detail) == (REPRODUCED, "holds", "1.56")
    assert "2.40 (2.35 to 2.45)" in faster.reason
    assert (claims["flops-llava"].verdict, claims["flops-next"].verdict) == (REPRODUCED, DIFFERS)
    assert "81.5 (exact)" in claims["flops-llava"].reason
    assert claims["flops-internvl"].verdict == NOT_RUN


def test_a_table_without_a_column_that_a_claim_reads_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"cost\.csv.*flops_saved_percent.*flops-llava"):
        with_tables(tmp_path, cost="model,method,keep\n")


def test_a_table_with_text_for_a_number_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"timings\.csv.*soon"):
        with_tables(tmp_path, timings=TIMES.replace("2.4,", "soon,"))


@pytest.mark.parametrize(
    ("name", "paper", "detail"),
    [
        ("correction-helps", "fails", "7 of 8; not on TextVQA (−1.0)"),
        ("beats-fastv-everywhere", "holds", "36 of 36"),
        ("beats-fastv-internvl", "fails", "19 of 20; not on MME of InternVL2-2B (−25.8)"),
        ("mmbench-categories", "holds", "7 of 7"),
        ("last-is-worst", "holds", "4 of 4"),
        ("best-strategy", "holds", "4 of 4"),
        ("withdrawal-is-worst", "holds", "12 of 12"),
        ("gap-grows", "not printed", ""),
        ("full-is-best", "holds", "7 of 8; not on MMBench (−0.7)"),
        ("minimal-loss", "holds", "91.4"),
    ],
)
def test_the_papers_own_tables_are_judged_too(read, name, paper, detail):
    claim = judged(read())[name]
    assert (claim.paper, claim.paper_detail) == (paper, detail)


def test_every_comparison_names_its_row(read):
    inputs = read()
    claims = judge_claims(inputs, inputs.claims)
    frame = comparisons_frame(claims)
    assert list(dict.fromkeys(frame["id"])) == [claim.id for claim in claims] == list(claims_frame(claims)["id"])
    for row in frame[frame["value"] != ""].itertuples():
        assert row.outcome != MISSING and row.ci_low <= row.value <= row.ci_high
        find = inputs.results.difference if " - " in row.method else inputs.results.score
        assert find(row.experiment, row.model, row.method, row.benchmark, row.keep).value == row.value
    assert (frame.loc[frame["value"] == "", "why"] != "").all()
