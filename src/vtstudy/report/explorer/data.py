"""What the explorer shows, read from the files of the experiment `explorer`."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vtstudy.report.checkpoints import RunModel
from vtstudy.report.errors import ReportError
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.results_table import numbers, read_text_table

BASELINE, BLIND = "baseline", "blind"
PICTURES = ("benchmark", "picture", "file", "height", "width", "question", "references")
ANSWERS = ("benchmark", "picture", "method", "keep", "answer", "right", "cider", "kept", "merged")

Data = dict[str, Any]
"""Plain JSON data."""


def explorer_data(folder: Path) -> Data:
    """The methods, the budgets and, by benchmark, the pictures with their answers, as plain JSON data.

    Args:
        folder: of pictures.csv, answers.csv and methods.csv.

    Raises:
        TableError: if a file is missing or malformed.
    """
    pictures = _table(folder / "pictures.csv", PICTURES, ("picture", "height", "width"))
    answers = _table(folder / "answers.csv", ANSWERS, ("picture",), ("keep", "right", "cider"))
    summaries = read_text_table(folder / "methods.csv", ("method", "summary")).set_index("method")["summary"].to_dict()
    pruned = answers[answers["keep"].notna()]
    by_picture = dict(iter(answers.groupby(["benchmark", "picture"], sort=False)))
    return {
        "methods": [
            {"key": method, "label": method_label(method), "summary": summaries.get(method, "")}
            for method in pruned["method"].unique()
        ],
        "keeps": sorted((float(keep) for keep in pruned["keep"].unique()), reverse=True),
        "benchmarks": [
            {
                "key": benchmark,
                "label": benchmark_label(str(benchmark)),
                "pictures": [
                    _picture(row, by_picture[benchmark, row["picture"]]) for row in of_benchmark.to_dict("records")
                ],
            }
            for benchmark, of_benchmark in pictures.groupby("benchmark", sort=False)
        ],
    }


def _table(
    path: Path, columns: tuple[str, ...], numeric: tuple[str, ...], optional: tuple[str, ...] = ()
) -> pd.DataFrame:
    frame = numbers(read_text_table(path, columns), path, list(numeric))
    return numbers(frame, path, list(optional), optional=True)


def _picture(row: Mapping[Hashable, Any], answers: pd.DataFrame) -> Data:
    """One picture with its question and the answers of all variants."""
    records = [(record["method"], record["keep"], _answer(record)) for record in answers.to_dict("records")]
    unpruned = {method: answer for method, keep, answer in records if pd.isna(keep)}
    pruned: dict[str, dict[str, Data]] = {}
    for method, keep, answer in records:
        if not pd.isna(keep):
            pruned.setdefault(method, {})[budget(keep)] = answer
    return {
        "file": row["file"],
        "grid": [int(row["height"]), int(row["width"])],
        "question": row["question"],
        "references": json.loads(row["references"]),
        BASELINE: unpruned[BASELINE],
        BLIND: unpruned.get(BLIND),
        "answers": pruned,
    }


def _answer(record: Mapping[Hashable, Any]) -> Data:
    """An answer; values that it does not have are left out."""
    answer: Data = {"text": record["answer"]}
    answer |= {name: round(float(record[name]), 4) for name in ("right", "cider") if not pd.isna(record[name])}
    return answer | {name: record[name] for name in ("kept", "merged") if record[name]}


def budget(keep: float) -> str:
    """A budget as the key of its answers, and in the page's address."""
    return f"{keep:g}"


def model_of(path: Path) -> RunModel:
    """The model that answered, from the facts of the run.

    Raises:
        ReportError: if they cannot be read.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return RunModel.of(
            facts["paper"], facts["checkpoint"], {"model": facts["model"], "source": facts["checkpoint_source"]}
        )
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f"{path} cannot be read, so the model of the explorer is not known.") from error


def shown_model(model: RunModel) -> str:
    """The model in a sentence. A stand-in is never called by the name of the paper's model alone."""
    return model.paper if model.is_papers else f"the stand-in for {model.paper} ({model.name})"
