"""lmms-eval's own command with the plugin, in a process of its own; killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def command(checkpoint, cache, **more) -> list[str]:
    arguments = {
        "pretrained": checkpoint,
        "method": "adaptprune",
        "keep": 0.25,
        "cache": cache,
        "max_new_tokens": 4,
    } | more
    joined = ",".join(f"{key}={value}" for key, value in arguments.items())
    return [
        sys.executable,
        "-m",
        "lmms_eval",
        "--model",
        "vtprune",
        "--model_args",
        joined,
        "--tasks",
        "pope",
        "--batch_size",
        "2",
        "--device",
        "cpu",
    ]


@pytest.fixture(scope="module")
def options(data):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return {"cwd": data, "env": environment, "text": True}


def lines(cache) -> int:
    return sum(path.read_bytes().count(b"\n") for path in cache.glob("*.jsonl"))


@pytest.mark.exhaustive
def test_a_killed_command_resumes(checkpoint, options, tmp_path):
    cache = tmp_path / "cache"
    running = subprocess.Popen(
        command(checkpoint, cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    limit = time.monotonic() + 240
    while lines(cache) < 3 and time.monotonic() < limit and running.poll() is None:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (path,) = cache.glob("*.jsonl")
    before = path.read_bytes()
    assert before.count(b"\n") >= 3

    done = subprocess.run(command(checkpoint, cache), capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pope_accuracy" in done.stdout
    assert path.read_bytes() == before
    paths = list(cache.glob("*.jsonl"))
    kept = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n")]
    questions = [entry[0] for line in kept for entry in json.loads(line)["answers"]]
    assert len(questions) == len(set(questions)) == 4  # the 24 documents ask four different questions

    again = subprocess.run(command(checkpoint, cache), capture_output=True, check=False, **options)
    assert again.returncode == 0 and list(cache.glob("*.jsonl")) == paths


@pytest.mark.exhaustive
def test_a_mistake_ends_the_command(checkpoint, options, tmp_path):
    done = subprocess.run(command(checkpoint, tmp_path, layer=9), capture_output=True, check=False, **options)
    assert done.returncode == 1
    assert "layer must lie between 1 and 3" in done.stderr and "Traceback" not in done.stderr
