"""E-AdaPrune's comparison: each host with a fixed budget, and with a spectral one of the same mean.

The energies are calibrated on pictures that no benchmark shows (stage ``spectra``); what "average
tokens" means, and how many are left of the questions asked here, see ``matched.py`` and
``eadaprune/tokens.csv``. Which hosts, which budgets and how many questions, params.yaml says.
"""

import sys
from pathlib import Path

from vtstudy.experiments.matched import (
    BENCHMARKS,
    SPECTRAL,
    MatchedSettings,
    Matching,
    Spectral,
    calibrated,
    main,
)
from vtstudy.experiments.runner import ratios
from vtstudy.experiments.spec import Experiment, Row

NAME = "eadaprune"


def experiment(settings: MatchedSettings, matching: Matching = calibrated) -> Experiment:
    """Rows ``fastv`` and ``fastv_spectral`` for each host, and their difference.

    Args:
        matching: where the spectral budgets come from.

    Raises:
        EvaluationError: if no energy was calibrated for one of the budgets.
    """
    budgets = {keep: matching(Path(settings.calibration), keep)[0] for keep in ratios(settings)}
    rows: dict[str, Row] = {"baseline": Row()}
    for host in settings.hosts:
        rows |= {host: Row(host), host + SPECTRAL: Spectral(host, budgets=budgets)}
    pairs = tuple(f"{host}{SPECTRAL} - {host}" for host in settings.hosts)
    return Experiment(NAME, settings.benchmarks or BENCHMARKS, rows, pairs)


if __name__ == "__main__":
    sys.exit(main(NAME, experiment))
