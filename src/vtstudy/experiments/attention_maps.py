"""Figures 2, 8 and 9: mean attention over the image grid, layer by layer, and how alike benchmarks are.

The paper's claim (section 3): the maps of different tasks are almost identical, and attention
gathers at the end of the image sequence. Here the first is the Pearson correlation between two
benchmarks' mean maps, the second the share of the image attention that the last quarter of the
image tokens receive (a quarter, if position did not matter). Intervals are bootstrapped over the
images, each with its questions, benchmarks apart, and centred on the measured correlation. The noise
of a finite sample lowers a correlation; how far is seen from that of two halves of one benchmark's own
questions, about different images.
"""

from itertools import combinations

import numpy as np

from vtstudy.evaluation.bootstrap import interval
from vtstudy.experiments.figure_runner import Study

LAST = 0.25


def measure(study: Study) -> None:
    benchmarks = study.settings.benchmarks
    images = {name: study.images(name) for name in benchmarks}
    _, width = study.grid(*benchmarks)
    means, draws, sizes = {}, {}, {}
    for name in benchmarks:
        maps = study.attention(name).astype(float)
        sizes[name], means[name] = len(maps), maps.mean(axis=0)
        draws[name] = _resampled(study, maps, images[name], name)
        halves = {"even": images[name] % 2 == 0, "odd": images[name] % 2 == 1}
        point = correlation(*(maps[half].mean(axis=0) for half in halves.values()))
        sample = correlation(
            *(_resampled(study, maps[half], images[name][half], f"{name} {which}") for which, half in halves.items())
        )
        study.add("halves alike", 1.0, name, "pearson", point.mean(), len(maps), centred(sample, point).mean(axis=1))

    study.table(
        "attention",
        (
            {"benchmark": name, "layer": layer, "row": cell // width, "column": cell % width, "attention": float(value)}
            for name, mean in means.items()
            for layer, values in enumerate(mean)
            for cell, value in enumerate(values)
        ),
    )
    _between_benchmarks(study, means, draws, sizes)
    _late(study, means, draws, sizes)
    _between_layers(study, means, draws, sizes)


def _resampled(study: Study, maps: np.ndarray, images: np.ndarray, name: str) -> np.ndarray:
    """Mean maps of resampled images: ``[questions, layers, n]`` to ``[resamples, layers, n]``."""
    return study.resampled(maps.reshape(len(maps), -1), images, name).reshape(-1, *maps.shape[1:])


def _between_benchmarks(study: Study, means: dict, draws: dict, sizes: dict) -> None:
    """By layer for the drawing; their mean over layers, and over all pairs, as results."""
    lines, points, samples = [], [], []
    for first, second in combinations(means, 2):
        point = correlation(means[first], means[second])
        sample = centred(correlation(draws[first], draws[second]), point)
        for layer, value in enumerate(point):
            low, high = interval(sample[:, layer])
            lines.append(
                {
                    "layer": layer,
                    "first": first,
                    "second": second,
                    "correlation": float(value),
                    "ci_low": low,
                    "ci_high": high,
                }
            )
        asked = sizes[first] + sizes[second]
        study.add("benchmarks alike", 1.0, f"{first} ~ {second}", "pearson", point.mean(), asked, sample.mean(axis=1))
        points.append(point.mean())
        samples.append(sample.mean(axis=1))
    if lines:
        study.table("correlation", lines)
        study.add(
            "benchmarks alike", 1.0, "mean", "pearson", np.mean(points), sum(sizes.values()), np.mean(samples, axis=0)
        )


def _late(study: Study, means: dict, draws: dict, sizes: dict) -> None:
    lines = []
    for name, mean in means.items():
        point, sample = late_share(mean), late_share(draws[name])
        for layer, value in enumerate(point):
            low, high = interval(sample[:, layer])
            lines.append({"benchmark": name, "layer": layer, "share": float(value), "ci_low": low, "ci_high": high})
        study.add("last quarter", 1.0, name, "share_of_image_attention", point.mean(), sizes[name], sample.mean(axis=1))
    study.table("late", lines)


def _between_layers(study: Study, means: dict, draws: dict, sizes: dict) -> None:
    """Do the same tokens stay ahead in other layers of the same benchmark? Mean over all pairs of layers."""
    for name, mean in means.items():
        pairs = list(combinations(range(len(mean)), 2))
        points = np.array([correlation(mean[a], mean[b]) for a, b in pairs])
        samples = np.stack([correlation(draws[name][:, a], draws[name][:, b]) for a, b in pairs], axis=1)
        study.add(
            "layers alike", 1.0, name, "pearson", points.mean(), sizes[name], centred(samples, points).mean(axis=1)
        )


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's r of the maps along the last axis: ``[..., n]`` and ``[..., n]`` to ``[...]``; 0 for a flat map."""
    first = first - first.mean(axis=-1, keepdims=True)
    second = second - second.mean(axis=-1, keepdims=True)
    scale = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return (first * second).sum(axis=-1) / np.where(scale > 0, scale, np.inf)


def centred(draws: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Resampled correlations about the measured one: ``[resamples, k]`` and ``[k]`` to ``[resamples, k]``.

    A resample is a sample of the sample: its noise comes on top and lowers the correlation once
    more. So the draws are moved, on Fisher's scale, to where they say how far the value may be off.
    """
    edge = 1 - 1e-9
    scaled, wanted = np.arctanh(np.clip(draws, -edge, edge)), np.arctanh(np.clip(point, -edge, edge))
    return np.tanh(scaled - scaled.mean(axis=0) + wanted)


def late_share(maps: np.ndarray) -> np.ndarray:
    """Share of the attention along the last axis that its last quarter receives: ``[..., n]`` to ``[...]``."""
    tokens = maps.shape[-1]
    return maps[..., tokens - round(LAST * tokens) :].sum(axis=-1) / maps.sum(axis=-1)
