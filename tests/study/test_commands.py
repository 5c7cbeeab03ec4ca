"""The command `vtstudy`: what it prints and writes, and its exit codes."""

import csv
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from helpers import ROOT
from helpers.tiny_llava import build_checkpoint, write_data

from vtprune.errors import UserError
from vtstudy import cli
from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.config import load
from vtstudy.experiments.plan import plan, question_count
from vtstudy.experiments.registry import EXPERIMENTS

EADAPRUNE = ("eadaprune", "energy", "sensitivity")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkpoint and one data set."""
    folder = tmp_path_factory.mktemp("place")
    build_checkpoint(folder / "tiny-llava")
    return write_data(folder / "data", "pope").parent


def evaluate(place, **options) -> int:
    values = {
        "checkpoint": place / "tiny-llava",
        "data": place / "data",
        "cache": place / "answers",
        "benchmarks": "pope",
        "device": "cpu",
        "max-new-tokens": 3,
    } | options
    return cli.main(["evaluate", *(part for key, value in values.items() for part in (f"--{key}", str(value)))])


@pytest.mark.slow
def test_evaluate_prints_scores_with_intervals(place, capsys):
    assert evaluate(place, method="adaptprune", keep=0.5, param="reading=as_written", limit=8) == 0
    words = capsys.readouterr().out.replace("│", " ").split()
    row = words[words.index("pope") :]
    assert row[1] == "pope_accuracy" and row[4] == "to" and row[6] == "8"
    # The first four questions show one image, which says nothing about another: a score without an interval.
    assert evaluate(place, method="adaptprune", keep=0.5, param="reading=as_written", limit=4) == 0
    words = capsys.readouterr().out.replace("│", " ").split()
    _, metric, score, questions, *_ = words[words.index("pope") :]
    assert (metric, questions) == ("pope_accuracy", "4") and 0 <= float(score) <= 100


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "nope"}, "nope"),
        ({"benchmarks": "pope,popes"}, "popes"),
        ({"method": "fastv", "keep": 1.5}, "keep"),
        ({"method": "fastv", "keep": 0}, "keep"),
        ({"method": "fastv"}, "keep"),
        ({"method": "fastv", "keep": 0.5, "param": "layer=9"}, "layer"),
        ({"method": "fastv", "keep": 0.5, "param": "layer"}, "--param"),
        ({"method": "fastv", "keep": 0.5, "param": "colour=red"}, "colour"),
        ({"method": "fastv", "keep": 0.5, "param": "keep=0.3"}, "--keep"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"device": "tpu7"}, "tpu7"),
        ({"checkpoint": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"data": "/nowhere"}, "/nowhere"),
        ({"cache": "/dev/null/answers"}, "/dev/null/answers"),
        ({"benchmarks": "gqa"}, "GQA"),
        ({"batch-size": 0}, "batch-size"),
        ({"limit": 0}, "limit"),
    ],
)
def test_a_mistake_is_named_and_ends_with_code_2(place, capsys, options, named):
    assert evaluate(place, **options) == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
def test_damaged_checkpoints_are_refused(place, capsys, tmp_path):
    for file in (place / "tiny-llava").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert evaluate(place, checkpoint=tmp_path) == 2 and "weights" in capsys.readouterr().err
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("LlavaForConditionalGeneration", "LlavaNextForConditional"))
    assert evaluate(place, checkpoint=tmp_path) == 2 and "LlavaNextForConditional" in capsys.readouterr().err


@pytest.mark.slow
def test_damaged_data_are_refused(place, capsys, tmp_path):
    write_data(tmp_path, "pope")
    (table,) = tmp_path.rglob("*.parquet")
    complete = pq.read_table(table)
    pq.write_table(complete.drop_columns(["answer"]), table)
    assert evaluate(place, data=tmp_path) == 2 and "'answer'" in capsys.readouterr().err
    rows = complete.to_pylist()
    rows[2]["image"]["bytes"] = b"no picture"
    pq.write_table(type(complete).from_pylist(rows, schema=complete.schema), table)
    assert evaluate(place, data=tmp_path) == 2 and "row 2" in capsys.readouterr().err


@pytest.mark.slow
def test_defects_keep_their_traceback(place, monkeypatch):
    monkeypatch.setattr("vtstudy.evaluation.harness.check_benchmarks", lambda names: [][0])
    with pytest.raises(IndexError):
        evaluate(place)


def write_params(folder, experiments=None, **evaluation):
    """A file of parameters with one model; returns its path."""
    params = {
        "profile": "lite",
        "models": {"llava-7b": {"paper": "LLaVA-1.5-7B", "table": "table1", "checkpoint": "somewhere"}},
        "evaluation": evaluation,
        "experiments": experiments or {},
        "report": {"tolerances": {"default": 1.0}},
    }
    (folder / "params.yaml").write_text(json.dumps(params))
    return folder / "params.yaml"


def planned(folder, experiments=None, **evaluation):
    """The planned runs by experiment, and the sentences."""
    runs, sentences = plan(load(write_params(folder, experiments, **evaluation)))
    return {run.experiment: run for run in runs}, " ".join(sentences)


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


def test_a_plan_counts_local_data_and_limits(place, tmp_path):
    assert planned(tmp_path, limit={"default": 10, "mme": None})[0]["table1"].questions == 11 * 10 + 2374
    with pytest.raises(UserError, match="NoCaps"):
        planned(tmp_path, data=str(place / "data"))
    with pytest.raises(UserError, match="popes"):
        planned(tmp_path, limit={"popes": 3})
    experiments = {"eadaprune": {"hosts": ["fastv"], "benchmarks": ["mmvet"]}}
    assert planned(tmp_path, experiments, limit={"default": 4, "mmvet": None})[0]["eadaprune"].questions == 218


def test_questions_that_cannot_be_counted_are_refused(tmp_path):
    config = load(write_params(tmp_path, data="nowhere"))
    with pytest.raises(UserError, match="nowhere"):
        question_count(config, "pope", None)
    with pytest.raises(UserError, match="MM-Vet"):
        question_count(config, "mmvet", None)


@pytest.mark.parametrize(("profile", "answers"), [("lite", 1_093_316), ("paper", 35_256_138)])
def test_the_profiles_can_be_planned(capsys, profile, answers):
    assert cli.main(["plan", "--params", str(ROOT / "profiles" / profile / "params.yaml")]) == 0
    assert f"{answers:,}" in capsys.readouterr().out


def test_the_miniature_is_planned_without_its_data(tmp_path, monkeypatch):
    """Every experiment has as many variants and questions as the committed results."""
    monkeypatch.chdir(tmp_path)
    runs, _ = plan(load(ROOT / "params.yaml"))
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "table9"],
        ["run", "table1", "--model", "gpt"],
        ["run", "table1", "--params", "nowhere.yaml"],
        ["run", "figure1", "--params", "params.yaml"],
        ["world", "--params", "params.yaml"],
        ["collect", "--out", "nowhere"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_run_ends_with_code_2(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    if "--params" not in arguments:
        (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    elif arguments[-1] == "params.yaml":
        write_params(tmp_path)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith("vtstudy: ")


def test_help_loads_no_torch():
    code = "import sys; from vtstudy import cli; cli.main(['run', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "EXPERIMENT" in done.stdout
