"""Answer and score in several processes on the CPUs of one machine.

Small models gain little from a second thread: on two CPUs, two processes with one thread each give 2.3 times as many
answers a second as one process with two threads. Each process answers one shard, and then they divide the scoring.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vtlaunch import THREADS, available_cpus, can_start_processes, total_memory
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request
from vtstudy.evaluation.shards import Shard
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import Settings

MOST = 8
"""By default, there are at most so many processes."""
SMALL = 2**28
"""A checkpoint whose weights take more bytes than this is loaded once: its threads have enough to do."""
MEMORY = 4 * 2**30
"""There is at most one process for so many bytes of the machine's memory."""
POLL = 1.0  # seconds between two looks at what the processes have done
REQUESTS_AT_A_TIME = 4  # scored by a process before it is given more


def default_processes(checkpoint: str | Path, device: str) -> int:
    """How many processes share the work: one for each CPU that may be used, if the model is small and runs on them.

    The user's number of threads (`OMP_NUM_THREADS`), the memory and `MOST` bound it.

    Args:
        checkpoint: a folder; a Hub id is never small.
        device: where the model runs, such as `cpu`.
    """
    files = [file for file in Path(checkpoint).expanduser().glob("*.safetensors") if file.is_file()]
    if device != "cpu" or not files or not can_start_processes() or sum(file.stat().st_size for file in files) > SMALL:
        return 1
    threads = int(os.environ.get(THREADS) or available_cpus())
    memory = total_memory()
    return max(1, min(MOST, available_cpus(), threads, MOST if memory is None else memory // MEMORY))


def answer_in_processes(settings: Settings, requests: Sequence[Request], processes: int, missing: int) -> None:
    """Make all answers that are missing, each process those of one shard.

    Args:
        settings: of the evaluator.
        requests: what is asked.
        processes: at least 2.
        missing: how many answers are missing.

    Raises: as `Evaluator.answer`; the other processes are then stopped.
    """
    parts = [Shard(number, processes) for number in range(1, processes + 1)]
    _work(processes, [(_answer, settings, requests, part) for part in parts], missing, "answer")


def score_in_processes(settings: Settings, requests: Sequence[Request], processes: int) -> None:
    """Score answers that are stored, so that experiments find the scores.

    Args:
        settings: of the evaluator.
        requests: whose answers are scored.
        processes: at least 2.

    Raises: as `Evaluator.scores`; the other processes are then stopped.
    """
    starts = range(0, len(requests), REQUESTS_AT_A_TIME)
    calls = [(_score, settings, requests[start : start + REQUESTS_AT_A_TIME]) for start in starts]
    _work(processes, calls, len(requests), "score")


def _work(processes: int, calls: Sequence[tuple[Any, ...]], total: int, unit: str) -> None:
    """Do the calls, with one progress bar for all processes; one that fails ends all.

    The processes share the CPUs' threads evenly, inherit no locks, and end with this process, however it ends.
    """
    context, before = get_context("spawn"), os.environ.get(THREADS)
    done = context.Value("q", 0)
    os.environ[THREADS] = str(max(1, int(before or available_cpus()) // processes))
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(done,))
    try:
        with tqdm(desc=f"{processes} processes", total=total, unit=unit, smoothing=0.1, dynamic_ncols=True) as bar:
            pending = {pool.submit(*call) for call in calls}
            while pending:
                finished, pending = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                bar.update(done.value - bar.n)
    except BaseException:
        for process in list((pool._processes or {}).values()):  # each is in the middle of minutes of work
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before


_done: Any = None
"""In a process of the pool: how many answers or scores all of them have made."""


def _begin(done: Any) -> None:
    global _done
    _done = done
    parent = parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


class _Counter(tqdm):
    """A bar that is not shown, and counts for the one that is."""

    def update(self, n: float | None = 1) -> None:
        with _done.get_lock():
            _done.value += int(n or 0)


@cache
def _evaluator(settings: str) -> Evaluator:
    return evaluator_of(Settings.model_validate_json(settings))


def _answer(settings: Settings, requests: Sequence[Request], part: Shard) -> None:
    with _Counter(disable=True) as counter:
        _evaluator(settings.model_dump_json()).answer(requests, counter, shard=part)


def _score(settings: Settings, requests: Sequence[Request]) -> None:
    evaluator = _evaluator(settings.model_dump_json())
    with _Counter(disable=True) as counter:
        for request in requests:
            evaluator.scores(request.variant, request.benchmark, request.limit)
            counter.update()
