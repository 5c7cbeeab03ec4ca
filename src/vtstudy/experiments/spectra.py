"""The experiment `spectra`: spectra and spectral budgets of the benchmarks' images. No question is asked.

It covers each source of features, centred or not, with squared or plain singular values, and measures

- the energy at which the mean budget equals a fixed one, calibrated on pictures that no benchmark shows,
- the budgets that this energy gives the benchmarks' images,
- the rank correlation of the budgets with how much the world put into each image,
- how often the randomised budgets equal the exact ones.

The experiments that ask questions (`eadaprune.py`) use the calibrated energies. `vtstudy spectra` writes
`scores/spectra.csv` (the headline numbers), `scores/spectra.json` (the facts of the run) and the tables in `spectra/`.
"""

import csv
import io
import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from vtprune.methods import SpectralBudget
from vtprune.methods.spectral_budget import SOURCES, Source
from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS, limit_of
from vtstudy.config import Limit, Multiples
from vtstudy.evaluation.cache_key import files_digest, meaning
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.environment import data_root, prepare
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.experiments.calibration import budgets, calibrate
from vtstudy.experiments.files import scores_file, write, write_csv
from vtstudy.experiments.image_spectra import VARIANTS, FeatureChoice, cached_spectra
from vtstudy.experiments.intervals import spearman, wilson
from vtstudy.experiments.provenance import checkpoint_facts, facts
from vtstudy.experiments.results import COLUMNS, write_results
from vtstudy.experiments.settings import SpectraSettings

NAME = "spectra"
DEFAULT: tuple[Source, bool, float] = ("projected", False, 2.0)  # the default assumptions of SpectralBudget
POWERS = (2.0, 1.0)
MEASURES = ("content", "objects", "characters", "chart_parts", "clutter")
DECAY = 64  # components of the printed decay
EXAMPLES, EXAMPLE_TARGET = 4, 0.1  # images of the smallest and of the largest budgets, and at which fixed budget

Table = list[dict[str, Any]]


def shares_of(shares: Mapping[FeatureChoice, torch.Tensor], source: Source, centre: bool, power: float) -> torch.Tensor:
    """Shares of `s ** power`, computed from the shares of the squares."""
    energies = shares[source, centre].pow(power / 2)
    return energies / energies.sum(dim=1, keepdim=True).clamp(min=1e-30)


def benchmark_images(root: Path, limit: Limit) -> Iterator[tuple[str, str, bytes]]:
    """(benchmark, image id, encoded image), each image of a benchmark once.

    Args:
        root: folder of the data sets.
        limit: how many images of each benchmark.
    """
    import pyarrow.parquet as pq

    for name in ADAPTPRUNE:
        stored: dict[str, bytes] = {}
        for file in _image_files(root, name):
            for image in pq.read_table(file, columns=["image"]).column("image").to_pylist():
                stored.setdefault(Path(image["path"]).stem, image["bytes"])
        if not stored:
            spec = BENCHMARKS[name]
            raise EvaluationError(f"{spec.title}: there are no images in {root / spec.path}")
        for key in list(stored)[: limit_of(limit, name)]:
            yield name, key, stored[key]


def _image_files(root: Path, benchmark: str) -> list[Path]:
    spec = BENCHMARKS[benchmark]
    return sorted((root / spec.path).glob(spec.pattern(spec.images_config or spec.config)))


def decoded(image: bytes) -> Image.Image:
    """An encoded image as pillow has it."""
    with Image.open(io.BytesIO(image)) as opened:
        return opened.convert("RGB")


def read_density(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
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


def clamped(limits: Iterable[Multiples], tokens: int) -> list[tuple[int, int | None]]:
    """`(k_min, k_max)` in tokens.

    Args:
        limits: pairs of multiples of the fixed budget; None for no bound.
        tokens: the fixed budget.
    """
    return [
        (max(1, round(least * tokens)) if least else 1, max(1, round(most * tokens)) if most else None)
        for least, most in limits
    ]


def run(settings: SpectraSettings) -> Path:
    """Measure the spectra and write the tables; returns the path of `spectra.csv`.

    Raises:
        EvaluationError, CheckpointError: if the data, the checkpoint or the settings cannot be used.
    """
    start = time.perf_counter()
    if settings.data is None:
        raise EvaluationError("spectra need the miniature world's data: it alone knows how much each image holds")
    options, targets = settings.spectra, settings.spectra.targets
    root = data_root(settings.data)
    density = read_density(root / "density.csv")
    prepare(offline=True)
    measurements = MeasurementCache(Path(settings.cache) / "measurements")
    checkpoint = Checkpoint(settings.checkpoint, measurements, device=settings.device, dtype=settings.dtype)
    shown = list(benchmark_images(root, settings.limit))
    calibrated_on = options.calibration * len({row["benchmark"] for row in density.values()})
    calibration_key = {
        "density": files_digest({"density.csv": root / "density.csv"}),
        "count": options.calibration,
        "seed": options.seed,
        "code": meaning(["vtstudy.world.pictures", "vtstudy.world.scene"]),
    }
    files = {f"{name} {file.name}": file for name in ADAPTPRUNE for file in _image_files(root, name)}
    benchmarks_key = {"files": files_digest(files), "limit": settings.limit, "pillow": version("pillow")}
    unknown = [f"{key} of {benchmark}" for benchmark, key, _ in shown if (benchmark, key) not in density]
    if unknown:
        raise EvaluationError(
            f"{root / 'density.csv'} has no row for the image {unknown[0]}: run `vtstudy world` again"
        )
    facts_of = [density[benchmark, key] for benchmark, key, _ in shown]

    seconds = {}
    with tqdm(total=calibrated_on + len(shown), unit="image", desc=NAME, dynamic_ncols=True) as bar:
        calibration = cached_spectra(
            checkpoint,
            measurements,
            lambda: calibration_images(density.values(), options.calibration, options.seed),
            calibration_key,
            settings.batch_size,
            bar,
        )
        bar.update(calibrated_on - bar.n)  # cached spectra do not move it
        before, tokens = calibration.shares, calibration.tokens
        seconds["calibration"] = round(time.perf_counter() - start, 1)
        fixed = {target: max(1, int(tokens * target)) for target in targets}
        energies = {
            (source, centre, power, target): calibrate(shares_of(before, source, centre, power), fixed[target])
            for source, centre in VARIANTS
            for power in POWERS
            for target in targets
        }
        randomised = {
            (source, target): SpectralBudget(energies[source, False, 2.0, target], features=source)
            for source in SOURCES
            for target in targets
        }
        within = {
            (target, pair): calibrate(shares_of(before, *DEFAULT), fixed[target], *pair)
            for target in targets
            for pair in clamped(options.limits, fixed[target])
        }
        measured = cached_spectra(
            checkpoint,
            measurements,
            lambda: [decoded(image) for _, _, image in shown],
            benchmarks_key,
            settings.batch_size,
            bar,
            list(randomised.values()),
        )
        bar.update(calibrated_on + len(shown) - bar.n)
        shares, counts_of = measured.shares, dict(zip(randomised, measured.counts, strict=True))
    seconds["benchmarks"] = round(time.perf_counter() - start - seconds["calibration"], 1)

    names = np.array([benchmark for benchmark, _, _ in shown])
    exact = {key: budgets(shares_of(shares, *key[:3]), energy).numpy() for key, energy in energies.items()}
    on_pictures = {key: budgets(shares_of(before, *key[:3]), energy).numpy() for key, energy in energies.items()}
    calibrated = [
        _calibrated(key, (1, None), fixed[key[3]], energies[key], on_pictures[key], counts)
        for key, counts in exact.items()
    ] + [
        _calibrated(
            (*DEFAULT, target),
            pair,
            fixed[target],
            energy,
            *(budgets(shares_of(each, *DEFAULT), energy, *pair).numpy() for each in (before, shares)),
        )
        for (target, pair), energy in within.items()
    ]
    tables = {
        "budgets": _budget_table(shown, facts_of, exact, targets),
        "calibration": calibrated,
        "means": list(_means(exact, names)),
        "correlation": list(_correlations(exact, names, facts_of)),
        "agreement": list(_agreement(exact, counts_of, names)),
        "decay": list(_decay(shares, names, facts_of)),
    }
    out = Path(settings.out)
    shutil.rmtree(out / NAME, ignore_errors=True)
    for name, rows in tables.items():
        write_csv(out / NAME / f"{name}.csv", rows, digits=5)
    _write_examples(
        out / NAME / "examples", shown, exact[(*DEFAULT, min(targets, key=lambda target: abs(target - EXAMPLE_TARGET)))]
    )
    path = write_results(scores_file(out, NAME), list(_headlines(tables, settings.model)))
    known = facts(settings, **checkpoint_facts(checkpoint), seconds=time.perf_counter() - start)
    images = {"images": len(shown), "calibrated_on": calibrated_on, "tokens": tokens}
    known[NAME] = images | options.model_dump(exclude={"limits"}) | {"seconds": seconds}
    write(path.with_suffix(".json"), json.dumps(known, indent=2) + "\n")
    return path


def _variant(key: tuple[str, bool, float, float]) -> dict[str, Any]:
    source, centre, power, target = key
    return {"features": source, "centre": centre, "power": power, "target": target}


def _scopes(names: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Every benchmark with its images, then all together."""
    for name in dict.fromkeys(names.tolist()):
        yield name, names == name
    yield "all", np.ones(len(names), dtype=bool)


def _write_examples(folder: Path, shown: Sequence, counts: np.ndarray) -> None:
    """The images with the smallest and the largest budgets, one a benchmark, and ``examples.csv``."""
    rows = []
    for end, order in (
        ("smallest", np.argsort(counts, kind="stable")),
        ("largest", np.argsort(-counts, kind="stable")),
    ):
        first: dict[str, int] = {}
        for index in order:
            first.setdefault(shown[index][0], int(index))
        for number, (benchmark, index) in enumerate(list(first.items())[:EXAMPLES], start=1):
            name = f"{end}-{number}.png"
            folder.mkdir(parents=True, exist_ok=True)
            decoded(shown[index][2]).save(folder / name)
            rows.append(
                {
                    "end": end,
                    "picture": name,
                    "benchmark": benchmark,
                    "image_id": shown[index][1],
                    "tokens": int(counts[index]),
                }
            )
    write_csv(folder / "examples.csv", rows)


def _budget_table(shown: Sequence, known: Sequence[Mapping], exact: Mapping, targets: Sequence[float]) -> Table:
    """An image a row: what it holds, and its budgets from squared singular values."""
    rows = []
    for index, ((benchmark, key, _), facts_of) in enumerate(zip(shown, known, strict=True)):
        row = {
            "benchmark": benchmark,
            "image_id": key,
            "kind": facts_of["kind"],
            **{name: facts_of[name] for name in MEASURES},
        }
        for source, centre in VARIANTS:
            label = source + "_centred" * centre
            row |= {f"{label}_{target:g}": int(exact[source, centre, 2.0, target][index]) for target in targets}
        rows.append(row)
    return rows


def _calibrated(
    key: tuple[str, bool, float, float],
    limits: tuple[int, int | None],
    tokens: int,
    energy: float,
    on_pictures: np.ndarray,
    counts: np.ndarray,
) -> dict[str, Any]:
    """An energy, the mean budget that it was fitted to, and what it gives the benchmarks' images."""
    row = {
        "k_min": limits[0],
        "k_max": limits[1],
        "tokens": tokens,
        "energy": energy,
        "calibrated_mean": on_pictures.mean(),
    }
    spread = {"mean": counts.mean(), "sd": counts.std(), "least": counts.min(), "most": counts.max()}
    return _variant(key) | row | spread


def _means(exact: Mapping, names: np.ndarray) -> Iterator[dict[str, Any]]:
    for key, counts in exact.items():
        for scope, here in _scopes(names):
            yield _variant(key) | {
                "benchmark": scope,
                "n": int(here.sum()),
                "mean": counts[here].mean(),
                "sd": counts[here].std(),
            }


def _correlations(exact: Mapping, names: np.ndarray, known: Sequence[Mapping]) -> Iterator[dict[str, Any]]:
    held = {measure: np.array([row[measure] for row in known]) for measure in MEASURES}
    for key, counts in exact.items():
        for scope, here in _scopes(names):
            for measure in MEASURES:
                value, low, high = spearman(counts[here], held[measure][here])
                if not math.isnan(value):
                    row = {"benchmark": scope, "measure": measure, "n": int(here.sum())}
                    yield _variant(key) | row | {"spearman": value, "ci_low": low, "ci_high": high}


def _agreement(exact: Mapping, found: Mapping, names: np.ndarray) -> Iterator[dict[str, Any]]:
    for (source, target), counts in found.items():
        settled = counts[:, 1].numpy()
        apart = np.abs(counts[:, 0].numpy() - exact[source, False, 2.0, target])
        for scope, here in _scopes(names):
            n, hits = int(here.sum()), int((apart[here] == 0).sum())
            yield {
                "features": source,
                "target": target,
                "benchmark": scope,
                "n": n,
                "same": hits,
                "percent": 100 * hits / n,
                "furthest": int(apart[here].max()),
                "at_first_rank": int((settled[here] == SpectralBudget.rank).sum()),
            }


def _decay(shares: Mapping, names: np.ndarray, known: Sequence[Mapping]) -> Iterator[dict[str, Any]]:
    """Running sums by benchmark, and of the third of all images that holds least, and most."""
    content = np.array([row["content"] for row in known])
    low, high = np.quantile(content, [1 / 3, 2 / 3])
    groups = [*_scopes(names), ("sparse third", content <= low), ("dense third", content >= high)]
    for source, centre in VARIANTS:
        sums = shares[source, centre].double().cumsum(dim=1).numpy()[:, :DECAY]
        for group, here in groups:
            quartiles = np.quantile(sums[here], [0.25, 0.5, 0.75], axis=0)
            for k, (lower, middle, upper) in enumerate(quartiles.T, start=1):
                yield {
                    "features": source,
                    "centre": centre,
                    "group": group,
                    "k": k,
                    "q25": lower,
                    "median": middle,
                    "q75": upper,
                }


def _headlines(tables: Mapping[str, Table], model: str) -> Iterator[dict[str, Any]]:
    """Rows in the columns of all results, for SpectralBudget's own assumptions."""

    def ours(row: Mapping[str, Any]) -> bool:
        return (row["features"], row.get("centre", False), row.get("power", 2.0)) == DEFAULT

    def line(method: str, metric: str, row: Mapping[str, Any], value: float, low: float, high: float) -> dict[str, Any]:
        values = (NAME, model, method, row["target"], row["benchmark"], metric, value, row["n"], low, high)
        return dict(zip(COLUMNS, values, strict=True))

    for row in filter(ours, tables["correlation"]):
        if row["measure"] == "content":
            yield line("budget_by_content", "rank_correlation", row, row["spearman"], row["ci_low"], row["ci_high"])
    for row in filter(ours, tables["means"]):
        wide = 1.96 * row["sd"] / math.sqrt(row["n"])
        yield line("mean_budget", "tokens", row, row["mean"], row["mean"] - wide, row["mean"] + wide)
    for row in filter(ours, tables["agreement"]):
        yield line("randomised_is_exact", "percent", row, row["percent"], *wilson(row["same"], row["n"]))
