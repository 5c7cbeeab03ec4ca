"""`sensitivity/variants.csv`: the assumptions of each variant, and how much its budgets resemble the default ones."""

from collections.abc import Iterator, Mapping

import numpy as np

from vtstudy.experiments.eadaprune import SpectralSpec, assumptions
from vtstudy.experiments.intervals import spearman
from vtstudy.experiments.spec import Experiment


def variant_rows(
    experiment: Experiment, tokens: Mapping[tuple[str, float | None], np.ndarray], images: int
) -> Iterator[dict[str, object]]:
    """A row for each spectral variant.

    Args:
        tokens: by name of a variant and keep ratio, `[questions]` image tokens that are left of each question.
        images: how many images the questions show. Two questions about one image have nearly the same budget.
    """
    budgets = {
        (name, keep): budget
        for name, spec in experiment.variants.items()
        if isinstance(spec, SpectralSpec)
        for keep, budget in spec.budgets.items()
    }
    default = tokens[next(iter(budgets))]
    for key, budget in budgets.items():
        features, centre, power, k_min, k_max = assumptions(budget)
        value, low, high = spearman(tokens[key], default, images)
        yield {
            "method": key[0],
            "features": features,
            "centre": centre,
            "power": power,
            "k_min": k_min,
            "k_max": k_max,
            "energy": budget.energy,
            "n": len(tokens[key]),
            "tokens": f"{tokens[key].mean():.6g}",
            "sd": f"{tokens[key].std():.5g}",
            "spearman": f"{value:.4f}",
            "ci_low": f"{low:.4f}",
            "ci_high": f"{high:.4f}",
        }
