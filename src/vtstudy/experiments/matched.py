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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vtprune.methods import Method, SpectralBudget, get_method
from vtprune.stages import layer_at
from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.runner import evaluator_of, one_sentence, ratios, run
from vtstudy.experiments.settings import Settings, parse
from vtstudy.experiments.spec import MEAN, Experiment, Row

# Without MME: its score is a sum over fourteen sub-tasks, so the few questions that are asked here would say nothing of each.
BENCHMARKS = tuple(name for name in ADAPTPRUNE if name != "mme")
SPECTRAL = "_spectral"  # what a host's name ends in when its budget is spectral
Matching = Callable[[Path, float], list[SpectralBudget]]
"""The budgets matched to a fraction of the tokens, SpectralBudget's own assumptions first; as of ``calibrated``."""


@dataclass(frozen=True)
class MatchedSettings(Settings):
    """Of an experiment with spectral budgets.

    Attributes:
        hosts: methods whose budget is made spectral, by name.
        benchmarks: empty for ``BENCHMARKS``.
        energies: tau of spectral budgets that match no fixed one.
        calibration: the file in which the stage ``spectra`` says which energy matches which fixed budget.
    """

    hosts: tuple[str, ...] = ("fastv",)
    benchmarks: tuple[str, ...] = ()
    energies: tuple[float, ...] = ()
    calibration: str = "reports/results/spectra/calibration.csv"


@dataclass(frozen=True)
class Spectral(Row):
    """A host with a spectral budget.

    Attributes:
        budgets: by the fraction of the tokens that they are matched to.
        free: a budget that is matched to none, in place of those.
    """

    budgets: Mapping[float, SpectralBudget] = field(default_factory=dict)
    free: SpectralBudget | None = None

    @property
    def takes_keep(self) -> bool:
        return self.free is None

    def cell(self, keep: float) -> Any:
        from vtstudy.evaluation.requests import Variant

        return Variant(get_method(self.method, keep=self.free or self.budgets[keep], **self.parameters), self.image)


def calibrated(path: Path, target: float) -> list[SpectralBudget]:
    """The budgets that the stage ``spectra`` matched to a fixed one, SpectralBudget's own assumptions first.

    They take the exact routes, which give what the randomised one gives and are faster on matrices this small.

    Args:
        path: ``spectra/calibration.csv``.
        target: the fixed budget, as a fraction of the tokens.

    Raises:
        EvaluationError: if the file cannot be read, or nothing was matched to that budget.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except OSError as error:
        raise EvaluationError(
            f"{path} cannot be read ({error.strerror}): run the stage spectra first, or vtstudy.experiments.calibrate on pictures of your own"
        ) from error
    found = [
        SpectralBudget(
            row.energy,
            k_min=int(row.k_min),
            k_max=None if np.isnan(row.k_max) else int(row.k_max),
            features=row.features,
            centre=bool(row.centre),
            power=float(row.power),
            route="gram" if row.power == 2 else "svd",
        )
        for row in frame[np.isclose(frame["target"], target)].itertuples()
    ]
    first = [budget for budget in found if assumed(budget) == assumed(SpectralBudget(1.0))]
    if not first:
        raise EvaluationError(
            f"{path} matches no spectral budget to {target:g} of the tokens: add it to spectra.targets in params.yaml, or calibrate for it"
        )
    return first + [budget for budget in found if budget not in first]


def assumed(budget: SpectralBudget) -> tuple[str, bool, float, int, int | None]:
    """What the paper's summaries leave open, and this budget assumes."""
    return budget.features, budget.centre, budget.power, budget.k_min, budget.k_max


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
    experiment: Experiment, settings: MatchedSettings
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
        (name, keep if row.takes_keep else None): row.cell(keep).method
        for keep in ratios(settings)
        for name, row in experiment.rows.items()
        if row.method != "none"
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


def main(name: str, experiment: Callable[[MatchedSettings], Experiment], argv: list[str] | None = None) -> int:
    """The command of an experiment's module; what a user can mend is one sentence and exit code 2."""

    def work() -> Path:
        settings = parse(name, argv, MatchedSettings)
        return run_matched(experiment(settings), settings)[0]

    return one_sentence(name, work)
