"""E-AdaPrune's part of the report, made from small results: verdicts, sentences, tables and figures follow the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import synthetic_results as synthetic
from PIL import Image

from vtstudy.report import build_report, spectral_figures
from vtstudy.report.eadaprune import second_paper
from vtstudy.report.results import ReportError, load

MODEL, HOSTS, KEEPS, BENCHMARKS = "miniature-llava", ("fastv", "pyramiddrop", "visionzip"), (0.25, 0.1), ("pope", "mme")
TAUS = (0.9, 0.98)


def scores(gain: float, half: float = 1.0) -> list[dict]:
    """Of the experiments eadaprune, energy and sensitivity; ``gain`` is spectral minus fixed."""
    found = []

    def add(experiment, method, keep, benchmark, value):
        metric = "percent_of_baseline" if benchmark == "mean" else "score"
        metric = f"difference:{metric}" if " - " in method else metric
        found.append(
            dict(
                zip(
                    synthetic.COLUMNS,
                    (experiment, MODEL, method, keep, benchmark, metric, value, 40, value - half, value + half),
                    strict=True,
                )
            )
        )

    for benchmark in (*BENCHMARKS, "mean"):
        for experiment in ("eadaprune", "energy", "sensitivity"):
            add(experiment, "baseline", 1, benchmark, 100)
        for keep in KEEPS:
            for host in HOSTS:
                add("eadaprune", host, keep, benchmark, 60)
                add("eadaprune", f"{host}_spectral", keep, benchmark, 60 + gain)
                add("eadaprune", f"{host}_spectral - {host}", keep, benchmark, gain)
        for tau in TAUS:
            add("energy", f"fastv tau={tau:g}", "", benchmark, 100 * tau - 30)
        for method, value in (
            ("fastv", 60),
            ("fastv_spectral", 60 + gain),
            ("fastv vision", 60),
            ("fastv_spectral - fastv", gain),
            ("fastv vision - fastv_spectral", -gain),
            ("fastv projected k<=28 - fastv_spectral", 0.0),
        ):
            add("sensitivity", method, 0.1, benchmark, value)
    return found


def write_tables(folder: Path, recorded: float | None = None) -> None:
    """The experiments' files, as they write them; ``recorded`` milliseconds on a GPU."""

    def dump(name, rows):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(folder / name, index=False)

    everywhere = [*BENCHMARKS, "mean"]
    dump(
        "eadaprune/tokens.csv",
        [
            {
                "method": host + kind,
                "keep": keep,
                "energy": 0.9 if kind else "",
                "benchmark": b,
                "n": 20,
                "tokens": 144 * keep + 3 * bool(kind),
                "tokens_by_layer": 80,
            }
            for host in HOSTS
            for kind in ("", "_spectral")
            for keep in KEEPS
            for b in everywhere
        ],
    )
    dump(
        "energy/tokens.csv",
        [
            {
                "method": f"fastv tau={t:g}",
                "energy": t,
                "benchmark": b,
                "n": 20,
                "tokens": 100 * t - 80,
                "tokens_by_layer": 60,
            }
            for t in TAUS
            for b in everywhere
        ],
    )
    variants = (
        ("fastv_spectral", "projected", "", 1.0),
        ("fastv vision", "vision", "", 0.8),
        ("fastv projected k<=28", "projected", 28, 0.9),
    )
    dump(
        "sensitivity/variants.csv",
        [
            {
                "method": m,
                "features": f,
                "centre": False,
                "power": 2,
                "k_min": 1,
                "k_max": k,
                "energy": 0.97,
                "n": 40,
                "tokens": 14.2,
                "sd": 3.1,
                "spearman": s,
                "ci_low": s - 0.1,
                "ci_high": s,
            }
            for m, f, k, s in variants
        ],
    )
    generator = np.random.default_rng(0)
    content = generator.integers(1, 9, 40)
    dump(
        "spectra/budgets.csv",
        [
            {
                "benchmark": b,
                "image_id": n,
                "content": c,
                "objects": c,
                "characters": c % 4,
                "chart_parts": c % 3,
                "clutter": 0,
                "projected_0.1": c + 9,
            }
            for n, c in enumerate(content)
            for b in BENCHMARKS
        ],
    )
    dump(
        "spectra/decay.csv",
        [
            {
                "features": "projected",
                "centre": centre,
                "group": g,
                "k": k,
                "q25": 1 - 0.5**k,
                "median": 1 - 0.4**k,
                "q75": 1 - 0.3**k,
            }
            for centre in (False, True)
            for g in ("sparse third", "all", "dense third")
            for k in range(1, 6)
        ],
    )
    dump(
        "spectra/correlation.csv",
        [
            {
                "features": "projected",
                "centre": False,
                "power": 2,
                "target": 0.1,
                "benchmark": b,
                "measure": m,
                "n": 40,
                "spearman": s,
                "ci_low": s - 0.1,
                "ci_high": s + 0.1,
            }
            for b, m, s in (
                ("pope", "content", 0.71),
                ("mme", "content", 0.32),
                ("all", "content", 0.55),
                ("all", "objects", 0.78),
                ("all", "characters", -0.28),
                ("all", "chart_parts", -0.16),
            )
        ],
    )
    dump(
        "spectra/agreement.csv",
        [
            {
                "features": "projected",
                "target": 0.1,
                "benchmark": "all",
                "n": 3942,
                "same": 3940,
                "percent": 99.95,
                "furthest": 1,
                "at_first_rank": 1971,
            }
        ],
    )
    dump(
        "spectra/calibration.csv",
        [
            {
                "features": "projected",
                "centre": False,
                "power": 2,
                "target": 0.1,
                "k_min": 1,
                "k_max": "",
                "tokens": 14,
                "energy": 0.97,
                "calibrated_mean": 14,
                "mean": 14.1,
            }
        ],
    )
    dump(
        "spectra/examples/examples.csv",
        [
            {"end": e, "picture": "one.png", "benchmark": b, "image_id": "x", "tokens": t}
            for e, t in (("smallest", 7), ("largest", 23))
            for b in BENCHMARKS
        ],
    )
    Image.new("RGB", (9, 9), (200, 30, 30)).save(folder / "spectra/examples/one.png")
    routes = ("svd", "gram", "randomised", "randomised, rank t")

    def line(source, device, shape, rank, route, ms):
        tokens, width = map(int, shape.split("x"))
        return {
            "source": source,
            "device": device,
            "shape": shape,
            "tokens": tokens,
            "width": width,
            "rank": rank,
            "route": route,
            "median_ms": ms,
            "quartile_low_ms": 0.9 * ms,
            "quartile_high_ms": 1.1 * ms,
            "rounds": 3,
            "times_gram": ms / 10,
            "cost": tokens * width * 100.0,
            "cost_of_svd": 0.5,
            "budget": 14,
            "settled_at": 64,
        }

    points = [("144x1024", 64), ("576x1024", 64), ("576x1024", 16), ("576x4096", 64)]
    rows = [
        line("measured", "x86_64", shape, rank, route, 10.0 * (n + 1))
        for shape, rank in points
        for n, route in enumerate(routes)
    ]
    rows += [line("recorded", "H100", "576x1024", 64, "randomised", recorded)] if recorded else []
    dump("spectra_latency/latency.csv", rows)


@pytest.fixture
def second(tmp_path, monkeypatch):
    """The part as data; its figures are made, but not written (which takes most of the time)."""
    monkeypatch.setattr(spectral_figures, "save", lambda figure, folder, name: None)

    def make(gain=2.0, half=1.0, recorded=None, rows=None):
        files = synthetic.write(tmp_path, synthetic.rows() + (scores(gain, half) if rows is None else rows))
        write_tables(tmp_path / "figures", recorded)
        inputs = load(
            files["results"],
            files["provenance"],
            files["params"],
            files["published"],
            [tmp_path / "figures/spectra_latency/latency.csv"],
        )
        return second_paper(inputs, files["published"], files["figures"], tmp_path / "out", MODEL)

    return make


def part(found, name):
    return next(p for p in found.parts if p.id == name)


@pytest.mark.parametrize(
    ("gain", "half", "answer", "claim"),
    [
        (
            2.0,
            1.0,
            "of 6 comparisons (FastV, PyramidDrop and VisionZip at 25 and 10 % of the tokens), they are better in 6, worse in 0 and",
            "reproduced",
        ),
        (-2.0, 1.0, "No: on the mean over benchmarks", "differs"),
        (0.3, 1.0, "No gain can be shown: on the mean over benchmarks", "undecided"),
    ],
)
def test_it_says_plainly_whether_spectral_budgets_win(second, gain, half, answer, claim):
    found = second(gain, half)
    assert answer in found.answer and found.answer in found.findings
    sides = {"reproduced": (6, 0, 0), "differs": (0, 6, 0), "undecided": (0, 0, 6)}[claim]
    assert found.brief.endswith(
        "of 6 comparisons they are better in {}, worse in {} and not to be told apart in {}.".format(*sides)
    )
    verdicts = {c.id: c.verdict for c in found.claims}
    assert verdicts["spectral-beats-fixed"] == claim and verdicts["spectral-mmvet"] == "not run"
    assert sum(found.counts.values()) == len(found.claims) == 4


def test_the_averages_stand_in_both_conventions(second):
    found = part(second(), "matched")
    assert "left when the last stage has pruned" in " ".join(
        found.sentences
    ) and "averaged over all decoder layers" in " ".join(found.sentences)
    assert "spectral budgets leave 108 to 121 % of the fixed budgets’ tokens; a gain of that part" in " ".join(
        found.sentences
    )
    assert "With each method and budget 40 questions were asked: the first 20 of each benchmark." in " ".join(
        found.sentences
    )
    (grid,) = found.tables
    assert dict(grid.lines)["VisionZip, 10 %"] == [
        "60.0",
        "62.0",
        "+2.0 (+1.0 to +3.0)",
        "14.4",
        "80.0",
        "17.4",
        "80.0",
    ]


def test_which_assumptions_matter(second):
    told = " ".join(part(second(gain=2.0), "assumptions").sentences)
    assert (
        "Of 2 other readings, each calibrated to the same mean budget, 1 differs" in told
        and "vision −2.0 (−3.0 to −1.0)" in told
    )
    assert (
        "the assumed reading − the fixed budget: +2.0 (+1.0 to +3.0)" in told
        and "between 0.80 (vision) and 0.90" in told
    )
    told = " ".join(part(second(gain=0.2), "assumptions").sentences)
    assert "None of the 2 other readings" in told and "furthest is vision, −0.2" in told


def test_a_difference_that_is_none_shows_no_zero(second):
    found = second(gain=0.17, half=0.13)
    told, (grid,) = " ".join(part(found, "assumptions").sentences), part(found, "assumptions").tables
    assert (
        "vision −0.17 (−0.30 to −0.04) percentage points" in told
        and "−0.17 (−0.30 to −0.04)" in dict(grid.lines)["vision"]
    )
    assert (
        "difference is +0.17 (+0.04 to +0.30)" in " ".join(part(found, "matched").sentences)
        and "0.0 (−0.1 to +0.1)" in dict(grid.lines)["projected k<=28"]
    )
    (grid,) = part(found, "matched").tables
    assert dict(grid.lines)["VisionZip, 10 %"][2] == "+0.17 (+0.04 to +0.30)"


def test_latency_is_judged_on_recorded_times_alone(second):
    found = second()
    (claim,) = (c for c in found.claims if c.id == "spectral-latency")
    assert (claim.verdict, claim.reason) == ("not run", "no GPU's times are recorded")
    told = " ".join(part(found, "latency").sentences)
    assert (
        "No recorded GPU measurement" in told
        and "30.0 ms, 3.0 times as long as the Gram route (median of the rounds’ ratios)" in told
    )
    (grid,) = part(found, "latency").tables
    assert (
        grid.heads[1] == "Times the Gram route"
        and "the median of the ratios within a round, not the ratio of the medians" in grid.caption
    )
    for ms, verdict in ((2.0, "reproduced"), (20.0, "differs"), (8.1, "undecided")):
        found = second(recorded=ms)
        assert next(c.verdict for c in found.claims if c.id == "spectral-latency") == verdict
        assert (
            f"Recorded on H100, 576 × 1024: the randomised route, run until the budget is certain, takes {ms:.1f} ms"
            in " ".join(part(found, "latency").sentences)
        )


def test_density_and_agreement(second):
    found = second()
    assert (
        "is 0.55 (0.45 to 0.65) over all images; within a benchmark from 0.32 (MME) to 0.71 (POPE)"
        in part(found, "density").sentences[0]
    )
    assert "objects alone +0.78, of characters −0.28, of chart parts −0.16" in part(found, "density").sentences[0]
    assert (
        "99.95 % of the images or more" in part(found, "agreement").sentences[0]
        and "1 token away" in part(found, "agreement").sentences[0]
    )


def test_every_published_number_has_a_verdict_or_a_reason(second):
    found = second()
    assert len(found.published) == 17 and all(p.verdict and p.reason for p in found.published)
    by = {p.column: p for p in found.published if p.row == "E-AdaPrune"}
    assert (
        by["SEED-Bench"].secondary
        and "task seedbench" in by["SEED-Bench"].reason
        and "budget is not stated" in by["SEED-Bench"].reason
    )
    assert "GPT judge" in by["MM-Vet"].reason and by["Benchmarks"].verdict == "no measurement"
    assert {p.verdict for p in found.published if p.secondary} == {"not run"}
    (tasks,) = part(found, "tasks").tables
    assert [(name, line[1]) for name, line in tasks.lines] == [
        (b, "not run") for b in ("MM-Vet", "SEED-Bench", "ScienceQA", "MMBench-CN")
    ]


def test_the_report_has_both_papers(tmp_path):
    write_tables(tmp_path / "figures")
    files = synthetic.write(tmp_path, synthetic.rows() + scores(2.0))
    out = build_report(**files | {"tables": [tmp_path / "figures/spectra_latency/latency.csv"]}).parent
    page, markdown = (out / "index.html").read_text(), (out / "README.md").read_text()
    header = page[: page.index("</header>")]
    assert header.count('<ul class="counts">') == 2 and "AdaptPrune</p>" in header and "E-AdaPrune</p>" in header
    for name in (
        "eadaprune_mean",
        "eadaprune_benchmarks",
        "energy_sweep",
        "sensitivity",
        "spectra_decay",
        "spectra_budgets",
        "spectra_density",
        "spectra_examples",
        "spectra_latency",
    ):
        assert f"(figures/{name}.png)" in markdown and (out / f"figures/{name}.svg").is_file()
    assert "Nothing of this was run" not in page and "secondary (wizwand.com" in page and "<em>secondary" in page
    verdicts = pd.read_csv(out / "claims_eadaprune.csv").set_index("id")["verdict"]
    assert verdicts["spectral-beats-fixed"] == "reproduced" and len(pd.read_csv(out / "verdicts_eadaprune.csv")) == 17
    counted = re.search(r"E-AdaPrune \(the last part\): Of (\d+) claims, (\d+) (?:is |are )?reproduced", markdown)
    assert [int(n) for n in counted.groups()] == [len(verdicts), int((verdicts == "reproduced").sum())]


def test_what_was_not_run_is_said(default):
    text = (default / "README.md").read_text()
    assert (
        text.count("Nothing of this was run.") == 7
        and "Whether spectral budgets beat fixed ones at matched averages was not run." in text
    )


def test_damaged_data_is_one_sentence(tmp_path):
    write_tables(tmp_path / "figures")
    (tmp_path / "figures/sensitivity/variants.csv").write_text("method\nfastv\n")
    files = synthetic.write(tmp_path, synthetic.rows())
    with pytest.raises(ReportError, match=r"variants\.csv lacks the columns features"):
        build_report(**files)
