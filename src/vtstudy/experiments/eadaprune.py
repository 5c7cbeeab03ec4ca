"""E-AdaPrune's experiments: spectral budgets against fixed ones, the energy threshold, and the open assumptions.

- `comparison` (`eadaprune`): every host with a fixed budget, and with a spectral budget of the same mean.
- `threshold_sweep` (`energy`): scores and average tokens against the threshold tau, matched to no fixed budget.
- `sensitivity`: which of the assumptions matter that the summaries of the paper leave open.

`matched.py` defines "average tokens". `spectra.py` calibrates the energies on pictures that no benchmark shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vtprune.methods import SpectralBudget
from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.settings import SpectralSettings
from vtstudy.experiments.spec import Experiment, VariantSpec

# MME's score is a sum over fourteen sub-tasks, so that a limit leaves too few questions of each.
BENCHMARKS = tuple(name for name in ADAPTPRUNE if name != "mme")
SUFFIX = "_spectral"  # of the variant that has a spectral budget in place of the fixed one

Matching = Callable[[Path, float], list[SpectralBudget]]
"""Gives the spectral budgets that match a fixed one, as `calibrated_budgets` does."""


@dataclass(frozen=True)
class SpectralSpec(VariantSpec):
    """A host method with a spectral budget.

    Attributes:
        budgets: by the keep ratio that each budget is matched to.
        unmatched: a budget that is matched to no keep ratio, in place of `budgets`.
    """

    budgets: Mapping[float, SpectralBudget] = field(default_factory=dict)
    unmatched: SpectralBudget | None = None

    @property
    def takes_keep(self) -> bool:
        """Whether the variant depends on a keep ratio: if its budget is matched to one."""
        return self.unmatched is None

    def _budget(self, keep: float) -> dict[str, Any]:
        """The budget that is matched to this keep ratio."""
        return {"keep": self.budgets[keep] if self.unmatched is None else self.unmatched}


def comparison(settings: SpectralSettings, matching: Matching | None = None) -> Experiment:
    """Variants `fastv` and `fastv_spectral` for each host, and their difference.

    Args:
        matching: where the spectral budgets come from; None for `calibrated_budgets`.

    Raises:
        EvaluationError: if no energy was calibrated for one of the keep ratios.
    """
    match = matching or calibrated_budgets
    budgets = {keep: match(Path(settings.calibration), keep)[0] for keep in settings.ratios()}
    variants: dict[str, VariantSpec] = {"baseline": VariantSpec()}
    for host in settings.hosts:
        variants |= {host: VariantSpec(host), host + SUFFIX: SpectralSpec(host, budgets=budgets)}
    pairs = tuple(f"{host}{SUFFIX} - {host}" for host in settings.hosts)
    return Experiment("eadaprune", settings.benchmarks or BENCHMARKS, variants, pairs, tokens=True)


def threshold_sweep(settings: SpectralSettings, matching: Matching | None = None) -> Experiment:
    """A variant for each host and energy, by rising energy: `fastv tau=0.95`.

    The variants have no keep ratio, because every image has its own budget. `energy/tokens.csv` has the means.

    Args:
        matching: not used: nothing is matched.

    Raises:
        EvaluationError: if the settings have no energies.
    """
    if not settings.energies:
        raise EvaluationError("the sweep has no energies: set experiments.energy.energies in params.yaml")
    variants: dict[str, VariantSpec] = {"baseline": VariantSpec()}
    for host in settings.hosts:
        for energy in sorted(settings.energies):
            budget = SpectralBudget(energy, route="gram")
            variants[f"{host} tau={energy:g}"] = SpectralSpec(host, unmatched=budget)
    return Experiment("energy", settings.benchmarks or BENCHMARKS, variants, (), tokens=True)


def sensitivity(settings: SpectralSettings, matching: Matching | None = None) -> Experiment:
    """The host with a fixed budget, with the default spectral budget, and with every other calibrated one.

    The budgets differ in the source of the features, in centring, in the power of the singular values, and in
    limits k_min and k_max. Each is compared with the default one, and the default one with the fixed budget.

    Args:
        matching: where the spectral budgets come from; None for `calibrated_budgets`.

    Raises:
        EvaluationError: if the settings have several hosts or keep ratios, or no energy was calibrated for theirs.
    """
    keeps = settings.ratios()
    if len(settings.hosts) != 1 or len(keeps) != 1:
        raise EvaluationError(
            f"the experiment sensitivity takes one host and one keep ratio, not {', '.join(settings.hosts)} "
            f"at {', '.join(f'{keep:g}' for keep in keeps)}"
        )
    (host,), (keep,) = settings.hosts, keeps
    match = matching or calibrated_budgets
    default, *others = match(Path(settings.calibration), keep)
    first = host + SUFFIX
    others_by_name = {f"{host} {label(budget)}": budget for budget in others}
    variants: dict[str, VariantSpec] = {"baseline": VariantSpec(), host: VariantSpec(host)}
    variants[first] = SpectralSpec(host, budgets={keep: default})
    variants |= {name: SpectralSpec(host, budgets={keep: budget}) for name, budget in others_by_name.items()}
    pairs = (f"{first} - {host}", *(f"{name} - {first}" for name in others_by_name))
    return Experiment("sensitivity", settings.benchmarks or BENCHMARKS, variants, pairs, tokens=True)


def label(budget: SpectralBudget) -> str:
    """The name of a budget's assumptions, such as "hidden centred s^1" or "projected k>=10 k<=18"."""
    words: list[str] = [budget.features]
    if budget.centre:
        words.append("centred")
    if budget.power != 2:
        words.append(f"s^{budget.power:g}")
    if budget.k_min > 1:
        words.append(f"k>={budget.k_min}")
    if budget.k_max is not None:
        words.append(f"k<={budget.k_max}")
    return " ".join(words)


def assumptions(budget: SpectralBudget) -> tuple[str, bool, float, int, int | None]:
    """The choices of a budget that the summaries of the paper leave open."""
    return budget.features, budget.centre, budget.power, budget.k_min, budget.k_max


def calibrated_budgets(path: Path, target: float) -> list[SpectralBudget]:
    """The budgets that were matched to a fixed one, the budget with the default assumptions first.

    They take the exact routes, which give the same budgets as the randomised one and are faster on matrices this
    small.

    Args:
        path: a `calibration.csv` of `vtstudy spectra` or `vtstudy calibrate`.
        target: the fixed budget, as a fraction of the image tokens.

    Raises:
        EvaluationError: if the file cannot be read, or no budget in it has this target.
    """
    import pandas as pd  # half a second, which the other experiments do not need

    try:
        frame = pd.read_csv(path)
    except OSError as error:
        raise EvaluationError(
            f"{path} cannot be read ({error.strerror}): run `vtstudy spectra` first, or `vtstudy calibrate` on "
            "pictures of your own"
        ) from error
    budgets = [
        SpectralBudget(
            row.energy,
            k_min=int(row.k_min),
            k_max=None if np.isnan(row.k_max) else int(row.k_max),
            features=row.features,
            centre=bool(row.centre),
            power=float(row.power),
            route="gram" if row.power == 2 else "svd",
        )
        for row in frame[np.isclose(frame["target"], target)].itertuples()
    ]
    default = [budget for budget in budgets if assumptions(budget) == assumptions(SpectralBudget(1.0))]
    if not default:
        raise EvaluationError(
            f"{path} matches no spectral budget to {target:g} of the image tokens: add {target:g} to spectra.targets "
            "in params.yaml, or calibrate for it"
        )
    return default + [budget for budget in budgets if budget not in default]
