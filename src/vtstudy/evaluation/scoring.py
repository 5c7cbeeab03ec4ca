"""Scores of questions, read from lmms-eval's samples, in the units of the papers' tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vtstudy.benchmarks import MMBENCH_CATEGORIES, Benchmark
from vtstudy.evaluation.bootstrap import estimate
from vtstudy.evaluation.errors import EvaluationError

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Scores:
    """The scores of one variant on one benchmark.

    Attributes:
        benchmark: a key of the table of benchmarks, or `mme_cognition`.
        metric: lmms-eval's name of the metric.
        value: lmms-eval's aggregate, in the paper's units.
        questions: how many questions were asked.
        units: `[n]` the names of the units of a score: questions, images (captions), pairs of questions (MME) or
            questions with all their copies (MMBench). Names of MME and MMBench begin with the category, `ocr|12`.
        values: `[n]` the units' scores in the paper's units; the sum over strata of their means is `value`.
        strata: `[n]` integers; MME's sub-tasks, else all 0.
        images: `[n]` integers, equal for units about the same image, which a bootstrap draws together.
    """

    benchmark: str
    metric: str
    value: float
    questions: int
    units: tuple[str, ...]
    values: np.ndarray
    strata: np.ndarray
    images: np.ndarray

    def to_data(self) -> dict[str, Any]:
        """The scores as plain JSON data."""
        arrays = {name: getattr(self, name).tolist() for name in ("values", "strata", "images")}
        return {**vars(self), **arrays, "units": list(self.units)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Scores":
        """The scores that `to_data` made the data of."""
        arrays = {
            "values": np.array(data["values"], dtype=float),
            "strata": np.array(data["strata"], dtype=int),
            "images": np.array(data["images"], dtype=int),
        }
        return cls(**{**data, **arrays, "units": tuple(data["units"])})


def scores_of(
    name: str,
    spec: Benchmark,
    samples: Sequence[Sample],
    results: Mapping[str, Any],
    images: Mapping[int, int],
) -> dict[str, Scores]:
    """Scores by benchmark; MME has a second entry for its cognition sub-tasks.

    Args:
        name: a key of the table of benchmarks.
        spec: its entry.
        samples: lmms-eval's logged samples of the task.
        results: lmms-eval's aggregates, with keys `<metric>,<filter>`.
        images: by document, the number of its image.

    Raises:
        EvaluationError: if there is no score, or the units' scores do not give lmms-eval's aggregate.
    """
    metrics = {name: spec.metric}
    if name == "mme":
        metrics["mme_cognition"] = "mme_cognition_score"
    scores_by_benchmark: dict[str, Scores] = {}
    for benchmark, metric in metrics.items():
        items = [(sample["doc_id"], sample[metric]) for sample in samples if sample.get(metric) is not None]
        aggregate = results.get(f"{metric},none")
        if not items or not isinstance(aggregate, (int, float)):
            if benchmark == name:
                few = (
                    f"; none of the {len(samples)} questions that the limit leaves counts for it"
                    if samples and not items
                    else ""
                )
                raise EvaluationError(f"{spec.title}: lmms-eval returned no {metric}{few}")
            continue  # a limit left no cognition question
        docs, units, values, strata = (_READERS.get(benchmark) or _READERS.get(metric, _plain))(items)
        scores = Scores(
            benchmark,
            metric,
            spec.scale * float(aggregate),
            len(items),
            tuple(units),
            spec.scale * np.asarray(values, dtype=float),
            np.asarray(strata, dtype=int),
            np.array([images[doc] for doc in docs], dtype=int),
        )
        estimated = float(estimate(scores.values, scores.strata))
        if not math.isclose(estimated, scores.value, rel_tol=1e-6, abs_tol=1e-6):
            raise EvaluationError(
                f"{spec.title}: the per-question scores give {estimated:.6g}, but lmms-eval says {scores.value:.6g}"
            )
        scores_by_benchmark[benchmark] = scores
    return scores_by_benchmark


def parts_of(scores: Scores) -> dict[str, Scores]:
    """Scores of the categories of MMBench and of their groups, or of the sub-tasks of MME, as `mmbench/ocr`.

    Raises:
        EvaluationError: if the benchmark's questions have no categories.
    """
    if scores.benchmark not in ("mmbench", "mme", "mme_cognition"):
        raise EvaluationError(f"the questions of {scores.benchmark} have no categories")
    categories = [unit.partition("|")[0] for unit in scores.units]
    members = {category: {category} for category in dict.fromkeys(categories)}
    if scores.benchmark == "mmbench":
        members |= {group: set(leaves) for group, leaves in MMBENCH_CATEGORIES.items() if set(leaves) & set(members)}
    # MME's units are pairs of questions; a question of MMBench counts once with all its copies.
    questions_per_unit = 1 if scores.benchmark == "mmbench" else 2
    parts: dict[str, Scores] = {}
    for name, leaves in members.items():
        index = [i for i, category in enumerate(categories) if category in leaves]
        key = f"{scores.benchmark.partition('_')[0]}/{name}"
        values, strata = scores.values[index], np.zeros(len(index), dtype=int)
        parts[key] = Scores(
            key,
            scores.metric,
            float(estimate(values, strata)),
            questions_per_unit * len(index),
            tuple(scores.units[i] for i in index),
            values,
            strata,
            scores.images[index],
        )
    return parts


# What a reader returns: each unit's first document, name, score and stratum.
_Read = tuple[list[int], list[str], list[float], list[int]]


def _plain(items: Sequence[tuple[int, Any]]) -> _Read:
    """A number for each question, or a mapping that holds it as `score`."""
    return _one_each(items, [float(item["score"] if isinstance(item, Mapping) else item) for _, item in items])


def _f1(items: Sequence[tuple[int, Any]]) -> _Read:
    """POPE's F1 of the answer "yes", as values whose mean it is.

    F1 = 2 TP / (2 TP + FP + FN) is a ratio of sums, no mean over questions. A question's value is F1 plus its influence
    on that ratio, so that the values vary as the ratio does (the delta method). An answer that is neither yes nor no
    counts for nothing, as in lmms-eval.
    """
    pairs = [(item["prediction"], item["ground_truth"]) for _, item in items]
    hits = np.array([pair == ("yes", "yes") for pair in pairs], dtype=float)
    counted = 2 * hits + np.array([pair in (("yes", "no"), ("no", "yes")) for pair in pairs], dtype=float)
    f1 = 2 * hits.sum() / counted.sum() if counted.any() else 0.0
    values = f1 + (2 * hits - f1 * counted) / counted.mean() if counted.any() else hits
    return _one_each(items, values.tolist())


def _mmvet(items: Sequence[tuple[int, Any]]) -> _Read:
    """The judge's grade of each answer, in percent.

    Raises:
        EvaluationError: if the judge did not reply. lmms-eval would give such an answer no points.
    """
    silent = [item["question_id"] for _, item in items if not item.get("eval_model", True)]
    if silent:
        raise EvaluationError(
            f"MM-Vet: the GPT judge gave no grade to {len(silent)} of {len(items)} answers (the first is that to "
            f"{silent[0]}); run the command again when it can be reached"
        )
    return _one_each(items, [100.0 * item["score"] for _, item in items])


def _letters(items: Sequence[tuple[int, Any]]) -> _Read:
    """Whether the letter is the answer's."""
    return _one_each(
        items, [float(item["pred"].lower().strip() == item["answer"].lower().strip()) for _, item in items]
    )


def _one_each(items: Sequence[tuple[int, Any]], values: list[float]) -> _Read:
    """Each question is a unit, named by its document."""
    docs = [doc for doc, _ in items]
    return docs, list(map(str, docs)), values, [0] * len(docs)


def _mme(items: Sequence[tuple[int, Any]]) -> _Read:
    """A pair scores its accuracy in percent, and 100 more if both are right; a stratum is a sub-task."""
    pairs: dict[tuple[str, str], list[float]] = {}
    docs: dict[tuple[str, str], int] = {}
    for doc, item in items:
        pair = item["category"], item["question_id"]
        pairs.setdefault(pair, []).append(item["score"])
        docs.setdefault(pair, doc)
    categories = sorted({category for category, _ in pairs})
    units = [f"{category}|{question}" for category, question in pairs]
    values = [100 * sum(pair) / 2 + 100 * (sum(pair) == 2) for pair in pairs.values()]
    return list(docs.values()), units, values, [categories.index(category) for category, _ in pairs]


def _cider(items: Sequence[tuple[int, Any]]) -> _Read:
    """CIDEr of each image, as the task's own scorer gives it (its mean is the aggregate)."""
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    ids = [int(item["image_id"]) for _, item in items]
    references = {
        id_: [{"caption": text} for text in item["answer"]] for id_, (_, item) in zip(ids, items, strict=True)
    }
    captions = {id_: [{"caption": item["pred"]}] for id_, (_, item) in zip(ids, items, strict=True)}
    _, values = Cider().compute_score(tokenizer.tokenize(references), tokenizer.tokenize(captions))
    return [doc for doc, _ in items], [str(id_) for id_ in ids], list(values), [0] * len(ids)


def _mmbench(items: Sequence[tuple[int, Any]]) -> _Read:
    """A question is right, 100, if the task's own static judge finds its option in every copy of it."""
    copies: dict[int, list[dict[str, Any]]] = {}
    docs: dict[int, int] = {}
    for doc, item in items:
        row = option_row(item)
        index = int(row["index"]) % 1_000_000
        copies.setdefault(index, []).append(row)
        docs.setdefault(index, doc)
    units = [f"{rows[-1]['category']}|{index}" for index, rows in copies.items()]
    return list(docs.values()), units, [100.0 * option_right(rows) for rows in copies.values()], [0] * len(copies)


def option_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """What MMBench's task says about an answered question, with the names of columns that its judge reads."""
    return {key if key in "ABCD" else key.lower(): value for key, value in item.items()}


def option_right(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether MMBench's static judge finds the right option in the answers to all these copies of a question."""
    import pandas as pd
    from lmms_eval.tasks.mmbench.mmbench_evals import MMBench_Evaluator

    answers = {int(row["index"]): row["answer"] for row in rows}
    return bool(MMBench_Evaluator().eval_sub_data(pd.DataFrame(rows), answers, static_only=True))


# By benchmark where another benchmark has a metric of the same name, else by metric.
_READERS = {
    "mmvet": _mmvet,
    "pope_f1_score": _f1,
    "seed_image": _letters,
    "nocaps_CIDEr": _cider,
    "flickr_CIDEr": _cider,
    "mme_perception_score": _mme,
    "mme_cognition_score": _mme,
    "gpt_eval_score": _mmbench,
}
