"""Energies for a checkpoint and pictures of one's own: what the stage ``spectra`` does with the miniature's.

    python -m vtprune.experiments.calibrate --params params/lite.yaml --pictures FOLDER --out runs/lite/results

The pictures should be none that a benchmark shows. Writes ``spectra/calibration.csv`` for the keep ratios of
``figures.eadaprune`` and SpectralBudget's own assumptions.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vtprune.evaluation.errors import EvaluationError

from .calibration import budgets, calibrate
from .common import one_sentence, ratios
from .matched import MatchedSettings
from .settings import read
from .spectra import DEFAULT, record, shares_of
from .tables import write_csv

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def pictures(folder: Path) -> list[Any]:
    """The pictures of a folder, by name.

    Raises:
        EvaluationError: if it holds none.
    """
    from PIL import Image

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise EvaluationError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}) to calibrate on")
    found = []
    for file in files:
        with Image.open(file) as image:
            found.append(image.convert("RGB"))
    return found


def run(settings: MatchedSettings, images: Sequence[Any]) -> Path:
    """Record the pictures' spectra and write the energies that match the settings' keep ratios.

    Raises:
        EvaluationError, CheckpointError: one sentence that says what is wrong, also if the checkpoint lays pictures on
            different numbers of tokens: a fixed budget is then no one number.
    """
    import torch
    from tqdm import tqdm

    from vtprune.evaluation.model import Loaded

    loaded = Loaded.of(settings.checkpoint, device=settings.device, dtype=settings.dtype)
    with tqdm(total=len(images), unit="image", desc="calibrate", dynamic_ncols=True) as bar:
        parts = [record(loaded, [image], 1, {}, bar) for image in images]
    tokens = {part[2] for part in parts}
    if len(tokens) > 1:
        raise EvaluationError(f"pictures of {min(tokens)} to {max(tokens)} tokens cannot be matched to one fixed budget")
    source, centre, power = DEFAULT
    shares = torch.cat([shares_of(part[0], *DEFAULT) for part in parts])
    rows = []
    for keep in ratios(settings):
        fixed = max(1, int(tokens.copy().pop() * keep))
        energy = calibrate(shares, fixed)
        mean = budgets(shares, energy).double().mean().item()
        rows.append({"features": source, "centre": centre, "power": power, "target": keep, "k_min": 1, "k_max": None,
                     "tokens": fixed, "energy": energy, "calibrated_mean": f"{mean:.5g}"})  # fmt: skip
    return write_csv(Path(settings.out) / "spectra" / "calibration.csv", rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vtprune.experiments.calibrate", description="Calibrate spectral budgets.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="read its keys evaluation and figures.eadaprune")
    parser.add_argument("--model", help="one of evaluation.models (default: its first)")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures that no benchmark shows")
    parser.add_argument("--out", default="reports/results", help="folder of the results")
    options = parser.parse_args(argv)

    def work() -> Path:
        settings = read(options.params, "eadaprune", MatchedSettings, options.model)
        return run(replace(settings, out=options.out), pictures(options.pictures))

    return one_sentence("calibrate", work)


if __name__ == "__main__":
    sys.exit(main())
