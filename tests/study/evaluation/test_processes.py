"""Several processes on the CPUs of one machine answer and score as one does."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from vtprune.errors import UserError
from vtprune.methods import FastV, NoPruning
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.experiments import answers as answering_all
from vtstudy.experiments import processes
from vtstudy.experiments.processes import answer_in_processes, default_processes, score_in_processes
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import Settings

pytestmark = pytest.mark.slow

REQUESTS = [
    Request(variant, name, 6) for name in ("pope", "vqav2") for variant in (Variant(FastV(0.25)), Variant(NoPruning()))
]


@pytest.fixture
def settings(checkpoint, data, tmp_path):
    return Settings(
        checkpoint=str(checkpoint),
        data=str(data),
        cache=str(tmp_path / "cache"),
        batch_size=3,
        max_new_tokens=4,
        device="cpu",
    )


def scores_of(evaluator):
    return [
        {name: scores.to_data() for name, scores in evaluator.scores(each.variant, each.benchmark, each.limit).items()}
        for each in REQUESTS
    ]


@pytest.mark.exhaustive
def test_two_processes_store_the_answers_and_scores_of_one(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    alone = evaluator_of(settings.model_copy(update={"cache": str(tmp_path / "alone")}))
    count = alone.answer(REQUESTS)
    expected = list(answering_all._rows(alone, REQUESTS))
    scores = scores_of(alone)

    evaluator = evaluator_of(settings)
    assert evaluator.unscored(REQUESTS) == []  # nothing is answered yet
    answer_in_processes(settings, REQUESTS, 2, count)
    assert evaluator.missing(REQUESTS) == {} and list(answering_all._rows(evaluator, REQUESTS)) == expected
    parts = {path.name.split(".")[1].partition("-")[0] for path in evaluator.cache.folder.glob("*.jsonl")}
    assert parts == {"1of2", "2of2"}

    assert evaluator.unscored(REQUESTS) == REQUESTS
    score_in_processes(settings, REQUESTS, 2)
    assert evaluator.unscored(REQUESTS) == []
    assert scores_of(evaluator) == scores
    assert os.environ["OMP_NUM_THREADS"] == "2"


@pytest.mark.exhaustive
def test_an_error_in_a_process_comes_out(settings, tmp_path):
    (tmp_path / "data/lmms-lab-encoder").mkdir(parents=True)
    settings = settings.model_copy(update={"data": str(tmp_path / "data")})
    with pytest.raises(UserError):
        answer_in_processes(settings, REQUESTS, 2, 24)


@pytest.mark.exhaustive
def test_the_processes_end_with_the_one_that_started_them(settings, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import json
        from vtprune.methods import NoPruning
        from vtstudy.evaluation.requests import Request, Variant
        from vtstudy.experiments.processes import answer_in_processes
        from vtstudy.experiments.settings import Settings

        if __name__ == "__main__":
            settings = Settings(**json.loads({settings.model_dump_json()!r}))
            answer_in_processes(settings, [Request(Variant(NoPruning()), "vqav2")] , 2, 1000)
        """)
    )
    started = subprocess.Popen([sys.executable, program], stderr=subprocess.DEVNULL)
    folder, deadline = tmp_path / "cache", time.monotonic() + 120
    while not list(folder.glob("*.jsonl")):
        assert started.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    children = _children(started.pid)
    assert len(children) >= 2
    started.send_signal(signal.SIGKILL)
    started.wait()
    while any(_runs(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_small_models_on_the_cpu_get_a_process_for_each_thread(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "available_cpus", lambda: 6)
    monkeypatch.setattr(processes, "total_memory", lambda: 2**36)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert default_processes(checkpoint, "cpu") == 6
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert default_processes(checkpoint, "cpu") == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert default_processes(checkpoint, "cpu") == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setattr(processes, "available_cpus", lambda: 64)
    assert default_processes(checkpoint, "cpu") == processes.MOST
    monkeypatch.setattr(processes, "total_memory", lambda: 12 * 2**30 + 1)
    assert default_processes(checkpoint, "cpu") == 3
    monkeypatch.setattr(processes, "total_memory", lambda: 2**30)
    assert default_processes(checkpoint, "cpu") == 1
    monkeypatch.setattr(processes, "total_memory", lambda: None)
    assert default_processes(checkpoint, "cpu") == processes.MOST
    assert default_processes(checkpoint, "cuda") == 1
    assert default_processes("llava-hf/llava-1.5-7b-hf", "cpu") == 1
    monkeypatch.setattr(processes, "can_start_processes", lambda: False)
    assert default_processes(checkpoint, "cpu") == 1
    monkeypatch.undo()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(processes.SMALL + 1)
    assert default_processes(tmp_path, "cpu") == 1


@pytest.mark.parametrize(
    ("missing", "unscored", "expected"),
    [
        (0, 0, []),
        (0, 20, []),
        (0, 21, ["score"]),
        (1000, 21, []),  # the few answers are made by the command itself
        (1001, 20, ["answer"]),
        (1001, 21, ["answer", "score"]),
    ],
)
def test_processes_are_started_only_for_much_work(monkeypatch, missing, unscored, expected):
    class Stored:
        def missing(self, requests):
            return {"1/1": {"pope": missing}} if missing else {}

        def unscored(self, requests):
            return [REQUESTS[0]] * unscored

    started = []
    monkeypatch.setattr(answering_all, "answer_in_processes", lambda *given: started.append("answer"))
    monkeypatch.setattr(answering_all, "score_in_processes", lambda *given: started.append("score"))
    answering_all._in_processes(Stored(), Settings(), REQUESTS, 2)
    assert started == expected


def test_json_is_all_that_the_processes_need(settings):
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert json.loads(settings.model_dump_json())["batch_size"] == 3
