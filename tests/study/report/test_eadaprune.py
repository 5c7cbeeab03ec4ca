"""E-AdaPrune's part of the report: verdicts, sentences and tables follow the numbers."""

import re

import pandas as pd
import pytest
from helpers import synthetic_data
from helpers import synthetic_results as synthetic
from PIL import Image

from vtprune.errors import UserError
from vtstudy.report.build import build_report
from vtstudy.report.eadaprune.section import EAdaPruneSection, Part, eadaprune_section
from vtstudy.report.evidence import CANNOT_TELL, OPPOSITE, SAME
from vtstudy.report.inputs import Folders, load

pytestmark = pytest.mark.slow


@pytest.fixture
def second(tmp_path):
    """The part; its charts are not drawn."""

    def make(gain: float = 2.0, half: float = 1.0, recorded_ms: float | None = None) -> EAdaPruneSection:
        files = synthetic.write(tmp_path, synthetic.rows() + synthetic.spectral_rows(gain, half))
        synthetic_data.write_spectral(tmp_path / "results", recorded_ms)
        inputs = load(Folders(files["reports"], files["published"], files["params"]))
        return eadaprune_section(inputs, synthetic.MODEL)

    return make


def part(section: EAdaPruneSection, name: str) -> Part:
    return next(part for part in section.parts if part.id == name)


def text(section: EAdaPruneSection, name: str) -> str:
    return " ".join(part(section, name).sentences)


@pytest.mark.parametrize(
    ("gain", "answer", "verdict", "counts"),
    [
        (2.0, "Yes", SAME, ("6", "none")),
        (-2.0, "No", OPPOSITE, ("none", "6")),
        (0.3, "No gain can be shown", CANNOT_TELL, ("none", "none")),
    ],
)
def test_whether_spectral_budgets_win(second, gain, answer, verdict, counts):
    section = second(gain)
    assert f"? {answer}. " in section.answer and section.answer in section.findings
    counted = re.search(r"better in (\w+) of 6 .* worse in (\w+) ", section.answer)
    assert counted.groups() == counts
    verdicts = {claim.id: claim.verdict for claim in section.claims}
    assert verdicts["spectral-beats-fixed"] == verdict and verdicts["spectral-mmvet"] == "not run"


def test_a_benchmark_that_only_the_sweep_asks_about_has_no_fixed_budgets(second, tmp_path):
    """The profiles of the papers' checkpoints sweep `pope`, and compare on `pope_f1`."""
    rows = synthetic.spectral_rows(2.0)
    alone = [row for row in rows if (row["experiment"], row["benchmark"]) != ("eadaprune", "pope")]
    assert len(alone) < len(rows)
    files = synthetic.write(tmp_path, synthetic.rows() + alone)
    synthetic_data.write_spectral(tmp_path / "results")
    counted = tmp_path / "results/eadaprune/tokens.csv"
    pd.read_csv(counted).query("benchmark != 'pope'").to_csv(counted, index=False)
    section = eadaprune_section(load(Folders(files["reports"], files["published"], files["params"])), synthetic.MODEL)
    assert any(chart.name == "energy_sweep" for part in section.parts for chart in part.charts)


def test_averages_are_in_both_conventions(second):
    section = second()
    assert "108 to 121 %" in text(section, "matched") and "first 20 of each benchmark" in text(section, "matched")
    table = part(section, "matched").tables[0]
    line = ["60.0", "62.0", "+2.0 (+1.0 to +3.0)", "14.4", "80.0", "17.4", "80.0"]
    assert dict(table.lines)["VisionZip, 10 %"] == line


def test_which_assumptions_matter(second):
    apart = text(second(gain=2.0), "assumptions")
    assert "vision −2.0 (−3.0 to −1.0)" in apart and "+2.0 (+1.0 to +3.0)" in apart
    assert "0.80 (vision) and 0.90" in apart
    alike = text(second(gain=0.2), "assumptions")
    assert "None of the 2" in alike and "vision, −0.2" in alike


def test_a_decided_difference_does_not_seem_to_reach_zero(second):
    section = second(gain=0.17, half=0.13)
    assert "vision −0.17 (−0.30 to −0.04)" in text(section, "assumptions")
    assert "+0.17 (+0.04 to +0.30)" in text(section, "matched")
    lines = dict(part(section, "assumptions").tables[0].lines)
    assert "−0.17 (−0.30 to −0.04)" in lines["vision"] and "0.0 (−0.1 to +0.1)" in lines["projected k<=28"]
    assert dict(part(section, "matched").tables[0].lines)["VisionZip, 10 %"][2] == "+0.17 (+0.04 to +0.30)"


@pytest.mark.parametrize(
    ("recorded_ms", "verdict"), [(None, "not run"), (2.0, "reproduced"), (20.0, "differs"), (8.1, CANNOT_TELL)]
)
def test_latency_is_judged_on_recorded_times_alone(second, recorded_ms, verdict):
    section = second(recorded_ms=recorded_ms)
    assert next(claim.verdict for claim in section.claims if claim.id == "spectral-latency") == verdict
    assert "30.0 ms, 3.0 times as long" in text(section, "latency")
    assert ("H100" in text(section, "latency")) == (recorded_ms is not None)
    if recorded_ms:
        assert f"{recorded_ms:.1f} ms" in text(section, "latency")


def test_budgets_against_density(second):
    sentence = text(second(), "density")
    for number in ("0.55 (0.45 to 0.65)", "0.32 (MME)", "0.71 (POPE)", "+0.78", "−0.28", "−0.16"):
        assert number in sentence


def test_randomised_against_exact_budgets(second):
    sentence = text(second(), "agreement")
    assert "99.95 %" in sentence and "1 token " in sentence


def test_every_published_number_has_a_verdict_or_a_reason(second):
    section = second()
    assert all(number.verdict and number.reason for number in section.published)
    numbers = {number.column: number for number in section.published if number.row == "E-AdaPrune"}
    assert numbers["SEED-Bench"].secondary and "checkpoint" in numbers["SEED-Bench"].reason
    assert "GPT judge" in numbers["MM-Vet"].reason and numbers["Benchmarks"].verdict == "no measurement"
    assert {number.verdict for number in section.published if number.secondary} == {"not run"}
    (tasks,) = part(section, "tasks").tables
    run = {name: line[1] for name, line in tasks.lines}
    assert run.keys() >= {"MM-Vet", "SEED-Bench", "ScienceQA", "MMBench-CN"} and set(run.values()) == {"not run"}


def test_a_run_without_tables_is_not_run(second, tmp_path):
    files = synthetic.write(tmp_path, synthetic.rows())
    inputs = load(Folders(files["reports"], files["published"], files["params"]))
    section = eadaprune_section(inputs, synthetic.MODEL)
    assert all(not part.charts and not part.sentences for part in section.parts)
    assert "not run" in section.answer


@pytest.mark.parametrize("side", ["kept", "lost"])
def test_the_word_is_named_with_the_budget_that_reads_it(read, tmp_path, side):
    """Answers and tokens that look like numbers stay text: 11, and the hexadecimal digits 1e2."""
    folder = tmp_path / "results/eadaprune"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "word.png")
    (folder / "words.csv").write_text(
        "side,benchmark,host,keep,question,picture,height,width,fixed_answer,spectral_answer,fixed_kept,spectral_kept\n"
        f"{side},textvqa,fastv,0.1,What is written?,word.png,3,4,11,011,1e20,1e30\n"
    )
    (part,) = [part for part in eadaprune_section(read(), synthetic.MODEL).parts if part.id == "words"]
    (chart,) = part.charts
    right = "spectral" if side == "kept" else "fixed"
    assert (
        "5 tokens, “11”" in chart.alt and "6 tokens, “011”" in chart.alt and f"The {right} budget is right" in chart.alt
    )
    chart.draw()


def test_damaged_data_is_refused(tmp_path):
    files = synthetic.write(tmp_path, synthetic.rows())
    synthetic_data.write_spectral(tmp_path / "results")
    (tmp_path / "results/sensitivity/variants.csv").write_text("method\nfastv\n")
    with pytest.raises(UserError, match=r"variants\.csv.*features"):
        build_report(**files)
