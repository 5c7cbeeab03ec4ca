"""Whether a benchmark can be scored here: one whose answers a GPT judge grades needs that judge."""

import os
from collections.abc import Iterable
from functools import cache
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from vtstudy.benchmarks import BENCHMARKS

_OPENAI = ("openai", "async_openai")
_TIMEOUT = 10.0  # seconds


def unavailable_reason(benchmark: str) -> str | None:
    """Why a benchmark cannot be scored here; None if it can.

    A benchmark without a judge always can. lmms-eval gives no points to an answer whose judge does not reply, so a
    missing judge must be noticed before anything is asked. The judge is looked for once in a process.

    Args:
        benchmark: a key of `vtstudy.benchmarks.BENCHMARKS`.
    """
    if not BENCHMARKS[benchmark].judge:
        return None
    service = os.environ.get("API_TYPE", "openai")  # the variables are lmms-eval's
    if service == "dummy":
        return "API_TYPE=dummy grades at random; its task asks a GPT judge"
    if service not in _OPENAI:
        return None  # other services have other keys and addresses; the task says itself what they lack
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        return "its task asks a GPT judge, and OPENAI_API_KEY is not set"
    return _judge_problem(os.environ.get("OPENAI_API_URL", "https://api.openai.com/v1"), key)


def unavailable(benchmarks: Iterable[str]) -> dict[str, str]:
    """By benchmark that cannot be scored here, the reason."""
    reasons = {benchmark: unavailable_reason(benchmark) for benchmark in benchmarks}
    return {benchmark: reason for benchmark, reason in reasons.items() if reason is not None}


@cache
def _judge_problem(address: str, key: str) -> str | None:
    """What is wrong with a judge; None if it replies and takes the key."""
    request = Request(f"{address.rstrip('/')}/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urlopen(request, timeout=_TIMEOUT):
            return None
    except HTTPError as error:
        # Any other reply comes from a judge: not every service lists its models.
        return f"its GPT judge at {address} refuses OPENAI_API_KEY" if error.code in (401, 403) else None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"its GPT judge at {address} cannot be reached ({reason})"
