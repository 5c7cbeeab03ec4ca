"""Runs of experiments with spectral budgets, which also count the image tokens that really remain.

"Average tokens" has two meanings in the field. `<experiment>/tokens.csv` has both:

- `tokens`: the image tokens after the last stage, averaged over a benchmark's questions. An image that two questions
  show counts twice. The row `mean` averages over the benchmarks, as for scores.
- `tokens_by_layer`: the same, averaged over all decoder layers. The layers before a stage still have the tokens that it
  drops: FastV prunes before layer 2, so 10 % kept tokens are 40 % by this count in a decoder of 6 layers.

Budgets are *matched* in the first meaning: at the calibrated energy, the mean budget of the calibration pictures equals
the fixed budget, or the mean of the fixed budgets if the pictures have different numbers of tokens. The calibration
pictures are not evaluated, so the mean on a benchmark differs from the fixed budget.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vtprune.methods import Method, SpectralBudget
from vtstudy.evaluation.harness import Evaluator
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.kept_words import write_kept_words
from vtstudy.experiments.runner import evaluator_of, limits_of, run, variants_of
from vtstudy.experiments.sensitivity import variant_rows
from vtstudy.experiments.settings import SpectralSettings
from vtstudy.experiments.spec import Experiment
from vtstudy.results_table import MEAN


def token_rows(
    names: Sequence[tuple[str, float | None, float | None]], counts: Mapping[str, np.ndarray]
) -> Iterator[dict[str, object]]:
    """Average tokens: a row for each variant and benchmark, and for the mean over benchmarks.

    Args:
        names: of each variant its name, its keep ratio, and its energy (None for a fixed budget).
        counts: by benchmark `[variants, questions, 2]`, see `Evaluator.tokens`.
    """
    for index, (method, keep, energy) in enumerate(names):
        means = []
        for benchmark, of_benchmark in counts.items():
            tokens, by_layer = of_benchmark[index].T
            means.append((tokens.mean(), by_layer.mean()))
            yield {
                "method": method,
                "keep": keep,
                "energy": energy,
                "benchmark": benchmark,
                "n": len(tokens),
                "tokens": f"{tokens.mean():.6g}",
                "tokens_by_layer": f"{by_layer.mean():.6g}",
                "sd": f"{tokens.std():.5g}",
                "least": int(tokens.min()),
                "most": int(tokens.max()),
            }
        mean_tokens, mean_by_layer = np.mean(means, axis=0)
        yield {
            "method": method,
            "keep": keep,
            "energy": energy,
            "benchmark": MEAN,
            "n": sum(len(of_benchmark[index]) for of_benchmark in counts.values()),
            "tokens": f"{mean_tokens:.6g}",
            "tokens_by_layer": f"{mean_by_layer:.6g}",
            "sd": None,
            "least": None,
            "most": None,
        }


def run_matched(
    experiment: Experiment, settings: SpectralSettings, evaluator: Evaluator
) -> tuple[Path, dict[tuple[str, float | None], np.ndarray], int]:
    """Run an experiment, and write `<name>/tokens.csv`: the average tokens of every pruned variant.

    The name is that of the result files.

    Returns:
        The path of the results; by (name, keep ratio) of a variant the `[questions]` image tokens that remain; and how
        many images the questions show.

    Raises:
        EvaluationError, CheckpointError, DatasetError: if a setting, the checkpoint or the data cannot be used.
    """
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
    folder = Path(settings.out) / (settings.name or experiment.name)
    write_csv(folder / "tokens.csv", token_rows(names, counts))
    remaining = np.concatenate([of_benchmark[:, :, 0] for of_benchmark in counts.values()], axis=1)
    images = sum(len(np.unique(evaluator.images(benchmark, limit))) for benchmark, limit in limits.items())
    return path, dict(zip(variants, remaining, strict=True)), images


def energy_of(method: Method) -> float | None:
    """The energy of a method's spectral budget; None for any other budget."""
    budget = getattr(method, "keep", None)
    return budget.energy if isinstance(budget, SpectralBudget) else None


def run_comparison(experiment: Experiment, settings: SpectralSettings) -> Path:
    """Run an experiment with spectral budgets; returns the path of its results.

    Where fixed and spectral budgets are compared on questions about text, it also writes `<name>/words.csv`.
    """
    evaluator = evaluator_of(settings)
    path = run_matched(experiment, settings, evaluator)[0]
    folder = Path(settings.out) / (settings.name or experiment.name)
    write_kept_words(evaluator, variants_of(experiment, settings), limits_of(experiment, settings), folder)
    return path


def run_sensitivity(experiment: Experiment, settings: SpectralSettings) -> Path:
    """Run the experiment sensitivity, which also writes `sensitivity/variants.csv`; returns the path of its results."""
    path, tokens, images = run_matched(experiment, settings, evaluator_of(settings))
    rows = variant_rows(experiment, tokens, images)
    write_csv(Path(settings.out) / experiment.name / "variants.csv", rows)
    return path
