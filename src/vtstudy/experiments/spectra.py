"""The experiment `spectra`: spectra and spectral budgets of the benchmarks' images. No question is asked.

It covers each source of features, centred or not, with squared or plain singular values, and measures

- the energy at which the mean budget equals a fixed one, calibrated on pictures that no benchmark shows,
- the budgets that this energy gives the benchmarks' images,
- in the miniature world, the rank correlation of the budgets with how much it put into each image,
- how often the randomised budgets equal the exact ones.

The experiments that ask questions (`eadaprune.py`) use the calibrated energies. `vtstudy spectra` writes
`scores/spectra.csv` (the headline numbers), `scores/spectra.json` (the facts of the run) and the tables in `spectra/`.
"""

import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from vtprune.methods import SpectralBudget
from vtprune.methods.spectral_budget import SOURCES, Source
from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.config import Multiples
from vtstudy.evaluation.cache_key import files_digest
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
from vtstudy.experiments.spectra_pictures import (
    Density,
    Pictures,
    benchmark_images,
    decoded,
    density_file,
    fetched,
    image_files,
    read_density,
    rendered,
)

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
        raise EvaluationError("spectra need data sets in a folder, evaluation.data: render or fetch them first")
    options, targets = settings.spectra, settings.spectra.targets
    root = data_root(settings.data)
    density = read_density(density_file(root)) if density_file(root).is_file() else None
    prepare(offline=True)
    measurements = MeasurementCache(Path(settings.cache) / "measurements")
    checkpoint = Checkpoint(
        settings.checkpoint,
        measurements,
        device=settings.device,
        dtype=settings.dtype,
        prompt=settings.prompt,
        pictures=settings.pictures,
    )
    shown = list(benchmark_images(root, settings.limit))
    if density is None:
        pictures, facts_of = fetched(root), None
    else:
        pictures = rendered(root, density, options.calibration, options.seed)
        facts_of = _facts_of(shown, density, root)
    calibrated_on = pictures.count
    files = {f"{name} {file.name}": file for name in ADAPTPRUNE for file in image_files(root, name)}
    benchmarks_key = {"files": files_digest(files), "limit": settings.limit, "pillow": version("pillow")}

    seconds = {}
    with tqdm(total=calibrated_on + len(shown), unit="image", desc=NAME, dynamic_ncols=True) as bar:
        calibration = cached_spectra(
            checkpoint,
            measurements,
            pictures.make,
            pictures.key,
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
            lambda: Pictures([partial(decoded, image) for _, _, image in shown]),
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
        "correlation": [] if facts_of is None else list(_correlations(exact, names, facts_of)),
        "agreement": list(_agreement(exact, counts_of, names)),
        "decay": list(_decay(shares, names, facts_of)),
    }
    out = Path(settings.out)
    shutil.rmtree(out / NAME, ignore_errors=True)
    for name, rows in tables.items():
        if rows:
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


def _facts_of(shown: Sequence, density: Density, root: Path) -> list[Mapping[str, Any]]:
    """What each image holds."""
    for benchmark, key, _ in shown:
        if (benchmark, key) not in density:
            raise EvaluationError(
                f"{density_file(root)} has no row for the image {key} of {benchmark}: run `vtstudy world`"
            )
    return [density[benchmark, key] for benchmark, key, _ in shown]


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


def _budget_table(shown: Sequence, known: Sequence[Mapping] | None, exact: Mapping, targets: Sequence[float]) -> Table:
    """An image a row: what it holds, if that is known, and its budgets from squared singular values."""
    rows = []
    for index, (benchmark, key, _) in enumerate(shown):
        row = {"benchmark": benchmark, "image_id": key}
        if known is not None:
            row |= {name: known[index][name] for name in ("kind", *MEASURES)}
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


def _decay(shares: Mapping, names: np.ndarray, known: Sequence[Mapping] | None) -> Iterator[dict[str, Any]]:
    """Running sums by benchmark and, if it is known, of the third of all images that holds least, and most."""
    groups = list(_scopes(names))
    if known is not None:
        content = np.array([row["content"] for row in known])
        low, high = np.quantile(content, [1 / 3, 2 / 3])
        groups += [("sparse third", content <= low), ("dense third", content >= high)]
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
