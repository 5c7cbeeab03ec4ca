"""Hours and memory of a model's part of a plan: from a measured rate, or computed from FLOPs.

The computed hours are a rough estimate and are printed as one. They take the FLOPs of `vtprune.cost.flops` at
`UTILISATION` of the device's matrix products, and each further token as one reading of the weights at `BANDWIDTH_USE`
of its memory's speed. No pass through a decoder layer takes less than `LAUNCH_SECONDS`. These three, and the lengths of
the answers, are assumptions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from vtprune.cost import Shape, Workload, cost, parameters, shape_of
from vtprune.methods import Method, get_method
from vtprune.stages import placed
from vtstudy.experiments.paper_models import SIZES
from vtstudy.experiments.plan import Asked, Shown
from vtstudy.planning.machine import DataSheet
from vtstudy.planning.rates import Kind, Rate, kind_of

UTILISATION = 0.4
BANDWIDTH_USE = 0.5
LAUNCH_SECONDS = 0.0008  # Python and the GPU's driver, to start the kernels of one layer
# Assumed tokens of an answer in a batch: a batch runs until its longest answer ends.
ANSWER_TOKENS: Mapping[Kind, int] = {"short": 5, "reading": 12, "caption": 20, "long": 200}
# Assumed bytes that a process needs for Python, torch, transformers, lmms-eval and the pictures of a batch.
PROCESS_BYTES = 4 * 2**30
BYTES_PER_VALUE = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Work:
    """What one model has to do.

    Attributes:
        asked: its answers.
        shown: the prompts that figures show it.
    """

    asked: tuple[Asked, ...]
    shown: tuple[Shown, ...]

    @property
    def answers(self) -> int:
        """The number of answers."""
        return sum(part.questions for part in self.asked)

    def questions(self) -> dict[tuple[str, str], int]:
        """By benchmark and image mode, how many questions any variant is asked."""
        counts: dict[tuple[str, str], int] = {}
        for part in self.asked:
            place = part.benchmark, part.variant.image
            counts[place] = max(part.questions, counts.get(place, 0))
        return counts


def measured_seconds(work: Work, rate: Rate) -> float:
    """Seconds of a model's work at a measured rate."""
    seconds = 0.0
    for (benchmark, _), count in work.questions().items():
        seconds += count * rate.of(kind_of(benchmark)).question
    for part in work.asked:
        kind = rate.of(kind_of(part.benchmark))
        seconds += part.questions * (kind.pruned if part.cost_as.stages() else kind.unpruned)
    for shown in work.shown:  # as an unpruned answer
        kind = rate.of(kind_of(shown.benchmark))
        seconds += shown.questions * (kind.question + kind.unpruned)
    return seconds


def computed_seconds(work: Work, paper: str, batch_size: int, sheet: DataSheet, dtype: str | None) -> float:
    """Seconds of the work of one of the papers' models on a GPU, computed from FLOPs (see the module's text)."""
    size = SIZES[paper]
    weights = weight_bytes(paper, dtype)
    shape, workload = _shape(paper), size.workload
    methods = {part.cost_as for part in work.asked}
    deepest = max((_first_layer(method, shape) for method in methods if method.stages()), default=0)
    layer = shape.decoder.layer(*[workload.text_tokens + workload.image_tokens] * 2)
    shared = shape.tower_flops(workload.tiles) + shape.projector_flops(workload.tiles) + deepest * layer
    unpruned = get_method("none")

    speed = sheet.flops * UTILISATION
    launch = LAUNCH_SECONDS / batch_size  # of one layer, for each prompt of the batch
    token = max(weights / (sheet.bandwidth * BANDWIDTH_USE) / batch_size, launch * shape.decoder.layers)

    seconds = sum(work.questions().values()) * shared / speed
    for part in work.asked:
        first = min(deepest, _first_layer(part.cost_as, shape))
        prompt = (_language_flops(paper, part.cost_as) - first * layer) / speed
        prompt = max(prompt, launch * (shape.decoder.layers - first))
        seconds += part.questions * (prompt + (ANSWER_TOKENS[kind_of(part.benchmark)] - 1) * token)
    shown = sum(part.questions for part in work.shown)
    return seconds + shown * cost(shape, unpruned, workload).flops / speed


def accelerator_bytes(paper: str, batch_size: int, dtype: str | None) -> int:
    """An estimate of the GPU memory that a model needs: its weights, and what a batch of unpruned prompts needs.

    A batch needs two key-value caches, because the first layers are kept for the next method, and the largest tensors
    of a layer.
    """
    shape, workload, width = _shape(paper), SIZES[paper].workload, BYTES_PER_VALUE.get(dtype or "", 2)
    longest = Workload(workload.image_tokens, workload.text_tokens, workload.tiles, new_tokens=64)
    caches = 2 * cost(shape, get_method("none"), longest, cache_bytes_per_value=width).cache_bytes
    tokens = workload.image_tokens + workload.text_tokens
    decoder = tokens * (2 * shape.decoder.intermediate + 8 * shape.decoder.width)
    tower = workload.tiles * (shape.patches + 1) * (2 * shape.tower.intermediate + 8 * shape.tower.width)
    return weight_bytes(paper, dtype) + batch_size * (caches + width * (decoder + tower))


@cache
def weight_bytes(paper: str, dtype: str | None = None) -> int:
    """Bytes of the weights of one of the papers' models; None is float16, as the checkpoints are stored."""
    return parameters(SIZES[paper].config()) * BYTES_PER_VALUE.get(dtype or "", 2)


def is_known(paper: str) -> bool:
    """Whether the sizes of a paper's model are known."""
    return paper in SIZES


def works(models: Iterable[str], asked: Iterable[Asked], shown: Iterable[Shown]) -> dict[str, Work]:
    """By model, its part of a plan."""
    asked, shown = list(asked), list(shown)
    return {
        model: Work(
            tuple(part for part in asked if part.model == model), tuple(part for part in shown if part.model == model)
        )
        for model in models
    }


@cache
def _shape(paper: str) -> Shape:
    return shape_of(SIZES[paper].config())


@cache
def _language_flops(paper: str, method: Method) -> int:
    """FLOPs of a prompt after the projector. Decoding is counted as reading of the weights."""
    return cost(_shape(paper), method, SIZES[paper].workload).language


def _first_layer(method: Method, shape: Shape) -> int:
    """The first layer before which a method prunes; the number of layers if it prunes nothing."""
    return min(placed(method, shape.decoder.layers), default=shape.decoder.layers)
