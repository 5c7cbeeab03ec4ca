"""What a profile asks, before it is run: the plan, and what the command prints of it."""

import csv
from dataclasses import replace

import pytest
from helpers import ROOT
from helpers.params_file import write_params
from helpers.tiny_llava import write_data

from vtprune.errors import UserError
from vtprune.methods import get_method
from vtstudy import cli
from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS
from vtstudy.config import load
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.plan import plan, question_count
from vtstudy.experiments.questions_asked import questions_asked
from vtstudy.experiments.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

EADAPRUNE = ("eadaprune", "energy", "sensitivity")


@pytest.fixture(autouse=True)
def _no_judge(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def planned(folder, experiments=None, **evaluation):
    """The planned runs by experiment, and the sentences."""
    made = plan(load(write_params(folder, experiments, **evaluation)))
    assert sum(run.new_answers for run in made.runs) == sum(part.questions for part in made.asked)
    return {run.experiment: run for run in made.runs}, " ".join(made.left_out)


def test_a_plan_counts_the_answers_that_no_earlier_experiment_needs(tmp_path):
    runs, sentences = planned(tmp_path)
    table1, table8 = runs["table1"], runs["table8"]
    everything = sum(question_count(load(tmp_path / "params.yaml"), name, None) for name in ADAPTPRUNE)
    assert (table1.variants, table1.questions, table1.new_answers) == (7, everything, 7 * everything)
    # Four of Table 8's variants are Table 1's. The other two are asked MME's 2374 questions.
    assert (table8.variants, table8.questions, table8.new_answers) == (6, 2374, 2 * 2374)
    assert "InternVL2-2B" in sentences and "table2" not in runs
    assert all(f"experiments.{name}" in sentences and name not in runs for name in EADAPRUNE)


def test_a_plan_shares_the_first_questions(tmp_path):
    """Three of Figure 5's variants are Table 1's, which are asked more questions."""
    experiments = {
        "figure5": {"keeps": [0.2, 0.1], "limit": 10},
        "eadaprune": {"hosts": ["fastv"], "keeps": [0.1], "limit": 60, "benchmarks": ["pope"]},
        "energy": {"energies": [0.5, 0.9], "limit": 60, "benchmarks": ["pope"]},
    }
    runs, sentences = planned(tmp_path, experiments, limit=50)
    counts = {name: (run.variants, run.questions, run.new_answers) for name, run in runs.items()}
    assert counts["figure5"] == (7, 80, 240)  # fastv, adaptprune and random at 0.2
    assert counts["eadaprune"] == (3, 60, 80)  # ten questions more for two variants, all for the third
    assert counts["energy"] == (3, 60, 120)
    assert "experiments.sensitivity" in sentences


def test_a_plan_counts_local_data_and_limits(tmp_path):
    write_data(tmp_path / "data", "pope")
    assert planned(tmp_path, limit={"default": 10, "mme": None})[0]["table1"].questions == 11 * 10 + 2374
    with pytest.raises(UserError, match="NoCaps"):
        planned(tmp_path, data=str(tmp_path / "data"))
    with pytest.raises(UserError, match="popes"):
        planned(tmp_path, limit={"popes": 3})


def test_a_benchmark_without_its_judge_is_left_out(tmp_path, monkeypatch):
    experiments = {"eadaprune": {"hosts": ["fastv"], "benchmarks": ["mmvet", "pope"]}}
    runs, sentences = planned(tmp_path, experiments, limit={"default": 4, "mmvet": None})
    assert runs["eadaprune"].questions == 4 and "MM-Vet" in sentences and "OPENAI_API_KEY" in sentences
    monkeypatch.setattr("vtstudy.experiments.plan.unavailable", lambda benchmarks: {})
    runs, sentences = planned(tmp_path, experiments, limit={"default": 4, "mmvet": None})
    assert runs["eadaprune"].questions == 218 + 4 and "MM-Vet" not in sentences


def test_spectral_budgets_cost_as_the_fixed_ones_that_they_match(tmp_path):
    experiments = {
        "eadaprune": {"hosts": ["fastv"], "keeps": [0.2], "limit": 2, "benchmarks": ["pope"]},
        "energy": {"hosts": ["adaptprune"], "energies": [0.9], "limit": 2, "benchmarks": ["pope"]},
    }
    asked = plan(load(write_params(tmp_path, experiments, limit=2))).asked
    spectral = {part.variant.method.name: part.cost_as for part in asked if "energy" in str(part.variant.method)}
    assert spectral == {"fastv": get_method("fastv", keep=0.2), "adaptprune": get_method("none")}


def test_metrics_of_the_same_answers_need_them_once(tmp_path):
    experiments = {"energy": {"energies": [0.9], "limit": 4, "benchmarks": ["pope_f1", "textvqa_ocr"]}}
    made = plan(load(write_params(tmp_path, experiments, limit=2)))
    runs = {run.experiment: run for run in made.runs}
    # The unpruned model answers two of POPE's questions for Table 1; TextVQA's have OCR tokens only here.
    assert runs["energy"].new_answers == (4 - 2) + 4 + 2 * 4
    assert {part.benchmark for part in made.asked if part.questions == 4} == {"pope", "textvqa_ocr"}


def test_the_prompts_of_figures_are_planned(tmp_path):
    experiments = {"figure2": {"benchmarks": ["gqa", "pope"], "limit": 5}}
    config = load(write_params(tmp_path, experiments, limit={"default": 2, "gqa": 3}))
    shown = [(part.experiment, part.model, part.benchmark, part.questions) for part in plan(config).shown]
    assert shown == [("figure2", "llava-7b", "gqa", 6), ("figure2", "llava-7b", "pope", 6)]  # made even for MME
    assert questions_asked(config)["gqa"] == 6 and questions_asked(config)["textvqa"] == 2


def test_questions_that_cannot_be_counted_are_refused(tmp_path):
    config = load(write_params(tmp_path, data="nowhere"))
    with pytest.raises(UserError, match="nowhere"):
        question_count(config, "pope", None)
    with pytest.raises(UserError, match="MM-Vet"):
        question_count(config, "mmvet", None)


@pytest.mark.parametrize(
    ("profile", "first"),
    [("lite", 7 * 22_203), ("paper", 7 * 301_132)],  # Table 1's variants, and the questions of the twelve benchmarks
)
def test_the_profiles_can_be_planned(capsys, monkeypatch, profile, first):
    monkeypatch.chdir(ROOT)
    params = f"profiles/{profile}/params.yaml"
    runs = plan(load(params)).runs
    assert runs[0].new_answers == first
    assert cli.main(["plan", "--profile", profile, "--offline"]) == 0
    printed = capsys.readouterr().out
    assert f"{sum(run.new_answers for run in runs):,}" in printed
    assert "computed" in printed and "nobody has measured it" in printed  # no GPU was at hand yet
    assert cli.main(["plan", "--profile", profile, "--params", params]) == 2
    assert cli.main(["plan", "--profile", "nothing"]) == 2


def test_the_miniature_is_planned_without_its_data(tmp_path, monkeypatch):
    """Every experiment has as many variants and questions as the committed results."""
    monkeypatch.chdir(tmp_path)
    runs = plan(load(ROOT / "params.yaml")).runs
    assert {run.experiment for run in runs} >= set(EADAPRUNE)
    for run in runs:
        stem = EXPERIMENTS[run.experiment].file_stem(load(ROOT / "params.yaml"), run.model)
        with (ROOT / f"reports/miniature/results/scores/{stem}.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if "/" not in row["benchmark"] and row["benchmark"] != "mean"]
        variants = {
            (row["method"], row["keep"]) for row in rows if " - " not in row["method"] and row["method"] != "chance"
        }
        assert len(variants) == run.variants, stem
        assert sum(int(row["n"]) for row in rows if row["method"] == "baseline") == run.questions, stem


def test_a_benchmark_of_an_unknown_number_of_questions_needs_a_limit(monkeypatch):
    config = load(ROOT / "profiles/lite/params.yaml")
    monkeypatch.setitem(BENCHMARKS, "pope", replace(BENCHMARKS["pope"], rows=None))
    assert question_count(config, "pope", 40) == 40
    with pytest.raises(EvaluationError, match="POPE"):
        question_count(config, "pope", None)
