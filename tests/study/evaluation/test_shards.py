"""Several processes share the answers: each has its shard, any may be killed, and the results are the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.evaluation import harness
from vtstudy.evaluation.answer_cache import Answer, AnswerCache
from vtstudy.evaluation.answering import claim, plan_batches
from vtstudy.evaluation.errors import CacheError, EvaluationError
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.prefetch import ahead
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.evaluation.shards import ALL, Shard, launched_shard, parse_shard, refuse_several_processes, shard_of
from vtstudy.experiments import answers as answering_all

pytestmark = pytest.mark.slow

BENCHMARKS = ("pope", "mmbench", "vqav2")
VARIANTS = (Variant(FastV(0.25)), Variant(NoPruning()), Variant(AdaptPrune(0.5)), Variant(NoPruning(), "blank"))
REQUESTS = [
    Request(variant, name, limit, tokens=variant.image == "shown")
    for name in BENCHMARKS
    for variant in VARIANTS
    for limit in (None, 6)
]


@pytest.fixture(scope="module")
def evaluator(checkpoint, data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return Evaluator(checkpoint, data, cache=cache, batch_size=3, max_new_tokens=4, device="cpu")


@pytest.fixture
def fresh(evaluator, tmp_path, monkeypatch):
    """The evaluator with an empty cache of answers."""
    monkeypatch.setattr(evaluator, "cache", AnswerCache(tmp_path / "fresh"))
    return evaluator


@pytest.fixture(scope="module")
def expected(evaluator):
    """The rows of the summary that one process writes."""
    evaluator.answer(REQUESTS)
    return rows(evaluator)


def rows(evaluator) -> str:
    evaluator.check_agreement(REQUESTS)
    return json.dumps(list(answering_all._rows(evaluator, REQUESTS)))


def stored(folder) -> list[tuple[str, str]]:
    """(method and key, question) of all stored answers, as often as they are stored."""
    return [
        (path.name.split(".")[0], entry[0])
        for path in folder.glob("*.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)[1:]
        if line.endswith(b"\n")
        for entry in json.loads(line)["answers"]
    ]


def is_stored_once(folder) -> bool:
    pairs = stored(folder)
    return len(pairs) == len(set(pairs))


# ---- which part


def test_a_shard_has_every_nth_batch():
    parts = [Shard(number, 3).of({"pope": range(10)}) for number in (1, 2, 3)]
    assert [list(part["pope"]) for part in parts] == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert ALL.of({"pope": "abc", "gqa": "d"}) == {"pope": "abc", "gqa": "d"}
    assert Shard(2, 3).turned(range(9)) == [3, 4, 5, 6, 7, 8, 0, 1, 2]


def test_shards_are_equal_even_if_each_benchmark_has_few_batches():
    one_each = {name: [name] for name in "abcde"}
    parts = [Shard(number, 2).of(one_each) for number in (1, 2)]
    assert [sorted(name for name, batches in part.items() if batches) for part in parts] == [list("ace"), list("bd")]
    uneven = {"a": "01", "b": "234", "c": "", "d": "5", "e": "6789"}
    for count in (1, 2, 3, 4, 11):
        shares = [Shard(number, count).of(uneven) for number in range(1, count + 1)]
        assert sorted("".join("".join(share.values()) for share in shares)) == list("0123456789")
        sizes = [sum(map(len, share.values())) for share in shares]
        assert max(sizes) - min(sizes) <= 1 and all(list(share) == list(uneven) for share in shares)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "3/", "1/0", "-1/3", "a/b", "1/2/3", " 1/2"])
def test_a_shard_that_does_not_exist_is_refused(text):
    with pytest.raises(EvaluationError):
        parse_shard(text)


def test_the_shard_comes_from_the_command_line_or_from_the_launcher():
    assert shard_of(None, {}) == ALL and shard_of("3/8", {}) == Shard(3, 8)
    assert shard_of("3/8", {"RANK": "0", "WORLD_SIZE": "1"}) == Shard(3, 8)
    launcher = {"RANK": "2", "WORLD_SIZE": "4"}
    assert shard_of(None, launcher) == launched_shard(launcher) == Shard(3, 4)
    with pytest.raises(EvaluationError, match="shard 3/4"):
        shard_of("3/8", launcher)
    with pytest.raises(EvaluationError, match="WORLD_SIZE"):
        launched_shard({"WORLD_SIZE": "two"})
    refuse_several_processes("vtstudy run", {"WORLD_SIZE": "1"})
    with pytest.raises(EvaluationError, match="vtstudy run"):
        refuse_several_processes("vtstudy run", launcher)


# ---- the same answers


@pytest.mark.parametrize("count", [2, 3])
def test_shards_give_the_answers_of_one_process(fresh, expected, count):
    made = []
    for number in range(1, count + 1):
        lacking = fresh.missing(REQUESTS, count)
        assert list(lacking) == [Shard(n, count) for n in range(number, count + 1)]
        made.append(fresh.answer(REQUESTS, shard=Shard(number, count)))
        assert made[-1] == sum(lacking[Shard(number, count)].values())
    assert min(made) > 0 and fresh.missing(REQUESTS, count) == {} and rows(fresh) == expected
    assert is_stored_once(fresh.cache.folder)
    names = {path.name.split(".")[1].partition("-")[0] for path in fresh.cache.folder.glob("*.jsonl")}
    assert names == {f"{number}of{count}" for number in range(1, count + 1)}


def test_the_number_of_shards_may_change_midway(fresh, expected):
    fresh.answer(REQUESTS, shard=Shard(2, 3))
    fresh.answer(REQUESTS, shard=Shard(1, 2))
    assert list(fresh.missing(REQUESTS, 2)) == [Shard(2, 2)]
    assert fresh.answer(REQUESTS, shard=Shard(2, 2)) > 0
    assert fresh.answer(REQUESTS) == 0 and rows(fresh) == expected and is_stored_once(fresh.cache.folder)


def test_a_question_that_is_asked_several_times_is_answered_in_its_first_batch(fresh):
    """POPE's 24 questions here are 4 different ones; VQAv2's are asked once."""
    questions = {name: fresh.questions(name) for name in BENCHMARKS}
    planned = {name: plan_batches(questions[name], [Request(VARIANTS[0], name)], 3) for name in BENCHMARKS}
    claim(planned, questions, {name: {} for name in BENCHMARKS})
    seen = set()
    for batch in planned["pope"]:
        digests = set(batch.digests(questions["pope"]))
        assert set().union(*batch.repeated.values()) == digests & seen
        seen |= digests
    assert len(seen) == 4 and not any(batch.repeated for batch in planned["vqav2"])


def test_a_question_of_two_batches_is_counted_where_it_is_answered(fresh):
    """The first batch wants no counts, but the later one, which repeats its question, does."""
    questions = {"pope": fresh.questions("pope")}
    requests = [Request(VARIANTS[0], "pope", 6), Request(VARIANTS[0], "pope", tokens=True)]
    planned = {"pope": plan_batches(questions["pope"], requests[:1], 3) + plan_batches(questions["pope"], requests, 3)}
    (method,) = planned["pope"][0].methods
    planned["pope"][0].methods[method] = False
    claim(planned, questions, {"pope": {}})
    assert planned["pope"][0].methods[method]


def test_a_thread_that_loads_ahead_changes_nothing(fresh, expected, monkeypatch):
    monkeypatch.setattr(fresh, "prefetch", True)
    fresh.answer(REQUESTS)
    assert rows(fresh) == expected


def test_work_ahead_is_in_order_and_its_errors_come_in_turn():
    started = []

    def work(item):
        started.append(item)
        if item == 3:
            raise ValueError(item)
        return item * item

    for in_thread in (False, True):
        started.clear()
        results = ahead(work, [1, 2, 3, 4], in_thread)
        assert [next(results), next(results)] == [1, 4]
        with pytest.raises(ValueError, match="3"):
            next(results)
        assert max(started) <= 4
    assert list(ahead(work, [], True)) == []
    closing = ahead(work, [1, 2, 4], True)
    assert next(closing) == 1
    closing.close()


# ---- one process refuses what is not complete


def test_missing_and_doubled_answers_are_refused(fresh, expected):
    for number in (1, 3):
        fresh.answer(REQUESTS, shard=Shard(number, 3))
    lacking = fresh.missing(REQUESTS, 3)
    assert list(lacking) == [Shard(2, 3)] and set(lacking[Shard(2, 3)]) <= set(BENCHMARKS)
    with pytest.raises(EvaluationError, match="shard 2/3"):
        answering_all.wait_for_others(fresh, REQUESTS, "llava-7b", 3, poll=0, patience=0)
    fresh.answer(REQUESTS, shard=Shard(2, 3))
    answering_all.wait_for_others(fresh, REQUESTS, "llava-7b", 3, poll=0, patience=0)
    assert rows(fresh) == expected
    path = next(fresh.cache.folder.glob("fastv-*.2of3-*.jsonl"))
    identity = json.loads(path.read_text().splitlines()[0])["identity"]
    question = json.loads(path.read_text().splitlines()[1])["answers"][0][0]
    del identity["format"]
    with AnswerCache(fresh.cache.folder / "elsewhere").open([identity]) as (file,):
        file.add({question: Answer("something else")})
    (other,) = (fresh.cache.folder / "elsewhere").iterdir()
    other.rename(fresh.cache.folder / other.name)
    with pytest.raises(CacheError, match=other.name):
        fresh.check_agreement(REQUESTS)
    (fresh.cache.folder / other.name).unlink()
    assert rows(fresh) == expected


# ---- lists of questions


def test_a_list_is_made_in_parts_which_others_take_over(evaluator, checkpoint, data, tmp_path, monkeypatch):
    whole = evaluator.questions("pope")
    monkeypatch.setattr(harness, "LISTED_AT_A_TIME", 5)
    loads = []
    original = harness.QuestionLoader.load
    monkeypatch.setattr(harness.QuestionLoader, "load", lambda *a: loads.append(a[1]) or original(*a))

    def listing():
        other = Evaluator(checkpoint, data, cache=tmp_path, batch_size=3, max_new_tokens=4, device="cpu")
        monkeypatch.setattr(other, "tasks", evaluator.tasks)
        return other

    assert vars(listing().questions("pope", shard=Shard(2, 3))) == vars(whole) and len(loads) == 24
    for path in (tmp_path / "measurements").glob("questions-pope-*.json"):
        if "-part-" not in path.name:
            path.unlink()
    next((tmp_path / "measurements").glob("questions-pope-part-*.json")).unlink()
    assert vars(listing().questions("pope", shard=Shard(3, 3))) == vars(whole) and len(loads) in (28, 29)
    first = listing()
    assert first.questions("pope").first(7) == first.questions("pope", 7)


# ---- real processes

# Imports and loads everything once, and then forks a process for each line "SHARD PAUSE CACHE" that it reads. The pause
# lengthens each method's work on a batch, so that a kill or a second process meets the work. "wait PID" waits.
NURSERY = textwrap.dedent("""
    import importlib.util, os, sys, time, traceback
    file, checkpoint, data, cache = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(file))))
    spec = importlib.util.spec_from_file_location("test_shards", file)
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    from vtstudy.evaluation import answering
    options = {"batch_size": 3, "max_new_tokens": 4, "device": "cpu"}
    evaluator = tests.Evaluator(checkpoint, data, cache=cache, **options)
    evaluator.missing(tests.REQUESTS)  # lists the questions
    evaluator.checkpoint.model
    answer_batch = answering.answer_batch
    for line in sys.stdin:
        if line.startswith("wait"):
            _, status = os.waitpid(int(line.split()[1]), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        shard, pause, cache = line.split()
        process = os.fork()
        if process:
            print(process, flush=True)
            continue

        def slowly(*arguments):
            for made in answer_batch(*arguments):
                time.sleep(float(pause))
                yield made

        try:
            answering.answer_batch = slowly
            evaluator.cache = tests.AnswerCache(cache)
            evaluator.answer(tests.REQUESTS, shard=tests.parse_shard(shard))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
""")


class Nursery:
    """Starts, kills and awaits processes that answer a shard."""

    def __init__(self, checkpoint, data, cache, log) -> None:
        self.log = log
        self.program = subprocess.Popen(
            [sys.executable, "-c", NURSERY, __file__, str(checkpoint), str(data), str(cache)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
        )

    def start(self, shard: str, cache, pause: float = 0.0) -> int:
        return self._ask(f"{shard} {pause} {cache}")

    def wait(self, process: int) -> int:
        return self._ask(f"wait {process}")

    def kill(self, process: int) -> int:
        os.kill(process, signal.SIGKILL)
        return self.wait(process)

    def _ask(self, line: str) -> int:
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()
        answer = self.program.stdout.readline()
        assert answer, self.log.read_text()[-3000:]
        return int(answer)


@pytest.fixture(scope="module")
def nursery(checkpoint, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nursery")
    nursery = Nursery(checkpoint, data, folder / "first", folder / "log")
    yield nursery
    nursery.program.stdin.close()
    nursery.program.wait(timeout=60)


@pytest.fixture
def cache(evaluator, expected, tmp_path, monkeypatch):
    """The folder of answers of processes, which the evaluator reads after them."""
    monkeypatch.setattr(evaluator, "cache", AnswerCache(tmp_path / "answers"))
    return tmp_path / "answers"


def wait_until(condition) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.exhaustive
def test_three_processes_of_which_one_is_killed_and_started_again(evaluator, expected, nursery, cache):
    processes = {number: nursery.start(f"{number}/3", cache, 0.05) for number in (1, 2, 3)}
    wait_until(lambda: any(cache.glob("*.2of3-*.jsonl")))
    assert nursery.kill(processes.pop(2)) == -signal.SIGKILL
    before = {path: path.read_bytes() for path in cache.glob("*.2of3-*.jsonl")}
    assert [nursery.wait(process) for process in processes.values()] == [0, 0]
    assert list(evaluator.missing(REQUESTS, 3)) == [Shard(2, 3)]
    assert nursery.wait(nursery.start("2/3", cache)) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert evaluator.missing(REQUESTS) == {} and rows(evaluator) == expected and is_stored_once(cache)


@pytest.mark.exhaustive
def test_two_processes_at_the_same_shard_do_no_harm(evaluator, expected, nursery, cache):
    processes = [nursery.start("1/2", cache, 0.03) for _ in range(2)] + [nursery.start("2/2", cache)]
    assert [nursery.wait(process) for process in processes] == [0, 0, 0]
    assert evaluator.missing(REQUESTS) == {} and rows(evaluator) == expected
    assert not is_stored_once(cache)  # both did the work


@pytest.mark.exhaustive
def test_seven_kills_at_random_moments(evaluator, expected, nursery, cache):
    draw = random.Random(0)
    running = {number: nursery.start(f"{number}/2", cache, 0.02) for number in (1, 2)}
    for _ in range(7):
        time.sleep(draw.uniform(0.05, 0.6))
        number = draw.choice(sorted(running))
        assert nursery.kill(running[number]) in (-signal.SIGKILL, 0)
        running[number] = nursery.start(f"{number}/2", cache, 0.02)
    assert [nursery.wait(process) for process in running.values()] == [0, 0]
    assert evaluator.missing(REQUESTS) == {} and rows(evaluator) == expected and is_stored_once(cache)
    assert len(list(cache.glob("*.jsonl"))) > 2 * len({path.name.split(".")[0] for path in cache.glob("*.jsonl")})
