"""Verdicts on claims, on results whose truth is known."""

import math

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.errors import ReportError
from vtstudy.report.evidence import (
    AGREES,
    AGREES_OTHERWISE,
    CANNOT_TELL,
    CONSISTENT,
    DISAGREES,
    INCONSISTENT,
    NOT_PRINTED,
    NOT_RUN,
    OPPOSITE,
    REPRODUCED,
    SAME,
    UNTESTABLE,
    Kind,
    Outcome,
    words,
)
from vtstudy.report.inputs import Folders, Inputs, load
from vtstudy.report.results import Measurement
from vtstudy.report.verdicts.claim_comparisons import ClaimComparison, Expectation, corrected
from vtstudy.report.verdicts.claims import ClaimResult, claims_frame, combine, comparisons_frame, judge_claims
from vtstudy.report.verdicts.correction import clear_sides, holm, p_value

SUPPORTS, CONTRADICTS, OPEN, MISSING = Outcome.SUPPORTS, Outcome.CONTRADICTS, Outcome.OPEN, Outcome.MISSING
OUTCOMES = {"S": SUPPORTS, "C": CONTRADICTS, "O": OPEN, "M": MISSING, "U": Outcome.UNTESTABLE}
ABOVE_ZERO = Expectation.parse("> 0")


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


def compared(case: str, term: str, outcome: Outcome, why: str = "") -> ClaimComparison:
    return ClaimComparison(case, term, None, outcome, outcome, why)


def comparisons(outcomes: str) -> list[ClaimComparison]:
    return [compared(f"b{place}", "a - b", OUTCOMES[name]) for place, name in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "quantifier", "outcome"),
    [
        ("SSSS", "all", SUPPORTS),
        ("CCCC", "all", CONTRADICTS),
        ("SSSC", "all", OPEN),
        ("CCCS", "all", OPEN),
        ("SSSO", "all", OPEN),
        ("CCCO", "all", OPEN),
        ("SSSM", "all", MISSING),
        ("SSSU", "all", SUPPORTS),
        ("UUUU", "all", Outcome.UNTESTABLE),
        ("MMMM", "all", MISSING),
        ("SSSO", 0.75, SUPPORTS),
        ("CCCO", 0.75, CONTRADICTS),
        ("SSSC", 0.75, OPEN),
        ("CCCS", 0.75, OPEN),
        ("SSOO", 0.75, OPEN),
        ("SSSM", 0.75, SUPPORTS),
    ],
)
def test_the_rule_over_cases_is_the_same_for_both_sides(outcomes, quantifier, outcome):
    assert combine(comparisons(outcomes), quantifier, ABOVE_ZERO)[0] == outcome
    turned = outcomes.translate(str.maketrans("SC", "CS"))
    mirrored = {SUPPORTS: CONTRADICTS, CONTRADICTS: SUPPORTS}.get(outcome, outcome)
    assert combine(comparisons(turned), quantifier, ABOVE_ZERO)[0] == mirrored


def test_one_contradicting_term_decides_a_case():
    """A benchmark supports "best of all" only if every difference does."""
    both = [compared("gqa", "d - a", SUPPORTS), compared("gqa", "d - b", CONTRADICTS)]
    assert combine(both, "all", ABOVE_ZERO)[0] == CONTRADICTS


def test_a_reason_says_if_no_interval_lies_on_the_other_side():
    text = combine(comparisons("SSOO"), "all", ABOVE_ZERO)[1]
    assert "2 of 4 lie clearly above 0" in text and "none of 4 intervals lies below 0" in text
    assert "none of" not in combine(comparisons("SSOC"), "all", ABOVE_ZERO)[1].replace("none clearly", "")


def test_a_reason_names_some_cases_and_counts_the_rest():
    many = combine(comparisons("C" * 30), "all", ABOVE_ZERO)[1]
    assert "b2" in many and "b3" not in many and "27 more" in many
    assert "b3" in combine(comparisons("CCCC"), "all", ABOVE_ZERO)[1]


def test_holm_multiplies_by_how_many_are_left():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("value", "low", "high"), [(2, 0.5, 3), (2, -0.1, 3), (-2, -3, -0.5), (-2, -9, 0.1), (1, 1, 1)]
)
def test_a_p_value_alone_says_what_its_interval_says(value, low, high):
    excluded = low > 0 or high < 0
    assert (p_value(value, low, high, 0.0, 0.95) < 0.05) == excluded


def test_what_is_clear_alone_need_not_be_clear_among_many():
    one = compared("b", "a - b", SUPPORTS)
    barely = [ClaimComparison(f"b{n}", "a - b", measurement(1.0, 0.05, 1.95), SUPPORTS, SUPPORTS) for n in range(20)]
    sure = ClaimComparison("sure", "a - b", measurement(9.0, 8.0, 10.0), SUPPORTS, SUPPORTS)
    read = corrected([*barely, sure, one], ABOVE_ZERO, 0.95)
    assert [c.outcome for c in read] == [OPEN] * 20 + [SUPPORTS, SUPPORTS]
    assert all(c.alone == SUPPORTS for c in read)
    assert corrected(barely[:1], ABOVE_ZERO, 0.95)[0].outcome == SUPPORTS
    sides = clear_sides([c.measurement for c in [*barely, sure]], 0.95)
    assert sides == [""] * 20 + ["higher"]


def test_no_kind_of_evidence_borrows_the_words_of_another():
    own = {kind: set(words(kind)) - {CANNOT_TELL, UNTESTABLE, NOT_RUN} for kind in Kind}
    for kind, of_kind in own.items():
        assert of_kind and not any(of_kind & others for other, others in own.items() if other != kind)
    assert REPRODUCED in own[Kind.CHECKPOINT]


@pytest.mark.slow
def test_verdicts_follow_the_sign(read):
    better = {name: claim.verdict for name, claim in judged(read(synthetic.rows(gain=16))).items()}
    for name in ("broader-content", "correction-helps", "minimal-loss", "text-vqa"):
        assert better[name] == SAME, name
    worse = {name: claim.verdict for name, claim in judged(read(synthetic.rows(gain=-16))).items()}
    for name in ("broader-content", "correction-helps", "text-vqa", "beats-fastv-on-average"):
        assert worse[name] == OPPOSITE, name
    assert worse["distance-hurts-text"] == SAME
    level = {name: claim.verdict for name, claim in judged(read(synthetic.rows(gain=0))).items()}
    assert level["beats-fastv-on-average"] == level["full-is-best"] == CANNOT_TELL


@pytest.mark.slow
def test_a_stand_in_reproduces_nothing(read):
    for gain in (16, 0, -16):
        for claim in judged(read(synthetic.rows(gain=gain))).values():
            assert claim.kind in (Kind.STAND_IN, Kind.EXACT)
            assert claim.verdict in words(claim.kind)


def test_the_papers_checkpoint_reproduces_or_differs(read):
    table = synthetic.rows(gain=16, model=synthetic.HUB_MODEL)
    claim = judged(read(table, "lite"))["beats-fastv-on-average"]
    assert (claim.kind, claim.verdict) == (Kind.CHECKPOINT, REPRODUCED)


def test_a_stand_in_never_has_the_papers_name(read):
    claims = judged(read(synthetic.rows()))
    cases = [comparison.case for comparison in claims["beats-fastv-everywhere"].comparisons if comparison.measurement]
    assert len(cases) == 12 and all("stand-in for LLaVA-1.5-7B" in case for case in cases)


@pytest.mark.slow
@pytest.mark.parametrize("half", [73.0, 99.0])
def test_a_control_that_is_not_met_stands_before_what_depends_on_it(read, half):
    table = [*synthetic.rows(gain=16), synthetic.row("figure5", "fastv", 0.5, "mean", "percent_of_baseline", half)]
    claims = judged(read(table))
    failed = half < 95
    assert claims["minimal-loss"].verdict == (UNTESTABLE if failed else SAME)
    assert [control.id for control in claims["minimal-loss"].failed] == (["fastv-at-half"] if failed else [])
    assert claims["beats-fastv-on-average"].verdict == SAME


@pytest.mark.slow
def test_what_answers_alike_or_lies_at_the_floor_cannot_be_tested(read):
    table = synthetic.rows(gain=5)
    for method in ("fastv", "adaptprune"):  # no better than a blank image
        table = synthetic.changed(table, method, "textvqa", value=30.0, ci_low=28.0, ci_high=32.0)
    table = synthetic.changed(table, "adaptprune - fastv", "docvqa", value=0.0, ci_low=0.0, ci_high=0.0)
    claim = judged(read(table))["text-vqa"]
    outcomes = {comparison.case: comparison.outcome for comparison in claim.comparisons}
    assert outcomes == {"TextVQA": Outcome.UNTESTABLE, "ChartQA": SUPPORTS, "DocVQA": Outcome.UNTESTABLE}
    assert claim.verdict == SAME
    table = synthetic.changed(table, "adaptprune - fastv", "chartqa", value=0.0, ci_low=0.0, ci_high=0.0)
    assert judged(read(table))["text-vqa"].verdict == UNTESTABLE


def test_a_claim_without_its_difference_is_not_run(read):
    claim = judged(read([row for row in synthetic.rows() if row["method"] != "(c) - (a)"]))["distance-hurts-text"]
    assert claim.verdict == NOT_RUN
    assert "TextVQA" in claim.reason and "DocVQA" in claim.reason


def test_a_claim_that_was_not_run_says_what_it_waits_for(read):
    claims = judged(read(synthetic.rows(gain=16)))
    everywhere = claims["beats-fastv-everywhere"]
    assert everywhere.verdict == NOT_RUN
    for part in ("12 of 12", "LLaVA-1.5-13B", "LLaVA-NeXT-7B"):
        assert part in everywhere.reason
    assert "table5" in claims["best-strategy"].reason
    assert "timings.csv" in claims["latency-near-fastv"].reason


def lead(keep: float, value: float) -> synthetic.Row:
    """AdaptPrune above FastV on average, at a ratio."""
    metric = "difference:percent_of_baseline"
    return synthetic.row("figure5", "adaptprune - fastv", keep, "mean", metric, value, n=900)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at_half", "at_tenth", "each", "grows"),
    [
        (2, 6, SAME, SAME),
        (-3, -9, OPPOSITE, OPPOSITE),
        (3, -3, CANNOT_TELL, OPPOSITE),
        (0.5, 2, CANNOT_TELL, CANNOT_TELL),
    ],
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
    assert (near.verdict, near.paper, near.paper_detail) == (SAME, CONSISTENT, "1.15")
    assert (faster.verdict, faster.paper, faster.paper_detail) == (SAME, CONSISTENT, "1.56")
    assert "2.40 (2.35 to 2.45)" in faster.reason
    assert (claims["flops-llava"].verdict, claims["flops-next"].verdict) == (AGREES, DISAGREES)
    assert "81.5 (exact)" in claims["flops-llava"].reason
    assert claims["flops-internvl"].verdict == NOT_RUN


def test_another_convention_may_give_the_printed_count(tmp_path):
    ways = "model,agrees\nLLaVA-NeXT-7B,yes\nLLaVA-1.5-7B,no\n"
    claims = with_tables(tmp_path, cost=COSTS.replace("81.49", "75.0"), conventions=ways)
    assert claims["flops-next"].verdict == AGREES_OTHERWISE
    assert claims["flops-llava"].verdict == DISAGREES


def test_a_table_without_a_column_that_a_claim_reads_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"cost\.csv.*flops_saved_percent.*flops-llava"):
        with_tables(tmp_path, cost="model,method,keep\n")


def test_a_table_with_text_for_a_number_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"timings\.csv.*soon"):
        with_tables(tmp_path, timings=TIMES.replace("2.4,", "soon,"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "paper", "detail"),
    [
        ("correction-helps", INCONSISTENT, "7 of 8; not on TextVQA (−1.0)"),
        ("beats-fastv-everywhere", CONSISTENT, "36 of 36"),
        ("beats-fastv-internvl", INCONSISTENT, "19 of 20; not on MME, InternVL2-2B (−25.8)"),
        ("mmbench-categories", CONSISTENT, "7 of 7"),
        ("last-is-worst", CONSISTENT, "4 of 4"),
        ("best-strategy", CONSISTENT, "4 of 4"),
        ("withdrawal-is-worst", CONSISTENT, "12 of 12"),
        ("gap-grows", NOT_PRINTED, ""),
        ("full-is-best", CONSISTENT, "7 of 8; not on MMBench (−0.7)"),
        ("minimal-loss", CONSISTENT, "91.4"),
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
