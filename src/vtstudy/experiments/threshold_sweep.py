"""The energy-threshold sweep: scores and average tokens against tau, matched to no fixed budget.

Rows are named by host and tau (``fastv tau=0.95``) and have no keep ratio: the budget is each
image's own. Its mean stands in ``energy/tokens.csv``.
"""

import sys

from vtprune.methods import SpectralBudget
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.matched import BENCHMARKS, MatchedSettings, Spectral, main
from vtstudy.experiments.spec import Experiment, Row

NAME = "energy"


def experiment(settings: MatchedSettings) -> Experiment:
    """A row for each host and energy, by rising energy.

    Raises:
        EvaluationError: if there are no energies.
        ValueError: if one lies outside (0, 1].
    """
    if not settings.energies:
        raise EvaluationError("the sweep needs energies: name them in params.yaml as figures.energy.energies")
    rows: dict[str, Row] = {"baseline": Row()}
    for host in settings.hosts:
        for energy in sorted(settings.energies):
            rows[f"{host} tau={energy:g}"] = Spectral(host, free=SpectralBudget(energy, route="gram"))
    return Experiment(NAME, settings.benchmarks or BENCHMARKS, rows, pairs=())


if __name__ == "__main__":
    sys.exit(main(NAME, experiment))
