"""`vtstudy answer` as several processes: who writes the summary, and what is refused."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from vtprune.methods import FastV, NoPruning
from vtstudy import cli
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.experiments import answers
from vtstudy.planning import checks

REQUESTS = [Request(Variant(method), name) for name in ("pope", "mmbench") for method in (NoPruning(), FastV(0.25))]


def ask_little(replace) -> None:
    """Replace what the experiments ask by `REQUESTS`, for which the data of the experiments need not be there."""
    replace(answers, "all_requests", lambda *arguments, **changes: (REQUESTS, {}))
    replace(checks, "require", lambda *arguments, **changes: None)


@pytest.fixture
def place(checkpoint, data, tmp_path, monkeypatch):
    """A folder with parameters, in which the experiments ask little."""
    ask_little(monkeypatch.setattr)
    params = {
        "profile": "lite",
        "models": {"llava-7b": {"paper": "LLaVA-1.5-7B", "table": "table1", "checkpoint": str(checkpoint)}},
        "evaluation": {"data": str(data), "batch_size": 3, "max_new_tokens": 4},
        "report": {"tolerances": {"default": 1.0}},
    }
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    return tmp_path


def options(place, *more: str, answered: str = "answered", cache: str = "answers") -> list[str]:
    folders = ["--params", "params.yaml", "--out", "reports", "--summary", answered, "--cache", cache]
    return ["answer", *(str(place / part) if part in folders[1::2] else part for part in folders), *more]


def run(place, *more: str, **folders: str) -> int:
    return cli.main(options(place, *more, "--device", "cpu", **folders))


@pytest.mark.exhaustive
def test_shards_make_the_summary_of_one_process(place, capsys):
    assert run(place, answered="expected", cache="others") == 0
    expected = (place / "expected/llava-7b.csv").read_bytes()
    assert run(place, "--shard", "1/2") == 0 and not (place / "answered").exists()
    capsys.readouterr()
    assert run(place, "--check-shards", "2") == 2
    message = capsys.readouterr().err
    assert "shard 2/2" in message and "shard 1/2" not in message and not (place / "answered").exists()
    assert run(place, "--shard", "2/2", "--prefetch") == 0 and not (place / "answered").exists()
    assert run(place, "--check-shards", "2") == 0
    assert (place / "answered/llava-7b.csv").read_bytes() == expected


@pytest.mark.exhaustive
def test_the_first_launched_process_writes_the_summary(place, monkeypatch):
    assert run(place, answered="expected", cache="others") == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run(place) == 0 and not (place / "answered").exists()
    monkeypatch.setenv("RANK", "0")
    assert run(place) == 0
    assert (place / "answered/llava-7b.csv").read_bytes() == (place / "expected/llava-7b.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "world_size"),
    [
        (["--shard", "3/2"], "1"),
        (["--shard", "half"], "1"),
        (["--shard", "1/2", "--check-shards", "2"], "1"),
        (["--shard", "1/2"], "2"),
        (["--check-shards", "2"], "2"),
        (["--check-shards", "0"], "1"),
    ],
)
def test_what_contradicts_itself_is_refused(place, monkeypatch, arguments, world_size):
    monkeypatch.setenv("WORLD_SIZE", world_size)
    assert run(place, *arguments) == 2
    assert not (place / "answers").exists()


def test_other_commands_are_one_process(place, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert cli.main(["run", "table1", "--params", str(place / "params.yaml"), "--out", str(place / "reports")]) == 2
    assert "vtstudy run" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_torchrun_starts_both_shards(place):
    assert run(place, answered="expected", cache="others") == 0
    program = place / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("test_answer_command", {__file__!r})
        tests = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tests)
        tests.ask_little(setattr)
        tests.answers.POLL = 0.2
        sys.exit(tests.cli.main(sys.argv[1:]))
        """)
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, *options(place, "--device", "cpu")], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (place / "answered/llava-7b.csv").read_bytes() == (place / "expected/llava-7b.csv").read_bytes()
    shards = {path.name.split(".")[1].partition("-")[0] for path in (place / "answers").glob("*.jsonl")}
    assert shards == {"1of2", "2of2"}
