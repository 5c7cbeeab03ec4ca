"""Energies for E-AdaPrune's backbones other than the first model, on the pictures that the first is calibrated on."""

from pathlib import Path

from vtstudy.config import Config
from vtstudy.experiments import calibrate
from vtstudy.experiments.registry import EXPERIMENTS
from vtstudy.experiments.spectra_pictures import pictures_of


def calibrate_backbones(config: Config, results: Path, **changes: object) -> list[Path]:
    """Write `spectra/calibration-<model>.csv` for each backbone; returns the files.

    Args:
        results: folder of the results.
        changes: settings of the command line; None changes nothing.

    Raises:
        EvaluationError, CheckpointError: one sentence that says what is wrong.
    """
    section, options = config.experiments.eadaprune, config.spectra
    paths: list[Path] = []
    for model in section.backbones if section else ():
        settings = EXPERIMENTS["eadaprune"].settings_of(config, model, out=str(results), **changes)
        if options is not None and settings.data is not None:
            pictures = pictures_of(settings.data, options.calibration, options.seed)
            paths.append(calibrate.run(settings, pictures))
    return paths
