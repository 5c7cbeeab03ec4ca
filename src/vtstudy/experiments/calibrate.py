"""Calibration of spectral budgets for any checkpoint, on pictures of your own (`vtstudy calibrate`).

It does for other profiles what the experiment `spectra` does for the miniature. Use pictures that no benchmark shows.
It writes `calibration.csv` for the keep ratios of `experiments.eadaprune` and the default assumptions of
`SpectralBudget`.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.calibration import budgets, calibrate
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.image_spectra import record
from vtstudy.experiments.settings import SpectralSettings
from vtstudy.experiments.spectra import DEFAULT, shares_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def find_pictures(folder: Path) -> list[Path]:
    """The files of a folder's pictures, by name.

    Raises:
        EvaluationError: if it holds none.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise EvaluationError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}) to calibrate on")
    return files


def run(settings: SpectralSettings, files: Sequence[Path]) -> Path:
    """Record the pictures' spectra, one picture at a time, and write the energies that match the settings' keep ratios.

    Each picture's fixed budget is that part of its own tokens. The energy matches the mean of these, so pictures may
    be laid on different numbers of tokens (LLaVA-NeXT).

    Raises:
        EvaluationError, CheckpointError: one sentence that says what is wrong.
    """
    import torch
    from torch.nn.functional import pad
    from tqdm import tqdm

    from vtstudy.evaluation.checkpoint import Checkpoint
    from vtstudy.evaluation.measurement_cache import MeasurementCache

    source, centre, power = DEFAULT
    measurements = MeasurementCache(Path(settings.cache) / "measurements")
    checkpoint = Checkpoint(settings.checkpoint, measurements, device=settings.device, dtype=settings.dtype)
    parts, tokens = [], []
    with tqdm(total=len(files), unit="image", desc="calibrate", dynamic_ncols=True) as bar:
        for file in files:
            spectra = record(checkpoint, [_opened(file)], 1, bar, variants=[(source, centre)])
            parts.append(shares_of(spectra.shares, *DEFAULT))
            tokens.append(spectra.tokens)
    longest = max(part.shape[1] for part in parts)
    shares = torch.cat([pad(part, (0, longest - part.shape[1])) for part in parts])  # what is not there has no energy
    rows = []
    for keep in settings.ratios():
        fixed = fmean(max(1, int(count * keep)) for count in tokens)
        energy = calibrate(shares, fixed)
        mean = budgets(shares, energy).double().mean().item()
        rows.append(
            {
                "features": source,
                "centre": centre,
                "power": power,
                "target": keep,
                "k_min": 1,
                "k_max": None,
                "tokens": f"{fixed:.5g}",
                "energy": energy,
                "calibrated_mean": f"{mean:.5g}",
            }
        )
    return write_csv(Path(settings.out) / "calibration.csv", rows)


def _opened(file: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # pillow's own for broken files
        raise EvaluationError(f"the picture {file} cannot be read: replace it, or take it out of the folder") from error
