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
    settings, lines = study.settings, []
    methods = {(name, keep): get_method(name, keep=keep) for keep in settings.ratios() for name in METHODS}
    for benchmark in settings.benchmarks:
        questions = [question for _, question in study.prompts(benchmark)]
        images = study.images(benchmark, len(questions))
        study.extend(len(questions) * (1 + len(methods)))
        probe = study.probe()
        grid = probe.grid(questions)
        seen = probe.look(questions)
        features = [unit(seen.embeddings), unit(seen.keys)]
        everything = np.ones((len(questions), grid[0] * grid[1]), dtype=bool)
        values = {("none", 1.0): _values(everything, features, grid)}
        values |= {key: _values(kept, features, grid) for key, kept in probe.survivors(methods, questions).items()}
        lines += [
            {
                "benchmark": benchmark,
                "question": question.doc,
                "method": name,
                "keep": keep,
                **dict(zip(METRICS, map(float, row), strict=True)),
            }
            for (name, keep), found in values.items()
            for question, row in zip(questions, found, strict=True)
        ]
        for column, metric in enumerate(METRICS):
            _results(study, benchmark, images, metric, {key: found[:, column] for key, found in values.items()})
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


def _values(kept: np.ndarray, features: list[np.ndarray], grid: tuple[int, int]) -> np.ndarray:
    """``[questions, metrics]``."""
    return np.array(
        [
            [*(neighbour_similarity(mask, feature[i], grid) for feature in features), adjacency(mask, grid)]
            for i, mask in enumerate(kept)
        ]
    )


def neighbour_similarity(kept: np.ndarray, features: np.ndarray, grid: tuple[int, int]) -> float:
    """Mean over kept tokens of the cosine similarity to the nearest other one.

    Args:
        kept: ``[n]`` bool, at least two of them True.
        features: ``[n, d]`` of length 1.
        grid: (height, width), whose product is ``n``.
    """
    squared = _squared_distances(np.flatnonzero(kept), grid)
    similarity = features[kept] @ features[kept].T
    nearest = squared == squared.min(axis=1, keepdims=True)
    return float(((similarity * nearest).sum(axis=1) / nearest.sum(axis=1)).mean())


def adjacency(kept: np.ndarray, grid: tuple[int, int]) -> float:
    """Percent of the kept tokens that have another one among their eight neighbours."""
    return float(100 * (_squared_distances(np.flatnonzero(kept), grid).min(axis=1) <= 2).mean())


def _squared_distances(cells: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """``[k, k]`` in squared cells, infinite from a token to itself."""
    place = np.stack((cells // grid[1], cells % grid[1]), axis=1).astype(float)
    squared = ((place[:, None] - place[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    return squared


def unit(vectors: np.ndarray) -> np.ndarray:
    """``[..., d]`` scaled to length 1; a zero vector stays 0."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)
