"""E-AdaPrune's comparison: each host with a fixed budget, and with a spectral one of the same mean.

The energies are calibrated on pictures that no benchmark shows (stage ``spectra``); what "average
tokens" means, and how many are left of the questions asked here, see ``matched.py`` and
``eadaprune/tokens.csv``. Which hosts, which budgets and how many questions, params.yaml says.
"""

import sys
from pathlib import Path

from .common import one_sentence, ratios
from .design import Experiment, Row
from .matched import (
    BENCHMARKS,
    SPECTRAL,
    MatchedSettings,
    Spectral,
    calibrated,
    run_matched,
)
from .settings import parse

NAME = "eadaprune"


def experiment(settings: MatchedSettings) -> Experiment:
    """Rows ``fastv`` and ``fastv_spectral`` for each host, and their difference.

    Raises:
        EvaluationError: if no energy was calibrated for one of the budgets.
    """
    budgets = {keep: calibrated(Path(settings.calibration), keep)[0] for keep in ratios(settings)}
    rows: dict[str, Row] = {"baseline": Row()}
    for host in settings.hosts:
        rows |= {host: Row(host), host + SPECTRAL: Spectral(host, budgets=budgets)}
    pairs = tuple(f"{host}{SPECTRAL} - {host}" for host in settings.hosts)
    return Experiment(NAME, settings.benchmarks or BENCHMARKS, rows, pairs)


def main(argv: list[str] | None = None) -> int:
    def work() -> Path:
        settings = parse(NAME, argv, MatchedSettings)
        return run_matched(experiment(settings), settings)[0]

    return one_sentence(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
