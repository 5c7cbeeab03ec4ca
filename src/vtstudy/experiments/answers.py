"""All answers of a model at once, and a summary of them that other stages of the pipeline depend on."""

import json
from collections.abc import Iterator
from pathlib import Path

from vtstudy.config import Config
from vtstudy.evaluation.cache_key import data_digest
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.registry import all_requests
from vtstudy.experiments.runner import evaluator_of
from vtstudy.experiments.settings import Settings, settings_of


def answer_all(
    config: Config, model: str | None, results: Path, summary: Path, **changes: object
) -> tuple[Path, dict[str, str]]:
    """Answer everything that any experiment asks of a model, and write the summary `<model>.csv`.

    Args:
        model: a key of `config.models`; None for the first.
        results: folder of the results, in which the calibrated energies are.
        summary: folder of the summary.
        changes: settings of the command line; None changes nothing.

    Returns:
        The path of the summary, and by experiment or benchmark that is left out, the reason.
    """
    key = config.model_key(model)
    settings = settings_of(config, Settings, None, key, **changes)
    requests, left_out = all_requests(config, key, results, **changes)
    evaluator = evaluator_of(settings)
    evaluator.answer(requests)
    return write_csv(summary / f"{key}.csv", _rows(evaluator, requests)), left_out


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
