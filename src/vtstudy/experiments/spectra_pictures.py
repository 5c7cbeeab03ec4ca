"""The pictures of the experiment `spectra`: those of the benchmarks, and those that energies are calibrated on.

The miniature world knows how much it put into each picture (`density.csv`), and renders new pictures to calibrate on.
Fetched data sets know no density. Their pictures to calibrate on were fetched with them (`vtstudy fetch data`).
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, overload

from PIL import Image, ImageOps

from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS, limit_of
from vtstudy.config import Limit
from vtstudy.evaluation.cache_key import files_digest, meaning
from vtstudy.evaluation.environment import data_root
from vtstudy.evaluation.errors import EvaluationError

CALIBRATION = "calibration"
"""The folder of the pictures to calibrate on, below the folder of fetched data sets."""

Density = dict[tuple[str, str], dict[str, Any]]
"""What each image holds, by (benchmark, image id)."""


class Pictures(Sequence[Image.Image]):
    """Pictures that are decoded when they are looked at, so that few are in memory as pixels.

    Args:
        decode: of each picture, what returns it.
    """

    def __init__(self, decode: Sequence[Callable[[], Image.Image]]) -> None:
        self._decode = decode

    def __len__(self) -> int:
        return len(self._decode)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...

    def __getitem__(self, index: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(index, slice):
            return [decode() for decode in self._decode[index]]
        return self._decode[index]()


@dataclass(frozen=True)
class CalibrationPictures:
    """The pictures that energies are calibrated on.

    Attributes:
        count: how many there are.
        key: what they depend on, as plain JSON data.
        make: makes or opens them.
    """

    count: int
    key: Mapping[str, Any]
    make: Callable[[], Sequence[Image.Image]]


def benchmark_images(root: Path, limit: Limit) -> Iterator[tuple[str, str, bytes]]:
    """(benchmark, image id, encoded image), each image of a benchmark once.

    An image is known by its file's name in the miniature world, and by its content elsewhere.

    Args:
        root: folder of the data sets.
        limit: how many images of each benchmark.
    """
    import pyarrow.parquet as pq

    named = density_file(root).is_file()
    for name in ADAPTPRUNE:
        most = limit_of(limit, name)
        ids: set[str] = set()
        for file in image_files(root, name):
            if most is not None and len(ids) >= most:
                break
            for batch in pq.ParquetFile(file).iter_batches(64, columns=["image"]):
                for image in batch.column("image").to_pylist():
                    key = Path(image["path"]).stem if named else hashlib.sha256(image["bytes"]).hexdigest()[:16]
                    if key not in ids and (most is None or len(ids) < most):
                        ids.add(key)
                        yield name, key, image["bytes"]
        if not ids:
            spec = BENCHMARKS[name]
            raise EvaluationError(f"{spec.title}: there are no images in {root / spec.path}")


def image_files(root: Path, benchmark: str) -> list[Path]:
    """The files that hold a benchmark's images, in the order of its rows."""
    spec = BENCHMARKS[benchmark]
    return sorted((root / spec.path).glob(spec.pattern(spec.images_config or spec.config)))


def decoded(image: bytes) -> Image.Image:
    """An encoded image, upright as `datasets` decodes it for questions."""
    with Image.open(io.BytesIO(image)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def density_file(root: Path) -> Path:
    """The miniature world's record of what each image holds."""
    return root / "density.csv"


def read_density(path: Path) -> Density:
    """What each image holds, by (benchmark, image id); ``content`` is all but the clutter.

    Raises:
        EvaluationError: if the world's file cannot be read.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}): the images' densities stand there") from error
    counted = ("objects", "characters", "chart_parts", "clutter")
    for row in rows:
        row |= {name: int(row[name]) for name in counted}
        row["content"] = row["objects"] + row["characters"] + row["chart_parts"]
    return {(row["benchmark"], row["image_id"]): row for row in rows}


def rendered(root: Path, density: Density, count: int, seed: int) -> CalibrationPictures:
    """Pictures of the miniature world, `count` for each benchmark.

    Args:
        root: folder of the data sets.
        density: of its images.
        count: pictures for each benchmark.
        seed: of the pictures.
    """
    key = {
        "density": files_digest({"density.csv": density_file(root)}),
        "count": count,
        "seed": seed,
        "code": meaning(["vtstudy.world.pictures", "vtstudy.world.scene"]),
    }
    total = count * len({row["benchmark"] for row in density.values()})
    return CalibrationPictures(total, key, lambda: calibration_images(density.values(), count, seed))


def fetched(root: Path) -> CalibrationPictures:
    """The pictures that were fetched with the data sets.

    Raises:
        EvaluationError: if there are none.
    """
    folder = root / CALIBRATION
    files = sorted(file for file in folder.glob("*/*") if file.is_file())
    if not files:
        raise EvaluationError(f"{folder} holds no pictures to calibrate on: fetch them with `vtstudy fetch data`")
    digest = files_digest({file.relative_to(folder).as_posix(): file for file in files})
    key = {"files": digest, "pillow": version("pillow")}
    return CalibrationPictures(len(files), key, lambda: Pictures([partial(_read, file) for file in files]))


def pictures_of(data: str, count: int, seed: int) -> CalibrationPictures:
    """The pictures to calibrate on that belong to a folder of data sets.

    Args:
        data: the folder of the data sets.
        count: how many pictures are rendered for each benchmark; those that were fetched are taken as they are.
        seed: of rendered pictures.

    Raises:
        EvaluationError: if there are none.
    """
    root = data_root(data)
    if density_file(root).is_file():
        return rendered(root, read_density(density_file(root)), count, seed)
    return fetched(root)


def _read(file: Path) -> Image.Image:
    return decoded(file.read_bytes())


def calibration_images(density: Iterable[Mapping[str, Any]], count: int, seed: int) -> list[Image.Image]:
    """`count` pictures for each benchmark, of the kinds that it shows, from the training's side of the split."""
    from vtstudy.world.pictures import sample  # rendering is not needed where the spectra are cached
    from vtstudy.world.scene import render

    kinds: dict[str, list[str]] = {}
    for row in density:
        kinds.setdefault(row["benchmark"], []).append(row["kind"])
    images = []
    for benchmark, kinds_of_benchmark in kinds.items():
        rng = Random(f"spectra-{benchmark}-{seed}")
        images += [
            Image.fromarray(render(sample(rng, rng.choice(kinds_of_benchmark), held_out=False))) for _ in range(count)
        ]
    return images
