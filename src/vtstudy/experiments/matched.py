"""Spectral budgets in the rows of an experiment: at calibrated energies, and with the tokens that they really leave.

"Average tokens" is defined here, once, in the two conventions of the field:

``tokens``
    The image tokens that are left when the last stage has pruned, of each question that was asked
    (an image that two questions show counts twice); their mean over a benchmark's questions, and the
    mean of those over the benchmarks (``mean``), as with scores.
``tokens_by_layer``
    The same of the mean over all decoder layers: those before a stage still carry what it drops.
    FastV prunes before layer 2, so 10 % kept are 40 % by this count in a decoder of 6 layers.

Budgets are *matched* in the first: the energy is the one at which the mean budget of the calibration
pictures equals the fixed budget (stage ``spectra``; ``calibrate`` for pictures of one's own), the mean of the fixed
budgets where pictures are laid on different numbers of tokens. These pictures are not evaluated, so the mean that
is achieved differs from the fixed budget; it stands beside each score (``<experiment>/tokens.csv``).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtprune.methods import Method, SpectralBudget
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.runner import evaluator_of, limits_of, run, variants_of
from vtstudy.experiments.sensitivity import variant_rows
from vtstudy.experiments.settings import SpectralSettings
from vtstudy.experiments.spec import Experiment
from vtstudy.results_table import MEAN


def token_rows(
    names: Sequence[tuple[str, float | None, Any]], counts: Mapping[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Average tokens, a row for each cell and benchmark, and for the mean over benchmarks.

    Args:
        names: of each cell its row's name, its keep ratio, and its energy (None for a fixed budget).
        counts: by benchmark `[variants, questions, 2]`, see `Evaluator.tokens`.
    """
    for index, (method, keep, energy) in enumerate(names):
        means = []
        for benchmark, every in counts.items():
            kept, by_layer = every[index].T
            means.append((kept.mean(), by_layer.mean()))
            yield _line(
                method, keep, energy, benchmark, len(kept), *means[-1], kept.std(), int(kept.min()), int(kept.max())
            )
        yield _line(
            method, keep, energy, MEAN, sum(len(every[index]) for every in counts.values()), *np.mean(means, axis=0)
        )


def _line(method, keep, energy, benchmark, n, tokens, by_layer, sd=None, least=None, most=None) -> dict[str, Any]:
    return {
        "method": method,
        "keep": keep,
        "energy": energy,
        "benchmark": benchmark,
        "n": n,
        "tokens": f"{tokens:.6g}",
        "tokens_by_layer": f"{by_layer:.6g}",
        "sd": None if sd is None else f"{sd:.5g}",
        "least": least,
        "most": most,
    }


def run_matched(
    experiment: Experiment, settings: SpectralSettings
) -> tuple[Path, dict[tuple[str, float | None], np.ndarray], int]:
    """Run an experiment, and write `<experiment>/tokens.csv`: the average tokens of every pruned variant.

    Returns:
        The path of the results; by (name, keep ratio) of a variant the `[questions]` image tokens that remain; and how
        many images the questions show.

    Raises:
        EvaluationError, CheckpointError, DatasetError: if a setting, the checkpoint or the data cannot be used.
    """
    evaluator = evaluator_of(settings)
    path = run(experiment, settings, evaluator)
    limits = limits_of(experiment, settings)
    variants = {
        key: variant for key, variant in variants_of(experiment, settings).items() if variant.method.name != "none"
    }
    counts = {
        benchmark: np.stack([evaluator.tokens(variant, benchmark, limit) for variant in variants.values()])
        for benchmark, limit in limits.items()
    }
    names = [(name, keep, energy_of(variant.method)) for (name, keep), variant in variants.items()]
    write_csv(Path(settings.out) / experiment.name / "tokens.csv", token_rows(names, counts))
    remaining = np.concatenate([of_benchmark[:, :, 0] for of_benchmark in counts.values()], axis=1)
    images = sum(len(np.unique(evaluator.images(benchmark, limit))) for benchmark, limit in limits.items())
    return path, dict(zip(variants, remaining, strict=True)), images


def energy_of(method: Method) -> float | None:
    """The energy of a method's spectral budget; None for any other budget."""
    budget = getattr(method, "keep", None)
    return budget.energy if isinstance(budget, SpectralBudget) else None


def run_comparison(experiment: Experiment, settings: SpectralSettings) -> Path:
    """Run an experiment with spectral budgets; returns the path of its results."""
    return run_matched(experiment, settings)[0]


def run_sensitivity(experiment: Experiment, settings: SpectralSettings) -> Path:
    """Run the experiment sensitivity, which also writes `sensitivity/variants.csv`; returns the path of its results."""
    path, tokens, images = run_matched(experiment, settings)
    rows = variant_rows(experiment, tokens, images)
    write_csv(Path(settings.out) / experiment.name / "variants.csv", rows)
    return path
