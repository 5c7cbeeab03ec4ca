"""Figures 1, 6 and 7: the tokens that FastV and AdaptPrune leave, and the positions that are always kept.

A position counts as *fixed* for a method on a benchmark when it survives in at least
``settings.fixed`` of the images; the figures mark these. The number beside them needs no threshold:
the *overlap*, the percentage of the kept positions that two images have in common, mean over all
pairs of images; a random choice has the kept share. Intervals are bootstrapped over the questions.
The pictures drawn are those of each benchmark's first questions: nobody chose them.
"""

import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vtprune.evaluation.errors import EvaluationError
from vtprune.evaluation.statistics import bootstrap

from .common import ratios
from .figures import Study, main
from .settings import FigureSettings

METHODS = ("fastv", "adaptprune", "random")


@dataclass(frozen=True)
class SurvivorSettings(FigureSettings):
    """Of figures 1, 6 and 7.

    Attributes:
        examples: questions of each benchmark to draw, each about another image.
        fixed: share of the images, in (0, 1], in which a fixed position survives.
    """

    examples: int = 4
    fixed: float = 0.9


def measure(study: Study) -> None:
    from vtprune.evaluation.model import method_of

    settings = study.settings
    if not 0 < settings.fixed <= 1:
        raise EvaluationError(f"fixed must lie in (0, 1], not {settings.fixed:g}")
    if settings.examples < 1:
        raise EvaluationError(f"examples must be at least 1, not {settings.examples}")
    methods = {(name, keep): method_of(name, keep) for keep in ratios(settings) for name in METHODS}
    examples, survivors, positions = [], [], []
    for benchmark in settings.benchmarks:
        asked = study.prompts(benchmark)
        questions = [question for _, question in asked]
        if len(questions) < 2:
            raise EvaluationError(f"{benchmark} needs at least 2 questions to compare images, not {len(questions)}")
        study.extend(len(questions) * len(methods))
        probe = study.probe()
        grid = probe.grid(questions)
        shown = _first_of_each_image(questions)[: settings.examples]
        for number, index in enumerate(shown):
            name = f"{benchmark}-{number}.png"
            probe.picture(questions[index]).save(study.folder / name)
            words = asked[index][0].strip().splitlines()[0]
            examples.append({"benchmark": benchmark, "example": number, "question": words, "picture": name, "height": grid[0], "width": grid[1]})
        for (method, keep), kept in probe.survivors(methods, questions).items():
            here = {"benchmark": benchmark, "method": method, "keep": keep}
            for number, index in enumerate(shown):
                survivors += [here | {"example": number} | _place(cell, grid) for cell in np.flatnonzero(kept[index])]
            positions += [here | _place(cell, grid) | {"share": float(share)} for cell, share in enumerate(kept.mean(axis=0))]
            draws = bootstrap(
                kept.astype(float), np.zeros(len(kept), dtype=int),
                resamples=settings.resamples, seed=settings.seed, name=benchmark,
            )  # fmt: skip
            value, sample = overlap(kept.mean(axis=0), draws, len(kept))
            study.add(f"{method} overlap", keep, benchmark, "position_overlap", value, len(kept), sample)
    study.table("examples", examples)
    study.table("survivors", survivors)
    study.table("positions", positions)


def overlap(shares: np.ndarray, draws: np.ndarray, images: int) -> tuple[float, np.ndarray]:
    """Percent of the kept positions that two different images have in common, and its bootstrap.

    An image has everything in common with itself, and with its copies in a resample: both are
    taken out, so that neither the value nor the middle of the draws depends on the number of images.

    Args:
        shares: ``[n]`` in how many of the images each position survives, in [0, 1].
        draws: ``[resamples, n]`` the same of resampled images.
        images: how many there are, at least 2; each keeps equally many positions.
    """
    kept, alike = shares.sum(), (shares**2).sum()
    value = (images * alike - kept) / (images - 1)
    copies = (kept - alike) / images  # what pairs of an image and its own copy add to a resample
    sample = value + ((draws**2).sum(axis=1) - alike - copies) * images / (images - 1)
    return float(100 * value / kept), 100 * sample / kept


def _place(cell: int, grid: tuple[int, int]) -> dict[str, int]:
    return {"row": int(cell) // grid[1], "column": int(cell) % grid[1]}


def _first_of_each_image(questions: list) -> list[int]:
    """Indices of the first question about each image."""
    first: dict[bytes, int] = {}
    for index, question in enumerate(questions):
        first.setdefault(_pixels(question.images[0]), index)
    return list(first.values())


def _pixels(image: Image.Image) -> bytes:
    return f"{image.mode}{image.size}".encode() + image.tobytes()


if __name__ == "__main__":
    sys.exit(main("figure1", measure, kind=SurvivorSettings))
