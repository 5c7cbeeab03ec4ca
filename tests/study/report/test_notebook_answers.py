"""What the notebooks answer: verdicts and numbers follow the results, whatever their sign."""

import pandas as pd
import pytest
from helpers import synthetic_data
from helpers import synthetic_results as synthetic

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.report.controls import controls
from vtstudy.report.evidence import CANNOT_TELL, NOT_RUN, OPPOSITE, SAME
from vtstudy.report.inputs import read_mapping
from vtstudy.report.links import NOTEBOOKS
from vtstudy.report.notebook_answers import NotebookAnswer, notebook_answers, write_answers
from vtstudy.report.notebook_tables import answer
from vtstudy.report.verdicts.claims import judge_claims
from vtstudy.results_table import MEAN

pytestmark = pytest.mark.slow


def answered(inputs, headings=()) -> dict[str, NotebookAnswer]:
    second = read_mapping(inputs.folders.published / "claims_eadaprune.yaml")
    claims = [*judge_claims(inputs, inputs.claims), *judge_claims(inputs, second)]
    return {found.name: found for found in notebook_answers(inputs, claims, controls(inputs), headings)}


def scaled(table, experiment, factor, half=None):
    """The rows, an experiment's differences multiplied; `half` is half the width of their intervals."""
    turned = []
    for row in table:
        if row["experiment"] == experiment and row["metric"].startswith("difference:"):
            value, width = factor * row["value"], row["ci_high"] - row["value"] if half is None else half
            row = row | {"value": value, "ci_low": value - width, "ci_high": value + width}
        turned.append(row)
    return turned


def test_without_results_nothing_is_said(read):
    found = answered(read())
    assert list(found) == list(NOTEBOOKS)
    for name in ("01-positional-bias", "02-survivors", "03-redundancy", "06-spectra", "08-assumptions"):
        assert found[name].verdict == NOT_RUN and not any("nan" in text for text in found[name].sentences)


@pytest.mark.parametrize(("gain", "half", "verdict"), [(5, 1, SAME), (-5, 1, OPPOSITE), (5, 9, CANNOT_TELL)])
def test_the_lead_of_adaptprune(read, gain, half, verdict):
    found = answered(read(synthetic.rows(gain, half)))["05-main-tables"]
    assert found.verdict == verdict
    side = {SAME: "clearly above", OPPOSITE: "clearly below", CANNOT_TELL: "not clear of zero"}[verdict]
    assert side in found.sentences[0] and f"{gain:+.1f}".replace("-", "−") in found.sentences[0]
    assert f"stand-in for LLaVA-1.5-7B ({synthetic.MODEL})" in found.sentences[0].replace("Stand", "stand")


def repeated(table, experiment, benchmarks):
    """The rows, those of an experiment on Nocaps once more for each further benchmark."""
    of_nocaps = [row for row in table if row["experiment"] == experiment and row["benchmark"] == "nocaps"]
    return [*table, *(row | {"benchmark": benchmark} for row in of_nocaps for benchmark in benchmarks)]


@pytest.mark.parametrize(
    ("factor", "half", "verdict", "counts"),
    [
        (1, None, SAME, ("4 of 4", "none")),
        (-1, None, OPPOSITE, ("none of 4", "4")),
        (1, 1.0, CANNOT_TELL, ("none of 4", "none")),
    ],
)
def test_redundancy(read, factor, half, verdict, counts):
    """The synthetic FastV is 0.25 above AdaptPrune; the claim is about four benchmarks."""
    table = repeated([*synthetic.rows(), *synthetic.figure_rows()], "figure3", ["vqav2", "textvqa", "docvqa"])
    found = answered(read(scaled(table, "figure3", factor, half)))["03-redundancy"]
    above, below = counts
    assert found.verdict == verdict
    assert f"more alike on {above} benchmarks" in found.sentences[0]
    assert f"less alike on {below};" in found.sentences[0]


def test_a_claim_of_which_a_part_was_run_has_no_verdict(read):
    found = answered(read([*synthetic.rows(), *synthetic.figure_rows()]))["03-redundancy"]
    assert found.verdict == NOT_RUN and "more alike on 1 of 1 benchmark" in found.sentences[0]


def attention(alike: float, half: float, late: float) -> list[synthetic.Row]:
    """Figure 2: how alike the maps of benchmarks are, and the share of the last quarter of the tokens."""
    four = ("nocaps", "textvqa", "vqav2", "mmbench")
    table = [
        synthetic.row("figure2", "benchmarks alike", 1.0, pair, "pearson", alike, half)
        for pair in ("nocaps ~ textvqa", "vqav2 ~ mmbench", MEAN)
    ]
    for benchmark in four:
        table.append(synthetic.row("figure2", "halves alike", 1.0, benchmark, "pearson", alike + 0.02, 0.01))
        table.append(synthetic.row("figure2", "layers alike", 1.0, benchmark, "pearson", alike - 0.2, 0.01))
        table.append(synthetic.row("figure2", "last quarter", 1.0, benchmark, "share_of_image_attention", late, 0.03))
    return table


@pytest.mark.parametrize(
    ("alike", "half", "verdict"), [(0.95, 0.02, SAME), (0.40, 0.02, OPPOSITE), (0.91, 0.05, CANNOT_TELL)]
)
@pytest.mark.parametrize(
    ("late", "counts"), [(0.42, ("4 of 4", "none")), (0.10, ("none of 4", "4")), (0.26, ("none of 4", "none"))]
)
def test_positional_bias(read, alike, half, verdict, late, counts):
    """The papers' maps would be almost the same, by a threshold of 0.9, and lean to the last quarter, above 0.25."""
    found = answered(read([*synthetic.rows(), *attention(alike, half, late)]))["01-positional-bias"]
    assert found.verdict == verdict
    text = " ".join(found.sentences)
    for value in (alike, alike + 0.02, alike - 0.2):
        assert f"{value:.2f} (" in text
    higher, lower = counts
    assert f"clearly higher on {higher} benchmarks and clearly lower on {lower}." in text


@pytest.mark.parametrize(
    ("value", "half", "verdict", "counts"),
    [
        (0.5, 0.1, SAME, ("11 of 11", "none")),
        (-0.5, 0.1, OPPOSITE, ("none of 11", "11")),
        (0.1, 0.2, CANNOT_TELL, ("none of 11", "none")),
    ],
)
def test_spectra(read, tmp_path, value, half, verdict, counts):
    synthetic_data.write_spectral(tmp_path / "results")
    dense = [
        synthetic.row("spectra", "budget_by_content", 0.1, benchmark, "rank_correlation", value, half)
        for benchmark in ADAPTPRUNE
        if benchmark != "vizwiz"
    ]
    found = answered(read([*synthetic.rows(), *dense]))["06-spectra"]
    assert found.verdict == verdict
    higher, lower = counts
    assert f"clearly higher on {higher} benchmarks and clearly lower on {lower}: " in found.sentences[-1]
    assert f"{value:.2f} (".replace("-", "−") in found.sentences[-1]
    assert "(14 tokens)" in found.sentences[0]  # of the calibration


@pytest.mark.parametrize(("energy", "said"), [(0.97, "τ = 0.970 "), (0.99988, "τ = 0.9999 ")])
def test_an_energy_below_one_is_not_written_as_one(read, tmp_path, energy, said):
    folder = tmp_path / "results"
    synthetic_data.write_spectral(folder)
    calibration = pd.read_csv(folder / "spectra/calibration.csv").assign(energy=energy)
    calibration.to_csv(folder / "spectra/calibration.csv", index=False)
    assert said in answered(read())["06-spectra"].sentences[0]


def test_other_spectra_change_the_answer(read, tmp_path):
    folder = tmp_path / "results"
    synthetic_data.write_spectral(folder)
    before = answered(read())["06-spectra"].sentences
    budgets = pd.read_csv(folder / "spectra/budgets.csv")
    column = next(name for name in budgets if name.startswith("projected_"))
    budgets[column] = 3 * budgets[column] + 1
    budgets.to_csv(folder / "spectra/budgets.csv", index=False)
    after = answered(read())["06-spectra"].sentences
    assert before[0] != after[0] and before[1] != after[1]


@pytest.mark.parametrize(("factor", "above", "below"), [(1, "none of 2", "2"), (-1, "2 of 2", "none")])
def test_the_lead_at_each_ratio(read, factor, above, below):
    """The synthetic AdaptPrune is 24.5 points below FastV."""
    table = scaled([*synthetic.rows(), *synthetic.figure_rows()], "figure5", factor)
    found = answered(read(table))["04-ratio-curves"]
    (lead,) = [text for text in found.sentences if "Compared with FastV" in text]
    assert f"clearly above at {above} ratios and clearly below at {below}" in lead
    assert found.verdict == (OPPOSITE if factor == 1 else SAME)


@pytest.mark.parametrize(("value", "verdict"), [(60.0, SAME), (20.0, OPPOSITE), (36.0, CANNOT_TELL)])
def test_fixed_places(read, value, verdict):
    """AdaptPrune's overlap is 35.5 %."""
    table = [
        row | {"value": value, "ci_low": value - 1, "ci_high": value + 1} if row["method"] == "fastv overlap" else row
        for row in [*synthetic.rows(), *synthetic.figure_rows()]
    ]
    found = answered(read(table))["02-survivors"]
    assert found.verdict == verdict and f"{value:.1f}" in found.sentences[0]


@pytest.mark.parametrize(("gain", "up", "down"), [(3.0, "none", "1"), (-3.0, "1", "none")])
def test_other_readings(read, gain, up, down):
    """Of two other readings, one is the gain below the assumed one and one is like it."""
    found = answered(read([*synthetic.rows(), *synthetic.spectral_rows(gain)]))["08-assumptions"]
    assert found.verdict == "1 of 2"
    assert f"higher with {up} of 2 readings" in found.sentences[0]
    assert f"lower with {down}" in found.sentences[0]


@pytest.mark.parametrize(("gain", "verdict"), [(3.0, SAME), (-3.0, OPPOSITE), (0.2, CANNOT_TELL)])
def test_matched_budgets(read, gain, verdict):
    found = answered(read([*synthetic.rows(), *synthetic.spectral_rows(gain)]))["07-matched-budgets"]
    assert found.verdict == verdict and found.place == "pages/eadaprune.md"
    assert f"{gain:+.1f}".replace("-", "−") in found.sentences[1]


def test_the_paper_s_own_checkpoint_has_its_name_and_its_words(read):
    table = [*synthetic.rows(model=synthetic.HUB_MODEL)]
    found = answered(read(table, "lite"))["05-main-tables"]
    assert found.sentences[0].startswith("LLaVA-1.5-7B:") and found.verdict == "reproduced"


def test_the_notebook_shows_the_answer_with_links(read, tmp_path):
    headings = ["Figure 3: are they alike?"]
    found = answered(read([*synthetic.rows(), *synthetic.figure_rows()]), headings)
    assert found["03-redundancy"].place == "README.md#figure-3-are-they-alike"
    write_answers(list(found.values()), tmp_path / "answers.json")
    shown = answer(tmp_path / "answers.json", "03-redundancy").data
    assert found["03-redundancy"].verdict in shown and "#figure-3-are-they-alike" in shown
    assert 'README.md#fastv-keeps-similar-tokens"' in shown
