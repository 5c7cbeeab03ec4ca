"""Which of the assumptions matter that the paper's summaries leave open.

Every budget that the stage ``spectra`` calibrated to the same fixed one: three sources of features, centred
or not, squared singular values or plain ones, all crossed; and limits k_min and k_max about the assumed
variant. Each is compared with that one, on the same questions, and with the fixed budget.
``sensitivity/variants.csv`` says what the rows are, and how alike their budgets and the assumed one's are.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vtprune.methods import SpectralBudget
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.intervals import spearman
from vtstudy.experiments.matched import (
    BENCHMARKS,
    SPECTRAL,
    MatchedSettings,
    Matching,
    Spectral,
    assumed,
    calibrated,
    run_matched,
)
from vtstudy.experiments.runner import one_sentence, ratios
from vtstudy.experiments.settings import parse
from vtstudy.experiments.spec import Experiment, Row

NAME = "sensitivity"


def label(budget: SpectralBudget) -> str:
    """Such as "hidden centred s^1", or "projected k>=10 k<=18"."""
    words = [budget.features, "centred" * budget.centre, f"s^{budget.power:g}" * (budget.power != 2)]
    words += [f"k>={budget.k_min}" * (budget.k_min > 1), f"k<={budget.k_max}" * (budget.k_max is not None)]
    return " ".join(word for word in words if word)


def experiment(settings: MatchedSettings, matching: Matching = calibrated) -> Experiment:
    """The host with a fixed budget, with the assumed spectral one, and with every other.

    Args:
        matching: where the spectral budgets come from.

    Raises:
        EvaluationError: if the settings name several hosts or fixed budgets, or no energy was calibrated for theirs.
    """
    keeps = ratios(settings)
    if len(settings.hosts) != 1 or len(keeps) != 1:
        raise EvaluationError(
            f"the sensitivity to the assumptions is that of one host and one budget, not of {', '.join(settings.hosts)} at "
            f"{', '.join(f'{keep:g}' for keep in keeps)}"
        )
    (host,), (keep,) = settings.hosts, keeps
    assumed_one, *others = matching(Path(settings.calibration), keep)
    first, budgets = host + SPECTRAL, {f"{host} {label(budget)}": budget for budget in others}
    rows = {"baseline": Row(), host: Row(host), first: Spectral(host, budgets={keep: assumed_one})}
    rows |= {name: Spectral(host, budgets={keep: budget}) for name, budget in budgets.items()}
    pairs = (f"{first} - {host}", *(f"{other} - {first}" for other in budgets))
    return Experiment(NAME, settings.benchmarks or BENCHMARKS, rows, pairs)


def variant_rows(
    experiment: Experiment, left: Mapping[tuple[str, float | None], np.ndarray], images: int
) -> Iterator[dict[str, Any]]:
    """What each variant is, and its budgets of the questions asked beside the assumed variant's.

    Args:
        left: tokens left of each question, by (row, keep ratio).
        images: how many the questions show; two questions about one image have much the same budget.
    """
    variants = {
        (name, keep): budget
        for name, row in experiment.rows.items()
        if isinstance(row, Spectral)
        for keep, budget in row.budgets.items()
    }
    default = left[next(iter(variants))]
    for key, budget in variants.items():
        own = left[key]
        features, centre, power, k_min, k_max = assumed(budget)
        value, low, high = spearman(own, default, images)
        yield {
            "method": key[0],
            "features": features,
            "centre": centre,
            "power": power,
            "k_min": k_min,
            "k_max": k_max,
            "energy": budget.energy,
            "n": len(own),
            "tokens": f"{own.mean():.6g}",
            "sd": f"{own.std():.5g}",
            "spearman": f"{value:.4f}",
            "ci_low": f"{low:.4f}",
            "ci_high": f"{high:.4f}",
        }


def main(argv: list[str] | None = None) -> int:
    def work() -> Path:
        settings = parse(NAME, argv, MatchedSettings)
        found = experiment(settings)
        path, left, images = run_matched(found, settings)
        write_csv(Path(settings.out) / NAME / "variants.csv", variant_rows(found, left, images))
        return path

    return one_sentence(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
