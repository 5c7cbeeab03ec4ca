"""All answers of a model at once, and a summary of them that other stages of the pipeline depend on.

Several processes may share the answers, each with a shard of its own. One process writes the summary, when all are
done: it refuses missing answers, and answers that are stored twice and differ.
"""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from vtstudy.config import Config
from vtstudy.evaluation.cache_key import data_digest
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request
from vtstudy.evaluation.shards import ALL, Shard
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.processes import answer_in_processes, default_processes, score_in_processes
from vtstudy.experiments.registry import all_requests
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import Settings, settings_of

POLL = 10.0  # seconds between two looks at what other processes have stored
ANSWERS_A_PROCESS = 500  # more than these pay for the start of a process
SCORES_A_PROCESS = 10
PATIENCE = 2 * 3600.0  # seconds without any new answer after which nobody waits any longer


def answer_all(
    config: Config,
    model: str | None,
    results: Path,
    summary: Path,
    *,
    shard: Shard = ALL,
    launched: bool = False,
    check_shards: int | None = None,
    processes: int | None = None,
    prefetch: bool | None = None,
    **changes: object,
) -> tuple[Path | None, dict[str, str]]:
    """Answer everything that any experiment asks of a model, and write the summary `<model>.csv`.

    Args:
        model: a key of `config.models`; None for the first.
        results: folder of the results, in which the calibrated energies are.
        summary: folder of the summary.
        shard: the part of the answers that this process makes.
        launched: whether the processes of all shards were started together: then the first one waits for the others
            and writes the summary. Otherwise a shard writes none.
        check_shards: make no answers, but check that so many shards made all of them, and write the summary.
        processes: how many processes of this machine share the answers, and their scores; None for
            `default_processes`. Only one answers a shard that is not all.
        prefetch: see `Evaluator`.
        changes: settings of the command line; None changes nothing.

    Returns:
        The path of the summary, None where another process writes it; and by experiment or benchmark that is left out,
        the reason.

    Raises:
        EvaluationError: if shards that should be complete lack answers.
        CacheError: if an answer is stored twice with different texts.
    """
    key = config.model_key(model)
    settings = settings_of(config, Settings, None, key, **changes)
    requests, left_out = all_requests(config, key, results, **changes)
    evaluator = evaluator_of(settings, prefetch=prefetch)
    if check_shards is not None:
        if lacking := evaluator.missing(requests, check_shards):
            raise _incomplete(key, lacking)
    else:
        if processes is None:
            processes = default_processes(settings.checkpoint, evaluator.checkpoint.device.type)
        if shard.is_all and processes > 1:
            _in_processes(evaluator, settings, requests, processes)
        evaluator.answer(requests, shard=shard)
        if not shard.is_all:
            if not launched or shard.number > 1:
                return None, left_out
            wait_for_others(evaluator, requests, key, shard.count)
    evaluator.check_agreement(requests)
    return write_csv(summary / f"{key}.csv", _rows(evaluator, requests)), left_out


def _in_processes(evaluator: Evaluator, settings: Settings, requests: list[Request], processes: int) -> None:
    """Answer and score in several processes, where enough is missing to pay for their start."""
    missing = sum(sum(counts.values()) for counts in evaluator.missing(requests).values())
    if missing > ANSWERS_A_PROCESS * processes:
        answer_in_processes(settings, requests, processes, missing)
    elif missing:
        return
    unscored = evaluator.unscored(requests)
    if len(unscored) > SCORES_A_PROCESS * processes:
        score_in_processes(settings, unscored, processes)


def wait_for_others(
    evaluator: Evaluator,
    requests: list[Request],
    model: str,
    shards: int,
    *,
    poll: float | None = None,
    patience: float = PATIENCE,
) -> None:
    """Wait until other processes have stored all answers; they need nothing but the folder in common.

    Args:
        poll: seconds between two looks; None for `POLL`.

    Raises:
        EvaluationError: if they have stored nothing new for `patience` seconds.
    """
    left, since = -1, time.monotonic()
    with tqdm(desc="waiting for the other shards", total=0, unit="answer", dynamic_ncols=True) as bar:
        while lacking := evaluator.missing(requests, shards):
            now, count = time.monotonic(), sum(sum(counts.values()) for counts in lacking.values())
            if count != left:
                bar.total = max(bar.total, count)
                bar.n = bar.total - count
                bar.refresh()
                left, since = count, now
            elif now - since > patience:
                raise _incomplete(model, lacking)
            time.sleep(max(POLL if poll is None else poll, time.monotonic() - now))


def _incomplete(model: str, lacking: Mapping[Shard, Mapping[str, int]]) -> EvaluationError:
    parts = [
        f"shard {shard} lacks {sum(counts.values())} ({', '.join(f'{name} {count}' for name, count in counts.items())})"
        for shard, counts in lacking.items()
    ]
    first = next(iter(lacking))
    return EvaluationError(
        f"{model} lacks answers: {'; '.join(parts)}: run 'vtstudy answer --model {model} --shard {first}', and so for "
        "each of these shards, with the folders and parameters of this command"
    )


def _rows(evaluator: Evaluator, requests: list[Request]) -> Iterator[dict[str, object]]:
    """A row for each request. It changes if, and only if, an answer changes."""
    for request in requests:
        answers = evaluator.answers(request)
        contents = [answer if request.tokens else answer.text for answer in answers]
        digest = data_digest(contents)[:16]
        yield {
            "benchmark": request.benchmark,
            "method": json.dumps(request.variant.method.signature()),
            "image": request.variant.image,
            "questions": len(answers),
            "answers": digest,
        }
