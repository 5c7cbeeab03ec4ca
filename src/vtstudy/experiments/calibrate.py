"""Calibration of spectral budgets for one checkpoint, with the default assumptions of `SpectralBudget`.

The experiment `spectra` calibrates the first model, with all assumptions. This calibrates E-AdaPrune's other backbones
on the same pictures, or any model on pictures of your own that no benchmark shows (`vtstudy calibrate`). It writes the
energies for the keep ratios of `experiments.eadaprune`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from vtstudy.evaluation.cache_key import ANSWERING, files_digest, meaning, package_version
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments import image_spectra
from vtstudy.experiments.calibration import budgets, calibrate
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.settings import SpectralSettings
from vtstudy.experiments.spectra import DEFAULT, shares_of
from vtstudy.experiments.spectra_pictures import CalibrationPictures, Pictures

if TYPE_CHECKING:
    from vtstudy.evaluation.checkpoint import Checkpoint

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


def opened(files: Sequence[Path]) -> CalibrationPictures:
    """The pictures in files, each opened when it is looked at.

    Raises:
        EvaluationError: when a file is looked at that is no picture.
    """
    key = {"files": files_digest({str(file): file for file in files}), "pillow": package_version("pillow")}
    return CalibrationPictures(len(files), key, lambda: Pictures([partial(_opened, file) for file in files]))


def run(settings: SpectralSettings, pictures: CalibrationPictures) -> Path:
    """Write the energies that match the keep ratios on the pictures to `settings.calibration`; returns this file.

    Each picture's fixed budget is that part of its own tokens. The energy matches the mean of these, so pictures may
    be laid on different numbers of tokens (LLaVA-NeXT).

    Raises:
        EvaluationError, CheckpointError: one sentence that says what is wrong.
    """
    from vtstudy.evaluation.checkpoint import Checkpoint
    from vtstudy.evaluation.measurement_cache import MeasurementCache

    measurements = MeasurementCache(Path(settings.cache) / "measurements")
    checkpoint = Checkpoint(
        settings.checkpoint,
        measurements,
        device=settings.device,
        dtype=settings.dtype,
        prompt=settings.prompt,
        pictures=settings.pictures,
    )
    key = {
        **checkpoint.key(),
        "images": dict(pictures.key),
        "keeps": list(settings.ratios()),
        "code": meaning([__name__, image_spectra.__name__, *ANSWERING, *checkpoint.family]),
    }
    compute = partial(_energies, checkpoint, pictures, settings.ratios())
    return write_csv(Path(settings.calibration), measurements.data("calibration", key, compute))


def _energies(
    checkpoint: "Checkpoint", pictures: CalibrationPictures, keeps: Sequence[float]
) -> list[dict[str, object]]:
    """A row for each keep ratio. The spectra are recorded one picture at a time."""
    import torch
    from torch.nn.functional import pad
    from tqdm import tqdm

    source, centre, power = DEFAULT
    images = pictures.make()
    parts, tokens = [], []
    with tqdm(total=len(images), unit="image", desc="calibrate", dynamic_ncols=True) as bar:
        for image in images:
            spectra = image_spectra.record(checkpoint, [image], 1, bar, variants=[(source, centre)])
            parts.append(shares_of(spectra.shares, *DEFAULT))
            tokens.append(spectra.tokens)
    longest = max(part.shape[1] for part in parts)
    shares = torch.cat([pad(part, (0, longest - part.shape[1])) for part in parts])  # what is not there has no energy
    rows: list[dict[str, object]] = []
    for keep in keeps:
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
    return rows


def _opened(file: Path) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).convert("RGB")  # a phone's photo lies on its side without this
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # pillow's own for broken files
        raise EvaluationError(f"the picture {file} cannot be read: replace it, or take it out of the folder") from error
