"""Figures 1, 6 and 7: the tokens that FastV and AdaptPrune leave, and the positions that are always kept.

A position counts as *fixed* for a method on a benchmark when it survives in at least
``settings.fixed`` of the images; the figures mark these. The number beside them needs no threshold:
the *overlap*, the percentage of the kept positions that two images have in common, mean over all
pairs of questions about different images; a random choice has the kept share. Intervals are
bootstrapped over the images, each with its questions.
The pictures drawn are those of each benchmark's first questions: nobody chose them.
"""

import numpy as np

from vtprune.methods import get_method
from vtstudy.evaluation.bootstrap import cluster_sums
from vtstudy.experiments.figure_runner import Study
from vtstudy.experiments.settings import SurvivorSettings

METHODS = ("fastv", "adaptprune", "random")


def measure(study: Study[SurvivorSettings]) -> None:
    settings = study.settings
    methods = {(name, keep): get_method(name, keep=keep) for keep in settings.ratios() for name in METHODS}
    examples, survivors, positions = [], [], []
    for benchmark in settings.benchmarks:
        questions, images = study.questions(benchmark), study.images(benchmark)
        grid = study.grid(benchmark)
        first_questions = np.unique(images, return_index=True)[1][: settings.examples]  # the first about each image
        for number, index in enumerate(first_questions.tolist()):
            name = f"{benchmark}-{number}.png"
            study.picture(benchmark, index).save(study.folder / name)
            examples.append(
                {
                    "benchmark": benchmark,
                    "example": number,
                    "question": questions.wordings[index].strip().splitlines()[0],
                    "picture": name,
                    "height": grid[0],
                    "width": grid[1],
                }
            )
        for (method, keep), kept in study.survivors(benchmark, methods).items():
            here = {"benchmark": benchmark, "method": method, "keep": keep}
            for number, index in enumerate(first_questions):
                survivors += [
                    here | {"example": number} | _place(int(cell), grid) for cell in np.flatnonzero(kept[index])
                ]
            positions += [
                here | _place(cell, grid) | {"share": float(share)} for cell, share in enumerate(kept.mean(axis=0))
            ]
            value, sample = overlap(kept.astype(float), images, study.resampled(kept.astype(float), images, benchmark))
            study.add(f"{method} overlap", keep, benchmark, "position_overlap", value, len(kept), sample)
    study.table("examples", examples)
    study.table("survivors", survivors)
    study.table("positions", positions)


def overlap(kept: np.ndarray, images: np.ndarray, draws: np.ndarray) -> tuple[float, np.ndarray]:
    """Percent of the kept positions that questions about two different images have in common, and its bootstrap.

    An image has much in common with itself, and with its copies in a resample: both are taken out,
    so that neither the value nor the middle of the draws depends on the number of images.

    Args:
        kept: ``[questions, n]`` 1 for the positions that survive, else 0; equally many of each.
        images: ``[questions]`` numbers of what they show, at least two different ones.
        draws: ``[resamples, n]`` in how many of the questions about resampled images each position survives.
    """
    asked, left, shares = len(kept), kept[0].sum(), kept.mean(axis=0)
    sums, counts = cluster_sums(kept, images)
    alike, pairs = (shares**2).sum(), asked**2 - (counts**2).sum()
    value = (asked**2 * alike - (sums**2).sum()) / pairs
    copies = ((sums - counts[:, None] * shares) ** 2).sum() / asked**2  # what pairs of an image and its own copy add
    sample = value + ((draws**2).sum(axis=1) - alike - copies) * asked**2 / pairs
    return float(100 * value / left), 100 * sample / left


def _place(cell: int, grid: tuple[int, int]) -> dict[str, int]:
    return {"row": cell // grid[1], "column": cell % grid[1]}
