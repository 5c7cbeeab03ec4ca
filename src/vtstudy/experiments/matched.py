"""Spectral budgets in the rows of an experiment: at calibrated energies, and with the tokens that they really leave.

"Average tokens" is defined here, once, in the two conventions of the field:

``tokens``
    The image tokens that are left when the last stage has pruned, of each question that was asked
    (an image that two questions show counts twice); their mean over a benchmark's questions, and the
    mean of those over the benchmarks (``mean``), as with scores.
``tokens_by_layer``
    The same of the mean over all decoder layers: those before a stage still carry what it drops.
    FastV prunes before layer 2, so 10 % kept are 40 % by this count in a decoder of 6 layers.

Budgets are *matched* in the first: the energy is the one at which the mean budget of the calibration
pictures equals the fixed budget (stage ``spectra``; ``calibrate`` for pictures of one's own), the mean of the fixed
budgets where pictures are laid on different numbers of tokens. These pictures are not evaluated, so the mean that
is achieved differs from the fixed budget; it stands beside each score (``<experiment>/tokens.csv``).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vtprune.methods import Method
from vtprune.stages import layer_at
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.runner import evaluator_of, run
from vtstudy.experiments.sensitivity import variant_rows
from vtstudy.experiments.settings import SpectralSettings
from vtstudy.experiments.spec import Experiment
from vtstudy.results_table import MEAN


@torch.inference_mode()
def tokens_left(
    loaded: Any, questions: Sequence[Any], methods: Sequence[Method], batch_size: int, bar: Any
) -> np.ndarray:
    """``[methods, questions, 2]``: image tokens left after pruning, and averaged over all decoder layers.

    Counted as they are dropped, by running the prompts through the pruned model.
    """
    from vtprune.attach import Prefix, attach
    from vtprune.attach.families import family_of
    from vtprune.attach.inference import encode, generate

    depth = len(family_of(loaded.model).language_model(loaded.model).layers)
    once = {"max_new_tokens": 1, "num_beams": 1, "until": []}
    found = np.zeros((len(methods), len(questions), 2))
    for start in range(0, len(questions), batch_size):
        batch = questions[start : start + batch_size]
        prefix = Prefix(encode(loaded.model, loaded.processor, batch))
        whole = (prefix.inputs["input_ids"] == loaded.model.config.image_token_id).sum(dim=1).cpu().numpy()
        variants = [(index, attach(method, loaded.model, prefix)) for index, method in enumerate(methods)]
        for index, variant in sorted(variants, key=lambda pair: pair[1].first_layer):
            with variant:
                generate(loaded.model, loaded.processor, prefix.inputs, once)
                left, summed, since = whole, 0, 0
                for layer in sorted(layer_at(stage.layer, depth) for stage in methods[index].stages()):
                    summed, since = summed + left * (layer - since), layer
                    left = np.array([sum(len(image.indices) for image in row) for row in variant.kept_at(layer)])
            found[index, start : start + len(batch)] = np.stack(
                (left, (summed + left * (depth - since)) / depth), axis=1
            )
        bar.update(len(batch))
    return found


def token_rows(
    names: Sequence[tuple[str, float | None, Any]], counts: Mapping[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Average tokens, a row for each cell and benchmark, and for the mean over benchmarks.

    Args:
        names: of each cell its row's name, its keep ratio, and its energy (None for a fixed budget).
        counts: by benchmark, as of :func:`tokens_left`.
    """
    for index, (method, keep, energy) in enumerate(names):
        means = []
        for benchmark, every in counts.items():
            kept, by_layer = every[index].T
            means.append((kept.mean(), by_layer.mean()))
            yield _line(
                method, keep, energy, benchmark, len(kept), *means[-1], kept.std(), int(kept.min()), int(kept.max())
            )
        yield _line(
            method, keep, energy, MEAN, sum(len(every[index]) for every in counts.values()), *np.mean(means, axis=0)
        )


def _line(method, keep, energy, benchmark, n, tokens, by_layer, sd=None, least=None, most=None) -> dict[str, Any]:
    return {
        "method": method,
        "keep": keep,
        "energy": energy,
        "benchmark": benchmark,
        "n": n,
        "tokens": f"{tokens:.6g}",
        "tokens_by_layer": f"{by_layer:.6g}",
        "sd": None if sd is None else f"{sd:.5g}",
        "least": least,
        "most": most,
    }


def run_matched(
    experiment: Experiment, settings: SpectralSettings
) -> tuple[Path, dict[tuple[str, float | None], np.ndarray], int]:
    """Count the tokens of every pruned cell, write ``<experiment>/tokens.csv``, then run as any experiment.

    Returns:
        The path of the results, by (row, keep ratio) the tokens left of each question asked, and how many
        images these show.

    Raises:
        EvaluationError, CheckpointError, DatasetError, ValueError: one sentence that says what is wrong.
    """
    from tqdm import tqdm

    start = time.perf_counter()
    evaluator = evaluator_of(settings)
    cells = {
        (name, keep if spec.takes_keep else None): spec.variant(keep).method
        for keep in settings.ratios()
        for name, spec in experiment.variants.items()
        if spec.method != "none"
    }
    for method in cells.values():
        method.attach(evaluator.loaded.model)  # refuses a layer that the model does not have
    counts = {}
    total = evaluator.questions(experiment.benchmarks)
    with tqdm(total=total, desc=f"{experiment.name}: tokens", unit="question", dynamic_ncols=True) as bar:
        for benchmark in experiment.benchmarks:
            questions = [question for _, question in evaluator.prompts(benchmark, evaluator.limit[benchmark])]
            counts[benchmark] = tokens_left(evaluator.loaded, questions, list(cells.values()), settings.batch_size, bar)
    names = [(name, keep, getattr(method.keep, "energy", None)) for (name, keep), method in cells.items()]
    write_csv(Path(settings.out) / experiment.name / "tokens.csv", token_rows(names, counts))
    left = np.concatenate([every[:, :, 0] for every in counts.values()], axis=1)
    images = sum(len(np.unique(evaluator.images(name, evaluator.limit[name]))) for name in experiment.benchmarks)
    path = run(experiment, settings, evaluator, start=start, shown=total * len(cells))
    return path, dict(zip(cells, left, strict=True)), images


def run_comparison(experiment: Experiment, settings: SpectralSettings) -> Path:
    """Run an experiment with spectral budgets; returns the path of its results."""
    return run_matched(experiment, settings)[0]


def run_sensitivity(experiment: Experiment, settings: SpectralSettings) -> Path:
    """Run the experiment sensitivity, which also writes `sensitivity/variants.csv`; returns the path of its results."""
    path, tokens, images = run_matched(experiment, settings)
    rows = variant_rows(experiment, tokens, images)
    write_csv(Path(settings.out) / experiment.name / "variants.csv", rows)
    return path
