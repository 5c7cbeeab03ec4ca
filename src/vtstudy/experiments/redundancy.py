"""Figure 3: how redundant the kept tokens are, FastV's against AdaptPrune's and random ones.

Two numbers for each question and its image. *Neighbour similarity*: the cosine similarity of each kept token to the
kept token nearest to it on the grid (the mean of several equally near ones), mean over the kept
tokens; of the image tokens as they enter the language model, which no method here selects by, and
also of the keys that AdaptPrune itself compares. *Adjacency*: the share of the kept tokens that
have another one among their eight neighbours, in percent. Intervals are bootstrapped over the
images, each with its questions, the same ones for every method.
"""

import numpy as np

from vtprune.methods import get_method
from vtstudy.experiments.figure_runner import Study

METHODS = ("fastv", "adaptprune", "random")
METRICS = ("neighbour_similarity", "neighbour_key_similarity", "adjacency")
PAIRS = (("fastv", "adaptprune"), ("fastv", "random"), ("adaptprune", "random"))


def measure(study: Study) -> None:
    settings = study.settings
    lines: list[dict[str, object]] = []
    methods = {(name, keep): get_method(name, keep=keep) for keep in settings.ratios() for name in METHODS}
    for benchmark in settings.benchmarks:
        images = study.images(benchmark)
        values = study.redundancy(benchmark, methods)
        documents = study.questions(benchmark).documents
        lines += [
            {
                "benchmark": benchmark,
                "question": document,
                "method": name,
                "keep": keep,
                **dict(zip(METRICS, map(float, row), strict=True)),
            }
            for (name, keep), of_method in values.items()
            for document, row in zip(documents, of_method, strict=True)
        ]
        for column, metric in enumerate(METRICS):
            of_metric = {key: of_method[:, column] for key, of_method in values.items()}
            _results(study, benchmark, images, metric, of_metric)
    study.table("images", lines)


def _results(
    study: Study, benchmark: str, images: np.ndarray, metric: str, values: dict[tuple[str, float], np.ndarray]
) -> None:
    asked = len(images)
    draws = study.resampled(np.stack(list(values.values()), axis=1), images, f"{benchmark} {metric}")
    column = {key: number for number, key in enumerate(values)}
    for (name, keep), found in values.items():
        study.add(f"{name} {metric}", keep, benchmark, metric, found.mean(), asked, draws[:, column[name, keep]])
    for keep in study.settings.ratios():
        for a, b in PAIRS:
            gap = values[a, keep].mean() - values[b, keep].mean()
            sample = draws[:, column[a, keep]] - draws[:, column[b, keep]]
            study.add(f"{a} {metric} - {b} {metric}", keep, benchmark, f"difference:{metric}", gap, asked, sample)
