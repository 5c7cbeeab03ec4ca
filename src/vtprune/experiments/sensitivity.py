"""Which of the assumptions matter that the paper's summaries leave open.

Every budget that the stage ``spectra`` calibrated to the same fixed one: three sources of features, centred
or not, squared singular values or plain ones, all crossed; and limits k_min and k_max about the assumed
variant. Each is compared with that one, on the same questions, and with the fixed budget.
``sensitivity/variants.csv`` says what the rows are, and how alike their budgets and the assumed one's are.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vtprune.evaluation.errors import EvaluationError
from vtprune.pruning import SpectralBudget

from .common import one_sentence, ratios
from .design import Experiment, Row
from .intervals import spearman
from .matched import (
    BENCHMARKS,
    SPECTRAL,
    MatchedSettings,
    Spectral,
    assumed,
    calibrated,
    run_matched,
)
from .settings import parse
from .tables import write_csv

NAME = "sensitivity"


def variants(settings: MatchedSettings) -> dict[str, SpectralBudget]:
    """The budgets by the rows' names, the assumed one first.

    Raises:
        EvaluationError: if no energy was calibrated for the fixed budget.
    """
    host, keep = one(settings)
    first, *others = calibrated(Path(settings.calibration), keep)
    return {host + SPECTRAL: first} | {f"{host} {label(budget)}": budget for budget in others}


def one(settings: MatchedSettings) -> tuple[str, float]:
    """The host, and the fraction of the tokens that its fixed budget keeps.

    Raises:
        EvaluationError: if the settings name several of either.
    """
    keeps = ratios(settings)
    if len(settings.hosts) != 1 or len(keeps) != 1:
        raise EvaluationError(
            f"the sensitivity to the assumptions is that of one host and one budget, not of {', '.join(settings.hosts)} at "
            f"{', '.join(f'{keep:g}' for keep in keeps)}"
        )
    return settings.hosts[0], keeps[0]


def label(budget: SpectralBudget) -> str:
    """Such as "hidden centred s^1", or "projected k>=7 k<=28"."""
    words = [budget.features, "centred" * budget.centre, f"s^{budget.power:g}" * (budget.power != 2)]
    words += [f"k>={budget.k_min}" * (budget.k_min > 1), f"k<={budget.k_max}" * (budget.k_max is not None)]
    return " ".join(word for word in words if word)


def experiment(settings: MatchedSettings) -> Experiment:
    """The host with a fixed budget, with the assumed spectral one, and with every other."""
    host, keep = one(settings)
    budgets = variants(settings)
    rows = {"baseline": Row(), host: Row(host)} | {name: Spectral(host, budgets={keep: each}) for name, each in budgets.items()}
    first, *others = budgets
    pairs = (f"{first} - {host}", *(f"{other} - {first}" for other in others))
    return Experiment(NAME, settings.benchmarks or BENCHMARKS, rows, pairs)


def variant_rows(
    settings: MatchedSettings, left: dict[tuple[str, float | None], np.ndarray], images: int
) -> Iterator[dict[str, Any]]:
    """What each variant is, and its budgets of the questions asked beside the assumed variant's.

    Args:
        left: tokens left of each question, by (row, keep ratio).
        images: how many the questions show; two questions about one image have much the same budget.
    """
    _, keep = one(settings)
    budgets = variants(settings)
    default = left[next(iter(budgets)), keep]
    for name, budget in budgets.items():
        own = left[name, keep]
        features, centre, power, k_min, k_max = assumed(budget)
        value, low, high = spearman(own, default, images)
        yield {
            "method": name, "features": features, "centre": centre, "power": power, "k_min": k_min, "k_max": k_max,
            "energy": budget.energy, "n": len(own), "tokens": f"{own.mean():.6g}", "sd": f"{own.std():.5g}",
            "spearman": f"{value:.4f}", "ci_low": f"{low:.4f}", "ci_high": f"{high:.4f}",
        }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    def work() -> Path:
        settings = parse(NAME, argv, MatchedSettings)
        path, left, images = run_matched(experiment(settings), settings)
        write_csv(Path(settings.out) / NAME / "variants.csv", variant_rows(settings, left, images))
        return path

    return one_sentence(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
