"""The command `vtstudy`: what it prints and writes, and its exit codes."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from helpers import ROOT
from helpers.params_file import write_params
from helpers.tiny_llava import build_checkpoint, write_data

from vtstudy import cli


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


@pytest.mark.exhaustive
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


@pytest.mark.slow
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
